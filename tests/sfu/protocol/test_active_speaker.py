"""Active speakers: who gets the floor, who does not, and the levels of an interval."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.protocol.active_speaker import SILENCE, AudioLevels, DominantSpeaker, Volume, level_of
from sfu.protocol.errors import MalformedPacket

SPEECH = (18, 25, 15, 22, 30)
NOISE = (88, 92, 85, 90)


class Meeting:
    """Feeds 20 ms packets and decides every 300 ms, as the router does."""

    def __init__(self, *names: str) -> None:
        self.observer = DominantSpeaker()
        self.now = 0.0
        self.packets = 0
        self.names = names
        for name in names:
            self.observer.add(name, 0.0)
        self.pass_time(3.0)

    def pass_time(self, seconds: float, *speaking: str, absent: tuple[str, ...] = ()) -> list[str]:
        """Return who took the floor, in order."""
        taken = []
        for _ in range(round(seconds / 0.02)):
            self.packets += 1
            self.now = self.packets * 0.02
            for name in self.names:
                levels = SPEECH if name in speaking else NOISE
                if name not in absent:
                    self.observer.hear(name, levels[self.packets % len(levels)], self.now)
            if self.packets % 15 == 0 and (winner := self.observer.decide(self.now)) is not None:
                taken.append(winner)
        return taken


def test_who_speaks_gets_the_floor_and_keeps_it() -> None:
    meeting = Meeting("anna", "bert", "cleo")
    meeting.pass_time(3.0, "bert")
    assert meeting.observer.dominant == "bert"
    assert meeting.pass_time(3.0, "bert") == []
    assert meeting.pass_time(2.0) == []
    assert meeting.pass_time(3.0, "cleo") == ["cleo"]


def test_a_cough_takes_nothing() -> None:
    meeting = Meeting("anna", "bert")
    meeting.pass_time(3.0, "anna")
    for _ in range(20):
        assert meeting.pass_time(0.06, "anna", "bert") == []
        assert meeting.pass_time(0.6, "anna") == []


def test_an_interjection_takes_nothing_from_one_who_has_spoken_longer() -> None:
    meeting = Meeting("anna", "bert")
    meeting.pass_time(3.0, "anna")
    for _ in range(20):
        assert meeting.pass_time(0.14, "bert") == []
        assert meeting.pass_time(0.6, "anna") == []


def test_nobody_takes_the_floor_in_a_moment_of_silence() -> None:
    meeting = Meeting("anna", "bert")
    meeting.pass_time(3.0, "anna")
    # Decisions are made every 15 packets: every 15th is silent here.
    for _ in range(10):
        assert meeting.pass_time(0.28, "bert") == []
        assert meeting.pass_time(0.02) == []


@pytest.mark.parametrize(("starts_after", "from_second"), [(0, 1.0), (200, 75.0)])
def test_a_loud_fan_is_no_speech(starts_after: int, from_second: float) -> None:
    """Noise is known as such at once where it was there from the start, else after a while."""
    observer = DominantSpeaker()
    observer.add("anna", 0.0)
    observer.add("fan", 0.0)
    for packet in range(1, 5000):
        now = packet * 0.02
        observer.hear("anna", SPEECH[packet % 5] if packet % 400 < 200 else 100, now)
        observer.hear("fan", 38 + packet % 3 if packet > starts_after else 80, now)
        if packet % 15 == 0 and observer.decide(now) == "fan":
            assert now < from_second
    assert observer.dominant == "anna"


def test_two_at_once_do_not_flap() -> None:
    meeting = Meeting("anna", "bert")
    meeting.pass_time(3.0, "anna")
    assert meeting.pass_time(10.0, "anna", "bert") == []


def test_one_without_packets_is_silent() -> None:
    meeting = Meeting("anna", "bert")
    meeting.pass_time(3.0, "anna")
    assert meeting.pass_time(3.0, "bert", absent=("anna",)) == ["bert"]


def test_a_paused_producer_cannot_take_the_floor() -> None:
    meeting = Meeting("anna", "bert")
    meeting.pass_time(3.0, "anna")
    meeting.observer.set_paused("bert", True)
    assert meeting.pass_time(3.0, "bert") == []
    meeting.observer.set_paused("bert", False)
    assert meeting.pass_time(3.0, "bert") == ["bert"]


def test_when_the_speaker_leaves_the_likeliest_follows() -> None:
    meeting = Meeting("anna", "bert", "cleo")
    meeting.pass_time(3.0, "anna", "cleo")
    leaving = meeting.observer.dominant
    assert leaving in ("anna", "cleo")
    meeting.observer.remove(leaving)
    meeting.names = tuple(name for name in meeting.names if name != leaving)
    assert meeting.pass_time(0.3, "anna", "cleo") == list({"anna", "cleo"} - {leaving})


def test_nobody_there_is_no_speaker() -> None:
    observer = DominantSpeaker()
    assert observer.decide(1.0) is None
    observer.hear("stranger", 0, 1.0)
    observer.set_paused("stranger", True)
    observer.remove("stranger")
    assert observer.decide(2.0) is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 255), st.floats(-1, 70)), max_size=100))
def test_any_levels_and_times_are_borne(heard: list[tuple[str, int, float]]) -> None:
    observer = DominantSpeaker()
    observer.add("a", 0.0)
    observer.add("b", 0.0)
    now = 0.0
    for name, level, step in heard:
        now += step
        observer.hear(name, level, now)
        assert observer.decide(now) in (None, "a", "b")


def test_levels_are_means_loudest_first() -> None:
    levels = AudioLevels(max_entries=2)
    for _ in range(15):
        for name, level in (("quiet", 60), ("loud", 20), ("noise", 90), ("middle", 40)):
            levels.hear(name, level)
    assert levels.take() == [Volume("loud", -20), Volume("middle", -40)]
    assert levels.take() == []


def test_too_few_packets_make_no_level() -> None:
    levels = AudioLevels(max_entries=2)
    for _ in range(9):
        levels.hear("a", 0)
    for _ in range(10):
        levels.hear("b", 0)
        levels.hear("c", 0)
    levels.remove("c")
    assert levels.take() == [Volume("b", 0)]


def test_senseless_limits_are_refused() -> None:
    for entries, threshold in ((0, -80), (1, 1), (1, -SILENCE - 1)):
        with pytest.raises(ValueError):
            AudioLevels(entries, threshold)


def test_the_level_is_read_without_the_voice_flag() -> None:
    assert level_of(b"\xff\x85", 1, 1) == 5
    with pytest.raises(MalformedPacket):
        level_of(b"", 0, 0)
