"""The estimate of how many watch."""

from mediaserver.delivery.hls.audience import MAX_KNOWN, Audience


def test_the_same_viewer_counts_once_and_not_for_ever():
    audience = Audience(10.0)
    audience.note("1.2.3.4", "player", 0.0)
    audience.note("1.2.3.4", "another", 1.0)
    audience.note("1.2.3.4", "player", 4.0)
    assert audience.present(5.0) == 2
    assert audience.present(12.0) == 1
    assert audience.present(15.0) == 0


def test_those_behind_one_address_are_seen_waiting():
    audience = Audience(10.0)
    audience.note("1.2.3.4", "player", 0.0)
    audience.note_waiting(30, 1.0)
    audience.note_waiting(12, 2.0)
    assert audience.present(3.0) == 30
    assert audience.present(11.5) == 12


def test_memory_is_bounded():
    audience = Audience(10.0)
    for number in range(MAX_KNOWN + 10):
        audience.note(str(number), "", 0.0)
    assert audience.present(1.0) == MAX_KNOWN
