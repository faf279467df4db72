"""A received stream: no order of numbers, timestamps and reports breaks its state or sends a number twice.

Every 8 bytes of an input are a packet or a report: kind, clock step, number (2), timestamp (4).

Run: python tests/fuzz/fuzz_stream_repair.py [libFuzzer options] folder...
"""

import struct
import sys

import atheris

with atheris.instrument_imports():
    from sfu.protocol import nack, reception
    from sfu.protocol.retransmission import SentHistory
    from sfu.protocol.simulcast import DROPPED, LayerPacket, SimulcastForwarder

RECORD = struct.Struct("!BBHL")
CLOCK_RATE = 90_000
FIRST = 30_000


class Stream:
    """One layer of the producer."""

    def __init__(self, ssrc: int) -> None:
        self.nacks = nack.NackGenerator()
        self.reception = reception.StreamReception(ssrc, CLOCK_RATE)


class State:
    """A producer of two layers and one of its consumers."""

    def __init__(self) -> None:
        self.now = 1.0
        self.streams = [Stream(1), Stream(2)]
        clocks = [stream.reception.clock for stream in self.streams]
        self.forwarder = SimulcastForwarder(clocks, CLOCK_RATE, FIRST)
        self.history = SentHistory(CLOCK_RATE)
        self.forwarded = 0

    def packet(self, kind: int, number: int, timestamp: int) -> None:
        layer = kind & 1
        stream = self.streams[layer]
        source = stream.reception.receive(number, timestamp, 100, self.now)
        if source == reception.DROPPED:
            return
        if stream.nacks.receive(number, self.now, bool(kind & 2)) is nack.Arrival.DUPLICATE:
            stream.reception.duplicate()
            return
        packet = LayerPacket(layer, number, timestamp, source=source)
        packet.keyframe, packet.temporal, packet.layer_sync = bool(kind & 2), kind >> 2 & 3, bool(kind & 16)
        output = self.forwarder.forward(packet, self.now)
        if output != DROPPED:
            self.forwarded += 1
            sent = timestamp + self.forwarder.timestamp_offset & 0xFFFF_FFFF
            self.history.sent(output, layer, source, sent, self.now)

    def report(self, kind: int, number: int, timestamp: int) -> None:
        stream = self.streams[kind & 1]
        if kind & 2:
            stream.reception.sender_report(timestamp << 32 | number << 16, timestamp, self.now)
        elif kind & 4:
            self.forwarder.set_target(number % 3 - 1, number >> 8 & 7)
        else:
            found = self.history.answer([number, timestamp & 0xFFFF], self.now, 0.05)
            assert len(found) <= 2
        report = stream.reception.report(self.now)
        if report is not None:
            struct.pack("!LBlLLLL", *report)
        assert stream.reception.rate.bitrate(self.now) >= 0
        assert len(stream.nacks.due(self.now)) <= nack.MAX_BATCH
        assert stream.nacks.missing <= nack.MAX_MISSING


def test_one_input(data: bytes) -> None:
    state = State()
    for kind, step, number, timestamp in RECORD.iter_unpack(data[: len(data) & ~7]):
        state.now += step / 50
        if kind & 0x80:
            state.report(kind, number, timestamp)
        else:
            state.packet(kind, number, timestamp)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
