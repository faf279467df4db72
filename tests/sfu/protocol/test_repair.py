"""Publisher, server and viewers over bad networks on a fake clock: what is asked for and repeated."""

from __future__ import annotations

import pytest

from sfu.protocol import nack, retransmission, rtcp, rtp
from sfu.protocol.nack import Arrival, NackGenerator
from sfu.protocol.reception import StreamReception
from sfu.protocol.retransmission import PacketRing, RtxEncoder, SentHistory
from tests.sfu.protocol.fake_network import FakeClock, Path, Receiver

CLOCK_RATE = 90_000
MEDIA, REPAIR = 96, 97
PACKETS_PER_SECOND = 200
SECONDS = 5
TIMER = 0.005
ROUND_TRIP = 0.085


class Sender:
    """Sends a stream, answers NACKs by RTX, and checks that no number is used twice."""

    def __init__(self, ssrc: int, first: int, path: Path) -> None:
        self.ssrc = ssrc
        self.count = 0
        self.answered = 0
        self.first = first
        self._path = path
        self._ring = PacketRing()
        self._history = SentHistory(CLOCK_RATE)
        self._rtx = RtxEncoder(REPAIR, ssrc + 1, 500)
        self._nonces: set[tuple[int, int]] = set()

    def send(self, payload: bytes, now: float, receive: Receiver) -> None:
        number = (self.first + self.count) & 0xFFFF
        timestamp = self.count * CLOCK_RATE // PACKETS_PER_SECOND
        packet = bytearray(12) + payload
        packet[0] = 0x80
        rtp.rewrite_header(packet, MEDIA, number, timestamp, self.ssrc)
        self.forward(bytes(packet), number, timestamp, now, receive)

    def forward(self, packet: bytes, number: int, timestamp: int, now: float, receive: Receiver) -> None:
        source = self._ring.store(number, packet)
        assert self._history.sent(number, 0, source, timestamp, now)
        self.count += 1
        self._transmit(packet, receive)

    def answer(self, compound: bytes, now: float, receive: Receiver) -> None:
        for _, _, body in rtcp.split(compound):
            lost = rtcp.read_nack(rtcp.read_feedback(body)[2])
            for entry in self._history.answer(lost, now, ROUND_TRIP):
                packet = self._ring.find(entry.source)
                assert packet is not None
                header = rtp.parse(packet)
                assert (header.sequence_number, header.timestamp) == (entry.sequence_number, entry.timestamp)
                self.answered += 1
                self._transmit(bytes(self._rtx.encode(packet, header)), receive)

    def _transmit(self, packet: bytes, receive: Receiver) -> None:
        header = rtp.parse(packet)
        nonce = (header.ssrc, header.sequence_number)
        assert nonce not in self._nonces, "one nonce twice"
        self._nonces.add(nonce)
        self._path.send(packet, receive)


class Getter:
    """Receives a stream, asks for what is lost, undoes RTX, lets every packet through once."""

    def __init__(self, clock: FakeClock, ssrc: int, back: Path) -> None:
        self.nacks = NackGenerator()
        self.nacks.set_round_trip(ROUND_TRIP)
        self.reception = StreamReception(ssrc, CLOCK_RATE)
        self.got: dict[int, bytes] = {}
        self.asked: list[int] = []
        self.needless = 0
        self._clock = clock
        self._ssrc = ssrc
        self._back = back

    def receive(self, packet: bytes, now: float) -> bytes | None:
        header = rtp.parse(packet)
        if header.payload_type == REPAIR:
            decoded = retransmission.decode(packet, header, MEDIA, self._ssrc)
            assert decoded is not None
            packet, header = bytes(decoded), rtp.parse(decoded)
            self.reception.recovered(len(packet), now)
        else:
            self.reception.receive(header.sequence_number, header.timestamp, len(packet), now)
        if self.nacks.receive(header.sequence_number, now) is Arrival.DUPLICATE:
            self.needless += 1
            return None
        assert header.sequence_number not in self.got
        self.got[header.sequence_number] = packet
        return packet

    def ask(self, receive: Receiver) -> None:
        lost = self.nacks.due(self._clock.now)
        if lost:
            assert not any(number in self.got for number in lost), "asked for what is there"
            self.asked += lost
            self._back.send(rtcp.nack(1, self._ssrc, lost), receive)


class Pair:
    """A sender and a getter with a path each way."""

    def __init__(
        self, clock: FakeClock, seed: int, loss: float, jitter: float, first: int, ssrc: int
    ) -> None:
        self.there = Path(clock, seed, loss=loss, jitter=jitter)
        self.back = Path(clock, seed + 1, loss=loss, jitter=jitter)
        self.sender = Sender(ssrc, first, self.there)
        self.getter = Getter(clock, ssrc, self.back)
        self._clock = clock
        clock.every(TIMER, self._ask)

    def send(self, payload: bytes) -> None:
        self.sender.send(payload, self._clock.now, self.receive)

    def deliver(self, packet: bytes, now: float) -> bytes | None:
        return self.getter.receive(packet, now)

    def _ask(self) -> None:
        self.getter.ask(lambda data, now: self.sender.answer(data, now, self.receive))

    def receive(self, packet: bytes, now: float) -> None:
        self.deliver(packet, now)


