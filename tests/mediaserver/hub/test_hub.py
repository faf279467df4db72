import asyncio

import pytest

from mediaserver.hub import hub as hub_module
from mediaserver.hub.hub import Hub
from mediaserver.hub.stream import Stream, StreamState
from mediaserver.media.packet import MediaPacket, Track
from tests.helpers.media import AUDIO, VIDEO, audio, video
from tests.helpers.waiting import eventually


class RecordingPublisher:
    def __init__(self) -> None:
        self.told: list[str] = []

    def replaced(self) -> None:
        self.told.append("replaced")

    def kicked(self, reason: str) -> None:
        self.told.append(f"kicked: {reason}")


class RecordingListener:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def started(self, room_id: str) -> None:
        self.told.append(("started", room_id))

    def ended(self, room_id: str, reason: str) -> None:
        self.told.append(("ended", reason))


class RecordingOutput:
    viewer_count = 3

    def __init__(self) -> None:
        self.packets: list[MediaPacket] = []
        self.tracks: list[tuple[Track, ...]] = []
        self.states: list[str] = []

    def on_tracks(self, tracks, metadata) -> None:
        self.tracks.append(tuple(tracks))

    def on_packet(self, packet: MediaPacket) -> None:
        self.packets.append(packet)

    def on_interrupted(self) -> None:
        self.states.append("interrupted")

    def on_end(self) -> None:
        self.states.append("ended")


class BrokenOutput(RecordingOutput):
    def on_packet(self, packet: MediaPacket) -> None:
        raise ValueError("broken")


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest.fixture
def hub(listener: RecordingListener) -> Hub:
    hub = Hub(grace_seconds=0.05)
    hub.add_listener(listener)
    return hub


def go_live(hub: Hub, publisher: RecordingPublisher, room: str = "room") -> Stream:
    stream = hub.open(room, publisher)
    hub.set_tracks(stream, (VIDEO, AUDIO), {})
    return stream


async def test_a_stream_is_found_live_once_its_tracks_are_known(hub, listener):
    stream = hub.open("room", RecordingPublisher())
    assert hub.find("room") is stream
    assert hub.find_live("room") is None
    hub.set_tracks(stream, (VIDEO,), {})
    assert hub.find_live("room") is stream
    assert listener.told == [("started", "room")]


async def test_a_second_publisher_takes_over_and_viewers_stay(hub, listener):
    first, second = RecordingPublisher(), RecordingPublisher()
    stream = go_live(hub, first)
    output = RecordingOutput()
    stream.attach(output)
    assert hub.open("room", second) is stream
    assert first.told == ["replaced"]
    hub.release("room", first, is_clean=True)  # the old session says goodbye late
    assert stream.state is StreamState.INTERRUPTED
    hub.set_tracks(stream, (VIDEO, AUDIO), {})
    assert stream.state is StreamState.LIVE
    stream.publish(video(0, is_keyframe=True))
    assert len(output.packets) == 1
    assert "ended" not in output.states
    assert listener.told == [("started", "room")]


async def test_a_dropped_publisher_has_a_grace_window(hub, listener):
    publisher = RecordingPublisher()
    stream = go_live(hub, publisher)
    hub.release("room", publisher, is_clean=False)
    assert stream.state is StreamState.INTERRUPTED
    assert hub.open("room", RecordingPublisher()) is stream
    await asyncio.sleep(0.1)  # longer than the window: its timer must be gone
    assert hub.find("room") is stream
    assert listener.told == [("started", "room")]


async def test_the_stream_ends_when_the_grace_window_passes(hub, listener):
    publisher = RecordingPublisher()
    stream = go_live(hub, publisher)
    output = RecordingOutput()
    stream.attach(output)
    hub.release("room", publisher, is_clean=False)
    await eventually(lambda: hub.find("room") is None)
    assert output.states == ["interrupted", "ended"]
    assert listener.told[-1] == ("ended", "publisher lost")


@pytest.mark.parametrize("is_takeover", [True, False])
@pytest.mark.parametrize("grace_seconds", [0.0, 0.05])
async def test_whoever_takes_over_and_sends_nothing_loses_the_stream(
    hub, listener, monkeypatch, is_takeover, grace_seconds
):
    monkeypatch.setattr(hub_module, "FIRST_MEDIA_SECONDS", 0.05)
    first, silent = RecordingPublisher(), RecordingPublisher()
    stream = go_live(hub, first)
    output = RecordingOutput()
    stream.attach(output)
    if not is_takeover:
        hub.release("room", first, is_clean=False)
    hub.grace_seconds = grace_seconds
    assert hub.open("room", silent) is stream
    assert silent.told == []
    await eventually(lambda: hub.find("room") is None)
    assert silent.told == ["kicked: no media came in time"]
    assert output.states == ["interrupted", "ended"]
    assert listener.told == [("started", "room"), ("ended", "publisher lost")]
    hub.release("room", silent, is_clean=False)  # its session closes late
    assert go_live(hub, RecordingPublisher()) is not stream


