"""Forwarding: what arrives is decrypted by libsrtp and compared field by field."""

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sfu.forwarding import ConsumerState, Forwarder
from sfu.header_extensions import MAX_BATCH, Batch, ExtensionPlan, extension_plan
from sfu.protocol import rtp
from sfu.protocol.congestion.ledger import SentPackets
from sfu.protocol.errors import MalformedPacket
from sfu.protocol.retransmission import RtxEncoder, SentHistory
from sfu.protocol.sequence import SequenceRewriter
from sfu.sending_path import MAX_SEGMENT_SIZE, SendingPath, can_segment
from sfu.srtp import PROFILES, SrtpProfile
from tests.sfu.forwarding_world import PLAN, Ledger, Receiver, packet

NOW = 1000.25
FORWARDER = Forwarder()

Receive = Callable[..., Receiver]


@pytest.fixture
def receive() -> Iterator[Receive]:
    """Makes receivers, and closes them."""
    made: list[Receiver] = []

    def make(**options: Any) -> Receiver:
        made.append(Receiver(**options))
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


def forward(packets: list[bytes], *receivers: Receiver) -> int:
    return FORWARDER.forward(Batch.of(packets, stream=1), [receiver.consumer for receiver in receivers], NOW)


def extensions_of(data: bytes) -> dict[int, bytes]:
    places = rtp.extensions(data, rtp.parse(data))
    return {identifier: data[offset : offset + length] for identifier, (offset, length) in places.items()}


def payload_of(data: bytes) -> bytes:
    return data[rtp.parse(data).payload_offset :]


class TestOnePacket:
    @pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name.decode())
    def test_only_what_must_differ_differs(self, receive: Receive, profile: SrtpProfile) -> None:
        receiver = receive(profile=profile, rewrite=lambda number: number + 900 & 0xFFFF)
        receiver.consumer.timestamp_offset = 0xFFFF_FFFF
        source = packet(65000, marker=True)
        assert forward([source], receiver) == 1
        (arrived,) = receiver.packets()
        header = rtp.parse(arrived)
        assert (header.ssrc, header.payload_type, header.marker) == (77, 96, True)
        assert header.sequence_number == (65000 + 900) & 0xFFFF
        assert header.timestamp == 90 * 65000 - 1
        assert payload_of(arrived) == payload_of(source)

    def test_csrcs_and_padding_stay(self, receive: Receive) -> None:
        receiver = receive()
        source = bytearray(packet(1, csrc=(8, 9)) + b"\0\0\3")
        source[0] |= 0x20
        forward([bytes(source)], receiver)
        (arrived,) = receiver.packets()
        header = rtp.parse(arrived)
        assert (header.csrc_count, header.padding) == (2, 3)
        assert arrived[12:20] == struct.pack("!LL", 8, 9)
        assert receiver.consumer.octets == 1000

    def test_counters(self, receive: Receive) -> None:
        receiver = receive()
        forward([packet(1), packet(2)], receiver)
        assert (receiver.consumer.packets, receiver.consumer.octets) == (2, 2000)
        assert (receiver.path.packets, receiver.path.dropped) == (2, 0)
        assert receiver.path.octets == sum(len(datagram) for datagram in receiver.datagrams())


