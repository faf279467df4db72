"""What is listed, what can still be fetched, and what is forgotten."""

from mediaserver.delivery.hls.segments import MediaStore, Part, Segment
from mediaserver.delivery.hls.window import SegmentWindow


def segment(sequence: int, store: MediaStore, duration: float = 2.0, size: int = 100) -> Segment:
    made = Segment(sequence, f"s{sequence}", "map", sequence * duration, is_discontinuous=sequence == 2)
    for number in range(2):
        store.put(f"s{sequence}.p{number}", bytes(size // 2))
        made.parts.append(Part(f"s{sequence}.p{number}", duration / 2, is_independent=True))
    made.duration, made.size, made.samples, made.is_complete = duration, size, 60, True
    store.complete(made)
    return made


def test_what_is_listed_and_what_is_kept():
    store = MediaStore()
    window = SegmentWindow(store, 4, 2)
    for sequence in range(20):
        window.append(segment(sequence, store))
    assert [s.sequence for s in window.listed] == [16, 17, 18, 19]
    assert window.removed_discontinuities == 1
    # One that left stays for its own two seconds and the ten of the longest playlist with it.
    assert [s.sequence for s in window] == [*range(9, 20)]
    assert store.get("s9.p1") is not None
    assert store.get("s8") is store.get("s8.p0") is None
    assert store.total == window.size == 1100


def test_a_playlist_is_never_shorter_than_three_target_durations():
    store = MediaStore()
    window = SegmentWindow(store, 4, 6)
    for sequence in range(20):
        window.append(segment(sequence, store))
    assert sum(s.duration for s in window.listed) == 18


def test_bytes_can_always_be_given_up():
    store = MediaStore()
    window = SegmentWindow(store, 4, 2)
    for sequence in range(8):
        window.append(segment(sequence, store))
    while window.shrink():
        pass
    assert store.total == 0
    assert not window.listed


def test_bitrates():
    store = MediaStore()
    window = SegmentWindow(store, 4, 2)
    for sequence, size in enumerate((100, 400, 100)):
        window.append(segment(sequence, store, size=size))
    assert window.peak_bitrate == 400 * 8 / 2
    assert window.average_bitrate == 600 * 8 / 6
    assert window.frame_rate == 30
