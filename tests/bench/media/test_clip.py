import pytest

from bench.errors import BenchError
from bench.media.clip import load_clip, make_clip, parse_flv
from bench.media.pattern import generate_clip
from tests.bench.flv_bytes import FILE_HEADER, configuration, flv, tag, video_body


def test_configuration_and_frames_are_told_apart():
    clip = make_clip(flv(frames=10, interval=40))
    assert [t.kind for t in clip.configuration] == [9, 8]
    assert len(clip.tags) == 20
    assert clip.tags[0].is_keyframe


def test_a_repetition_begins_one_frame_after_the_last():
    assert make_clip(flv(frames=10, interval=40)).period == 410  # the audio ends last


def test_a_clip_begins_with_its_first_keyframe_at_zero():
    late = FILE_HEADER + configuration() + tag(9, 1000, video_body(False))
    late += tag(9, 1040, video_body(True)) + tag(9, 1080, video_body(False))
    assert [t.timestamp for t in make_clip(late).tags] == [0, 40]


def test_timestamps_use_the_extension_byte():
    assert [t.timestamp for t in parse_flv(FILE_HEADER + tag(8, 0x1234567, b"\xaf\x01"))] == [0x1234567]


def test_flv_that_is_cut_off_is_refused():
    with pytest.raises(BenchError, match="cut off"):
        make_clip(flv()[:-1])


def test_a_file_without_media_is_refused():
    with pytest.raises(BenchError, match="no media"):
        make_clip(FILE_HEADER + configuration())


def test_what_is_no_media_file_is_told_by_name(tmp_path):
    path = tmp_path / "text.flv"
    path.write_text("not a film")
    with pytest.raises(BenchError, match=str(path)):
        load_clip(path)
    with pytest.raises(BenchError, match="missing"):
        load_clip(tmp_path / "missing.flv")


def test_the_generated_clip_carries_two_megabits():
    clip = generate_clip()
    assert clip.bits_per_second == pytest.approx(2e6, rel=0.05)
    keyframes = [t.timestamp for t in clip.tags if t.is_keyframe]
    assert keyframes == [0, 2000, 4000]
    assert all(t.is_avc for t in clip.tags if t.kind == 9)
