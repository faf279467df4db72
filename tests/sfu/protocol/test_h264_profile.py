"""Profile-level-ids: what they mean (RFC 6184 table 5), and what is answered."""

from __future__ import annotations

import pytest

from sfu.protocol import h264_profile
from sfu.protocol.h264_profile import LEVEL_1_B, Profile


@pytest.mark.parametrize(
    ("text", "profile", "level"),
    [
        ("42e01f", Profile.CONSTRAINED_BASELINE, 31),
        ("42E01F", Profile.CONSTRAINED_BASELINE, 31),
        ("42c02a", Profile.CONSTRAINED_BASELINE, 42),
        ("4d8015", Profile.CONSTRAINED_BASELINE, 21),
        ("58f015", Profile.CONSTRAINED_BASELINE, 21),
        ("42001f", Profile.BASELINE, 31),
        ("58a01f", Profile.BASELINE, 31),
        ("4d001f", Profile.MAIN, 31),
        ("4d401f", Profile.MAIN, 31),
        ("64001f", Profile.HIGH, 31),
        ("640c1f", Profile.CONSTRAINED_HIGH, 31),
        ("f4001f", Profile.PREDICTIVE_HIGH_444, 31),
        ("42f00b", Profile.CONSTRAINED_BASELINE, LEVEL_1_B),
        ("42e00b", Profile.CONSTRAINED_BASELINE, 11),
    ],
)
def test_meaning(text: str, profile: Profile, level: int) -> None:
    assert h264_profile.parse(text) == (profile, level)


@pytest.mark.parametrize("text", ["", "42e01", "42e01g", "42e01f0", "42e0ff", "00001f", "64011f", "٤٢e01f"])
def test_nonsense_means_nothing(text: str) -> None:
    assert h264_profile.parse(text) is None


def test_no_id_means_constrained_baseline() -> None:
    assert h264_profile.is_same_profile({}, {"profile-level-id": "42e034"})


def test_an_unreadable_id_is_the_same_as_nothing() -> None:
    assert not h264_profile.is_same_profile({"profile-level-id": "zzz"}, {"profile-level-id": "zzz"})


def test_an_id_of_digits_may_come_as_a_number() -> None:
    assert h264_profile.is_same_profile({"profile-level-id": 640028}, {"profile-level-id": "64001f"})


@pytest.mark.parametrize(
    ("ours", "theirs", "asymmetry", "answer"),
    [
        ("42e01f", "42e00d", (1, 1), "42e01f"),
        ("42e01f", "42e00d", (1, 0), "42e00d"),
        ("42e01f", "42e00d", (0, 1), "42e00d"),
        ("42e00d", "42e01f", (0, 0), "42e00d"),
        ("42e00b", "42f00b", (0, 0), "42f00b"),
        ("42f00b", "42e00b", (0, 0), "42f00b"),
        ("42f00b", "42e00a", (0, 0), "42e00a"),
    ],
)
def test_level_of_the_answer(ours: str, theirs: str, asymmetry: tuple[int, int], answer: str) -> None:
    local = {"profile-level-id": ours, "level-asymmetry-allowed": asymmetry[0]}
    remote = {"profile-level-id": theirs, "level-asymmetry-allowed": asymmetry[1]}
    assert h264_profile.answer(local, remote) == answer


def test_nothing_is_answered_to_nothing() -> None:
    assert h264_profile.answer({}, {}) is None