async def test_a_silent_publisher_that_drops_has_one_grace_window(hub, listener, monkeypatch):
    monkeypatch.setattr(hub_module, "FIRST_MEDIA_SECONDS", 0.01)
    hub.grace_seconds = 60.0
    first, silent = RecordingPublisher(), RecordingPublisher()
    stream = go_live(hub, first)
    hub.open("room", silent)
    hub.grace_seconds = 0.05
    hub.release("room", silent, is_clean=False)
    await eventually(lambda: hub.find("room") is None)
    assert (silent.told, stream.state) == ([], StreamState.ENDED)
    assert listener.told[-1] == ("ended", "publisher lost")
    assert not hub._grace_timers


async def test_whoever_takes_over_and_sends_keeps_the_stream(hub, listener, monkeypatch):
    monkeypatch.setattr(hub_module, "FIRST_MEDIA_SECONDS", 0.05)
    stream = go_live(hub, RecordingPublisher())
    second = RecordingPublisher()
    hub.open("room", second)
    assert hub._grace_timers
    hub.set_tracks(stream, (VIDEO, AUDIO), {})
    assert not hub._grace_timers
    assert (stream.state, second.told) == (StreamState.LIVE, [])
    assert listener.told == [("started", "room")]


async def test_a_clean_goodbye_ends_at_once(hub, listener):
    publisher = RecordingPublisher()
    stream = go_live(hub, publisher)
    hub.release("room", publisher, is_clean=True)
    assert stream.state is StreamState.ENDED
    assert hub.find("room") is None
    assert listener.told[-1] == ("ended", "publisher stopped")


async def test_a_publisher_without_media_leaves_nothing(hub, listener):
    publisher = RecordingPublisher()
    hub.open("room", publisher)
    hub.release("room", publisher, is_clean=False)
    assert hub.find("room") is None
    assert listener.told == []


async def test_kick_tells_the_publisher_and_ends_the_stream(hub):
    publisher = RecordingPublisher()
    stream = go_live(hub, publisher)
    assert hub.kick("room", "key rotated")
    assert publisher.told == ["kicked: key rotated"]
    assert stream.state is StreamState.ENDED
    assert not hub.kick("room", "key rotated")


async def test_all_who_wait_get_the_stream(hub):
    waiting = [asyncio.ensure_future(hub.wait_live("room", 5)) for _ in range(50)]
    await asyncio.sleep(0)
    stream = go_live(hub, RecordingPublisher())
    assert await asyncio.gather(*waiting) == [stream] * 50
    assert not hub._waiting


async def test_waiting_times_out_and_leaves_nothing(hub):
    assert await hub.wait_live("room", 0.01) is None
    assert not hub._waiting


async def test_an_attached_output_first_gets_the_group_of_pictures(hub):
    stream = go_live(hub, RecordingPublisher())
    for packet in (video(0, is_keyframe=True), audio(0), video(1)):
        stream.publish(packet)
    output = RecordingOutput()
    stream.attach(output)
    assert output.tracks == [(VIDEO, AUDIO)]
    assert len(output.packets) == 3


async def test_an_output_that_raises_is_dropped_and_the_others_lose_nothing(hub):
    stream = go_live(hub, RecordingPublisher())
    before, broken, after = RecordingOutput(), BrokenOutput(), RecordingOutput()
    for output in (before, broken, after):
        stream.attach(output)
    stream.publish(video(0, is_keyframe=True))
    stream.publish(video(1))
    assert len(before.packets) == len(after.packets) == 2
    assert broken.states == ["ended"]
    assert stream.viewer_count == 6


async def test_shared_outputs_are_made_once(hub):
    stream = go_live(hub, RecordingPublisher())
    made = stream.shared("flv", RecordingOutput)
    assert stream.shared("flv", RecordingOutput) is made
    stream.detach(made)
    assert stream.shared("flv", RecordingOutput) is not made


async def test_an_output_goes_on_with_another_stream(hub):
    stream, other = go_live(hub, RecordingPublisher()), go_live(hub, RecordingPublisher(), "other")
    moved, resident = stream.shared("flv", RecordingOutput), other.shared("flv", RecordingOutput)
    other.publish(video(0, is_keyframe=True))
    assert stream.take("flv") is moved
    assert stream.take("flv") is None
    stream.publish(video(0, is_keyframe=True))
    other.give("flv", moved)
    other.publish(video(1))
    assert [packet.dts for packet in moved.packets] == [video(1).dts]
    assert moved.tracks == [(VIDEO, AUDIO)] * 2
    assert other.viewers_by_output() == {"flv": 3, "flv+": 3}
    assert other.shared("flv", RecordingOutput) is resident
    other.detach(moved)
    assert other.viewer_count == 3


async def test_figures(hub):
    stream = go_live(hub, RecordingPublisher())
    for n in range(200):
        stream.publish(video(n, is_keyframe=n % 50 == 0, payload=bytes(1000)))
    figures = stream.statistics.figures()
    assert figures.packets == 200
    assert figures.bytes == 200_000
    assert figures.keyframe_interval == 2.0
    assert 24 <= figures.frame_rate <= 26
    assert 190_000 <= figures.bitrate <= 210_000


async def test_an_ended_stream_cannot_go_live_again(hub, listener):
    publisher = RecordingPublisher()
    stream = go_live(hub, publisher)
    hub.release("room", publisher, is_clean=True)
    hub.set_tracks(stream, (VIDEO,), {})
    assert stream.state is StreamState.ENDED
    assert [what for what, _ in listener.told] == ["started", "ended"]
