"""When gathered packets leave."""

from __future__ import annotations

from structlog.testing import capture_logs

from sfu.header_extensions import Batch
from sfu.media_plane import LOG_SECONDS, MediaPlane
from tests.sfu.forwarding_world import Receiver, packet


class Stream:
    """Says what it is asked."""

    def __init__(self, plane: MediaPlane, *, is_whole: bool = True, fails: bool = False) -> None:
        self.flushed = 0
        self.whole = is_whole
        self._fails = fails
        plane.wait(self)

    def is_whole(self) -> bool:
        return self.whole

    def flush(self) -> None:
        self.flushed += 1
        if self._fails:
            raise RuntimeError("a bug elsewhere")


def test_without_a_timer_everything_leaves_at_once() -> None:
    plane = MediaPlane()
    streams = [Stream(plane), Stream(plane, is_whole=False)]
    plane.flush()
    plane.flush()
    assert [stream.flushed for stream in streams] == [1, 1]


def test_parts_of_frames_wait_for_the_rest_or_the_timer() -> None:
    plane = MediaPlane()
    held: list[int] = []
    plane.hold = lambda: held.append(1)
    whole, first, second = Stream(plane), Stream(plane, is_whole=False), Stream(plane, is_whole=False)
    plane.flush()
    plane.flush()
    assert (whole.flushed, first.flushed, len(held)) == (1, 0, 1)
    first.whole = True
    plane.flush()
    assert (first.flushed, second.flushed) == (1, 0)
    plane.flush_all()
    assert (first.flushed, second.flushed) == (1, 1)
    Stream(plane, is_whole=False)
    plane.flush()
    assert len(held) == 2


def test_a_stream_that_raises_costs_the_others_nothing() -> None:
    plane = MediaPlane()
    streams = [Stream(plane), Stream(plane, fails=True), Stream(plane)]
    plane.flush()
    assert [stream.flushed for stream in streams] == [1, 1, 1]
    assert plane.counters.flush_errors == 1


def test_a_consumer_that_keeps_failing_is_counted_each_time_and_seldom_logged() -> None:
    now = [0.0]
    plane = MediaPlane(lambda: now[0])
    receiver = Receiver(rewrite=lambda number: 1 // (number - number))
    with capture_logs() as lines:
        for number in range(5):
            plane.forwarder.forward(Batch.of([packet(number)]), [receiver.consumer], now[0])
        assert (len(lines), plane.counters.flush_errors) == (1, 5)
        now[0] += LOG_SECONDS
        plane.forwarder.forward(Batch.of([packet(9)]), [receiver.consumer], now[0])
    receiver.close()
    assert [line["failures"] for line in lines] == [1, 6]