def _stream(pair: Pair, clock: FakeClock, seconds: float = SECONDS) -> None:
    """Send in real time, end with a lossless tail that shows the last gaps, and wait for the repairs."""
    for _ in range(round(seconds * PACKETS_PER_SECOND)):
        pair.send(pair.sender.count.to_bytes(4, "big"))
        clock.run_until(clock.now + 1 / PACKETS_PER_SECOND)
    pair.there.loss = pair.back.loss = 0.0
    pair.send(b"tail")
    clock.run_until(clock.now + 2)


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("jitter", [0.0, 0.03])
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_lost_is_repaired(loss: float, jitter: float, seed: int) -> None:
    clock = FakeClock()
    pair = Pair(clock, seed, loss, jitter, first=65_000, ssrc=10)
    _stream(pair, clock)
    # What is lost before anything came is never missed.
    missing = pair.sender.count - len(pair.getter.got)
    assert missing <= (3 if loss else 0)
    assert pair.getter.nacks.missing == 0
    assert all(rtp.parse(packet).ssrc == 10 for packet in pair.getter.got.values())
    if not loss and not jitter:
        assert (pair.getter.asked, pair.sender.answered) == ([], 0)


def test_reordering_alone_is_hardly_asked_for() -> None:
    clock = FakeClock()
    pair = Pair(clock, 3, 0.0, 0.012, first=0, ssrc=10)
    _stream(pair, clock)
    assert len(pair.getter.got) == pair.sender.count
    assert len(pair.getter.asked) == 0


def test_repairs_cost_what_the_loss_costs() -> None:
    clock = FakeClock()
    pair = Pair(clock, 4, 0.3, 0.01, first=0, ssrc=10)
    _stream(pair, clock)
    # 0.3 + 0.3**2 + ... of the packets have to be repeated at the least.
    assert pair.sender.answered < 0.6 * pair.sender.count
    assert pair.getter.needless < 0.1 * pair.sender.count


def test_the_report_tells_the_loss_of_the_path_whatever_was_repaired() -> None:
    clock = FakeClock()
    pair = Pair(clock, 5, 0.3, 0.0, first=0, ssrc=10)
    for _ in range(SECONDS * PACKETS_PER_SECOND):
        pair.send(b"")
        clock.run_until(clock.now + 1 / PACKETS_PER_SECOND)
    report = pair.getter.reception.report(clock.now)
    assert report is not None
    assert report.fraction_lost / 256 == pytest.approx(0.3, abs=0.05)


def test_a_dead_path_is_not_asked_for_ever() -> None:
    clock = FakeClock()
    pair = Pair(clock, 6, 0.0, 0.0, first=0, ssrc=10)
    pair.send(b"first")
    clock.run_until(1.0)
    pair.there.loss = 1.0
    for _ in range(5):
        pair.send(b"lost")
    pair.there.loss = 0.0
    pair.back.loss = 1.0
    pair.send(b"last")
    clock.run_until(10.0)
    assert len(pair.getter.asked) == 5 * nack.MAX_RETRIES
    assert pair.getter.nacks.missing == 0


class Relay(Pair):
    """The publisher's pair, whose getter is a server: it forwards to viewers under their own numbers."""

    def __init__(self, clock: FakeClock, seed: int, loss: float, viewers: list[Pair]) -> None:
        super().__init__(clock, seed, loss, 0.01, first=65_400, ssrc=10)
        self._viewers = viewers

    def receive(self, packet: bytes, now: float) -> None:
        forwarded = self.deliver(packet, now)
        if forwarded is None:
            return
        header = rtp.parse(forwarded)
        for viewer in self._viewers:
            number = header.sequence_number + viewer.sender.first - self.sender.first & 0xFFFF
            copy = bytearray(forwarded)
            rtp.rewrite_header(copy, MEDIA, number, header.timestamp, viewer.sender.ssrc)
            viewer.sender.forward(bytes(copy), number, header.timestamp, now, viewer.receive)


def test_losses_on_both_legs_are_repaired_apart() -> None:
    clock = FakeClock()
    viewers = [Pair(clock, 20 + loss, loss / 100, 0.01, 1000 * loss, 100 + loss) for loss in (0, 10, 30)]
    relay = Relay(clock, 7, 0.1, viewers)
    _stream(relay, clock)
    clock.run_until(clock.now + 2)
    for viewer in viewers:
        assert len(viewer.getter.got) >= 0.985 * relay.sender.count
    # Uplink losses are not answered as losses of the downlink, though NACKs and repairs cross each other.
    assert viewers[0].sender.answered == 0