class TestHeaderExtensions:
    def test_are_renumbered_added_and_left_out(self, receive: Receive) -> None:
        receiver = receive()
        receiver.path.ledger = Ledger(first=0xFFFF)
        source = packet(1, [(1, b"producer"), (5, b"\x83"), (7, b"rid")])
        forward([source, packet(2, [(1, b"producer")])], receiver)
        first, second = map(extensions_of, receiver.packets())
        time = (int(NOW * 2**18) & 0xFFFFFF).to_bytes(3, "big")
        assert first == {2: time, 3: b"\xff\xff", 4: b"mi", 10: b"\x83"}
        assert second == {2: time, 3: b"\0\0", 4: b"mi"}

    def test_long_ones_are_written_in_the_long_form(self, receive: Receive) -> None:
        receiver = receive()
        receiver.path.ledger = Ledger(first=258)
        forward([packet(1, [(5, b"d" * 40)])], receiver)
        (arrived,) = receiver.packets()
        found = extensions_of(arrived)
        assert (found[10], found[3], found[4]) == (b"d" * 40, b"\1\2", b"mi")

    def test_a_peer_that_wants_none_gets_none(self, receive: Receive) -> None:
        receiver = receive(plan=extension_plan())
        forward([packet(1, [(5, b"x")])], receiver)
        (arrived,) = receiver.packets()
        assert not arrived[0] & 0x10
        assert payload_of(arrived) == payload_of(packet(1))

    def test_plans_of_the_same_values_are_one(self) -> None:
        assert extension_plan({5: 10}, 4, 2, 2, 3) is PLAN
        assert extension_plan({5: 11}, 4, 2, 2, 3) is not PLAN

    @pytest.mark.parametrize(
        ("renumbered", "mid"), [({5: 4}, 4), ({5: 256}, 4), ({5: 9, 6: 9}, 4), ({5: -1}, 4)]
    )
    def test_ids_must_differ_and_fit(self, renumbered: dict[int, int], mid: int) -> None:
        with pytest.raises(ValueError, match="ids"):
            extension_plan(renumbered, mid=mid, mid_size=1)

    def test_a_mid_must_fit(self, receive: Receive) -> None:
        with pytest.raises(ValueError, match="mid"):
            extension_plan(mid=4, mid_size=17)
        with pytest.raises(ValueError, match="mid"):
            ConsumerState(receive().path, 1, 1, lambda number: number, PLAN, b"long")

    @pytest.mark.parametrize(
        "block", ["bede0001 1f000000", "bede0100" + 256 * "00000000", "10000001 01ff0000"]
    )
    def test_malformed_ones_end_at_the_batch(self, block: str) -> None:
        head = bytearray(packet(1)[:12])
        head[0] |= 0x10
        with pytest.raises(MalformedPacket):
            Batch.of([bytes(head) + bytes.fromhex(block) + b"payload"])


class TestManyConsumers:
    def test_each_gets_its_own(self, receive: Receive) -> None:
        plans: list[ExtensionPlan] = [PLAN, extension_plan(), extension_plan({5: 1}), PLAN]
        receivers = [
            receive(plan=plan, profile=profile, ssrc=100 + index)
            for index, (plan, profile) in enumerate(zip(plans, (*PROFILES, PROFILES[0]), strict=True))
        ]
        sources = [packet(number, [(5, b"lv")]) for number in range(1, 5)]
        assert forward(sources, *receivers) == 16
        for index, receiver in enumerate(receivers):
            arrived = receiver.packets()
            assert [rtp.parse(data).ssrc for data in arrived] == [100 + index] * 4
            assert [payload_of(data) for data in arrived] == [payload_of(data) for data in sources]

    def test_one_that_is_not_connected_yet_costs_nobody(self, receive: Receive) -> None:
        early, ready = receive(), receive()
        early.path.srtp = None
        assert forward([packet(1)], early, ready) == 1
        assert len(ready.packets()) == 1

    def test_what_fails_for_some_is_told_and_the_others_lose_nothing(self, receive: Receive) -> None:
        def fail(number: int) -> int:
            raise RuntimeError("a bug elsewhere")

        told: list[Exception] = []
        first, last = receive(), receive()
        broken = [receive(rewrite=fail), receive(), receive(rewrite=fail)]
        broken[1].path.udp, broken[1].path.send = None, fail  # type: ignore[assignment]
        receivers = [broken[0], first, *broken[1:], last]
        batch = Batch.of([packet(number) for number in (1, 2)])
        sent = Forwarder(told.append).forward(batch, [receiver.consumer for receiver in receivers], NOW)
        assert sent == 4
        assert len(first.packets()) == len(last.packets()) == 2
        assert [str(error) for error in told] == ["a bug elsewhere"] * 3

    def test_batches_longer_than_the_buffer(self, receive: Receive) -> None:
        receiver = receive(segmentation=can_segment_here())
        count = 2 * MAX_BATCH + 3
        assert forward([packet(number, size=1300) for number in range(count)], receiver) == count
        numbers = [rtp.parse(data).sequence_number for data in receiver.packets()]
        assert numbers == list(range(count))


