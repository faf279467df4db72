"""Congestion control: whatever a peer reports, in whatever order, the estimate stays within its bounds.

An input is a row of steps of four bytes: what happens, a sequence number, and how much time passes.

Run: python tests/fuzz/fuzz_congestion.py [libFuzzer options] folder...
"""

import struct
import sys

import atheris

with atheris.instrument_imports():
    from sfu.protocol.congestion.controller import CongestionController
    from sfu.protocol.congestion.estimator import MAX_BITRATE, MIN_BITRATE
    from sfu.protocol.congestion.feedback import MAX_JUMP, MAX_PACKETS, FeedbackGenerator

STEP = struct.Struct("!BHB")


def test_one_input(data: bytes) -> None:
    now = 1_000_000
    controller: CongestionController[int] = CongestionController(now)
    controller.set_demand(1_000_000, 5_000_000)
    generator = FeedbackGenerator(now)
    reports: list[tuple[int, int | None]] = []
    for action, sequence, elapsed in STEP.iter_unpack(data[: len(data) // STEP.size * STEP.size]):
        now += elapsed * elapsed * 40
        if action & 1:
            controller.ledger.record(sequence, now)
        if action & 2:
            reports.append((sequence, None if action & 16 else now - sequence * 100))
        if action & 4:
            controller.feedback(reports, now)
            reports.clear()
        if action & 8:
            generator.received(sequence, now)
        if action & 32:
            assert all(len(feedback.packets) <= MAX_PACKETS + MAX_JUMP for feedback in generator.take(now))
        if action & 64:
            controller.pacer.queue(sequence, sequence)
            controller.pacer.release(now)
        if action & 128:
            assert controller.tick(now) > now
            if controller.padding_due(now):
                controller.record_padding(1200, now)
        assert MIN_BITRATE <= controller.estimate <= MAX_BITRATE


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
