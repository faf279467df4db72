"""Ids of one process sort as they were made, whatever the clock does."""

import time
from datetime import UTC, datetime

import pytest

from storage import ids
from storage.ids import new_id


def test_ids_are_version_7_and_tell_their_time():
    before = time.time_ns() // 1_000_000
    made = new_id()
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= datetime.now(UTC).timestamp() * 1000 + 1


def test_ids_of_one_moment_and_of_a_clock_set_back_still_rise(monkeypatch: pytest.MonkeyPatch):
    # A clock of its own: that of the process would stay ahead, and date the ids of later tests in the future.
    monkeypatch.setattr(ids, "_clock", ids._Clock())
    now = time.time_ns() + 60_000_000_000
    for moment in (now, now - 3_600_000_000_000):
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: moment)
        made = [new_id() for _ in range(5000)]
        assert made == sorted(set(made))