class TestLeavingOut:
    def test_what_the_rewriter_leaves_out_leaves_no_gap(self, receive: Receive) -> None:
        rewriter = SequenceRewriter(1000)
        receiver = receive(rewrite=rewriter.rewrite)
        receiver.path.ledger = ledger = Ledger()
        forward([packet(1)], receiver)
        rewriter.drop(2)
        forward([packet(2), packet(3), packet(4)], receiver)
        arrived = receiver.packets()
        assert [rtp.parse(data).sequence_number for data in arrived] == [1000, 1001, 1002]
        assert [payload_of(data)[:4] for data in arrived] == [struct.pack("!L", n) for n in (1, 3, 4)]
        assert ledger.next == 4

    def test_no_number_leaves_twice(self, receive: Receive) -> None:
        receiver = receive()
        forward([packet(1), packet(2)], receiver)
        assert forward([packet(2), packet(3)], receiver) == 1
        numbers = [rtp.parse(data).sequence_number for data in receiver.packets()]
        assert numbers == [1, 2, 3]
        assert receiver.consumer.packets == 3

    def test_numbers_can_depend_on_what_is_known_of_a_packet(self, receive: Receive) -> None:
        """As the choice of layers does: it says -1, and when the timestamps change."""
        receiver = receive()

        def choose(layer: int) -> int:
            receiver.consumer.timestamp_offset = 5
            return 500 if layer == 1 else -1

        receiver.consumer.rewrite = choose
        batch = Batch()
        for layer in (0, 1, 2):
            batch.add(packet(layer), detail=layer)
        assert FORWARDER.forward(batch, [receiver.consumer], NOW) == 1
        (arrived,) = receiver.packets()
        assert (rtp.parse(arrived).sequence_number, rtp.parse(arrived).timestamp) == (500, 95)

    def test_what_the_payload_rewriter_refuses_stays(self, receive: Receive) -> None:
        class Refusal:
            def rewrite(self, buffer: bytearray, start: int, end: int) -> int | None:
                return None if buffer[start + 3] == 2 else 0

        receiver = receive()
        receiver.consumer.payload_rewriter = Refusal()
        assert forward([packet(1), packet(2), packet(3)], receiver) == 2
        assert [rtp.parse(data).sequence_number for data in receiver.packets()] == [1, 3]

    def test_everything_left_out(self, receive: Receive) -> None:
        receiver = receive(rewrite=lambda _: None)
        receiver.path.ledger = Ledger()
        assert forward([packet(1)], receiver) == 0
        assert receiver.datagrams() == []

    def test_what_the_history_refuses_stays(self, receive: Receive) -> None:
        receiver = receive()
        receiver.consumer.history = history = SentHistory(90_000)
        batch = Batch(stream=2)
        for number in (5, 5, 6):
            batch.add(packet(number), source=70_000 + number)
        assert FORWARDER.forward(batch, [receiver.consumer], NOW) == 2
        newest = history.newest()
        assert newest is not None
        assert (newest.sequence_number, newest.stream, newest.source) == (6, 2, 70_006)
        assert newest.timestamp == 540


class TestPayload:
    def test_is_rewritten_in_place_per_consumer(self, receive: Receive) -> None:
        class Stamp:
            def rewrite(self, buffer: bytearray, start: int, end: int) -> int:
                assert end - start == 1000
                buffer[start : start + 2] = b"!!"
                return 9

        changed, plain = receive(), receive()
        changed.consumer.payload_rewriter = Stamp()
        changed.consumer.history = history = SentHistory(90_000, pictures=True)
        forward([packet(1)], changed, plain)
        assert payload_of(changed.packets()[0])[:2] == b"!!"
        assert payload_of(plain.packets()[0]) == payload_of(packet(1))
        newest = history.newest()
        assert newest is not None and newest.picture == 9


class TestSinglePackets:
    def test_rtx_gets_time_and_transport_wide_number(self, receive: Receive) -> None:
        receiver = receive()
        receiver.path.ledger = ledger = Ledger(first=515)
        source = packet(4, [(5, b"l")])
        outgoing = PLAN.apply(source, rtp.parse(source), b"mi")
        resent = RtxEncoder(97, 78, 1).encode(outgoing, rtp.parse(outgoing))
        assert FORWARDER.send_packet(receiver.path, PLAN, resent, NOW) == 1
        (arrived,) = receiver.packets()
        assert rtp.parse(arrived).ssrc == 78
        assert extensions_of(arrived)[3] == b"\2\3"
        assert extensions_of(arrived)[4] == b"mi"
        assert ledger.batches == [([len(arrived) + 16], 1_000_250_000)]

    def test_nothing_leaves_before_there_are_keys(self) -> None:
        assert FORWARDER.send_packet(SendingPath(), PLAN, bytearray(packet(1)), NOW) == 0


def can_segment_here() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        return can_segment(udp)


needs_segmentation = pytest.mark.skipif(not can_segment_here(), reason="this kernel has no UDP_SEGMENT")


class Refusing:
    """A socket whose `sendmsg`, or everything, fails in a way of one's choice."""

    def __init__(self, udp: socket.socket, number: int, wholly: bool = False) -> None:
        self._udp = udp
        self._number = number
        self._wholly = wholly

    def sendmsg(self, *_: object) -> int:
        raise OSError(self._number, "refused")

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        if self._wholly:
            raise OSError(self._number, "refused")
        return self._udp.sendto(data, address)


class TestSegmentation:
    @needs_segmentation
    @pytest.mark.parametrize(
        "sizes", [[1000] * 8, [1000, 1000, 400], [400, 1000, 1000], [900, 901, 901, 900, 1], [5], [1300] * 70]
    )
    def test_gives_the_same_datagrams(self, receive: Receive, sizes: list[int]) -> None:
        by_segments, one_by_one = receive(segmentation=True), receive()
        sources = [packet(number, size=max(4, size)) for number, size in enumerate(sizes)]
        assert forward(sources, by_segments, one_by_one) == 2 * len(sizes)
        assert by_segments.path.segmentation
        assert by_segments.packets() == one_by_one.packets()
        assert by_segments.path.packets == len(sizes)

    @pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.EMSGSIZE])
    def test_is_given_up_where_it_is_refused(self, receive: Receive, number: int) -> None:
        receiver = receive(segmentation=True)
        receiver.path.udp = Refusing(receiver.sender, number)  # type: ignore[assignment]
        assert forward([packet(1), packet(2)], receiver) == 2
        assert not receiver.path.segmentation
        assert len(receiver.packets()) == 2

    def test_packets_too_large_for_some_paths_go_singly_and_end_it_for_no_others(
        self, receive: Receive
    ) -> None:
        receiver = receive(segmentation=True)
        receiver.path.udp = Refusing(receiver.sender, errno.EINVAL)  # type: ignore[assignment]
        large = [packet(number, size=MAX_SEGMENT_SIZE) for number in range(2)]
        assert forward(large, receiver) == 2
        assert receiver.path.segmentation
        assert len(receiver.packets()) == 2

    @pytest.mark.parametrize("segmentation", [True, False])
    @pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS, errno.EPERM, errno.ENETUNREACH])
    def test_what_the_kernel_does_not_take_is_dropped_and_counted(
        self, receive: Receive, number: int, segmentation: bool
    ) -> None:
        receiver = receive(segmentation=segmentation)
        receiver.path.udp = Refusing(receiver.sender, number, wholly=True)  # type: ignore[assignment]
        assert forward([packet(1), packet(2)], receiver) == 0
        assert receiver.path.dropped == 2
        assert receiver.path.segmentation == segmentation


class TestOtherWays:
    def test_a_path_without_udp_gets_single_datagrams(self, receive: Receive) -> None:
        receiver = receive()
        sent: list[bytes] = []
        receiver.path.udp, receiver.path.send = None, sent.append
        assert forward([packet(1), packet(2)], receiver) == 2
        assert [rtp.parse(receiver.srtp.unprotect(data)).sequence_number for data in sent] == [1, 2]

    def test_without_an_address_it_is_dropped(self, receive: Receive) -> None:
        receiver = receive()
        receiver.path.address = None
        assert not receiver.path.is_open
        assert forward([packet(1)], receiver) == 0
        assert receiver.path.dropped == 1

    def test_the_address_may_change(self, receive: Receive) -> None:
        old, new = receive(), receive()
        forward([packet(1)], old)
        old.path.address = new.udp.getsockname()
        forward([packet(2)], old)
        assert [len(old.datagrams()), len(new.datagrams())] == [1, 1]


def test_it_works_with_the_ledger_of_congestion_control(receive: Receive) -> None:
    receiver = receive()
    receiver.path.ledger = ledger = SentPackets(first_number=7)
    forward([packet(1), packet(2)], receiver)
    assert [extensions_of(data)[3] for data in receiver.packets()] == [b"\0\7", b"\0\x08"]
    assert len(ledger) == 2
