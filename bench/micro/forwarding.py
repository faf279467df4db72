"""``python -m bench.micro.forwarding``: what forwarding one WebRTC packet to one consumer costs.

One stream of 1,200-byte packets in frames, AES-128-GCM, many consumers with keys of their own, on the
loopback; another process reads every datagram and counts. Nothing but `Forwarder.forward` and `unprotect`
of the incoming packets is timed.
"""

import json
import multiprocessing
import os
import socket
import struct
import time
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from sfu.forwarding import ConsumerState, Forwarder
from sfu.header_extensions import Batch, extension_plan
from sfu.protocol.congestion.ledger import SentPackets
from sfu.protocol.retransmission import SentHistory
from sfu.protocol.sequence import SequenceRewriter
from sfu.sending_path import SendingPath, can_segment
from sfu.srtp import AEAD_AES_128_GCM, SrtpSession

RECEIVE_BUFFER: Final = 16 * 2**20
KEY_SIZE: Final = AEAD_AES_128_GCM.key_size + AEAD_AES_128_GCM.salt_size
CLOCK_RATE: Final = 90_000
SOURCE_SSRC: Final = 1
EXTENSIONS: Final = bytes.fromhex("bede0001") + b"\x10m\x20l"


@dataclass(frozen=True, slots=True)
class Result:
    """What one run measured."""

    packets: int
    seconds: float
    processor_seconds: float
    received: int
    dropped: int

    def figures(self) -> dict[str, float]:
        """Return the figures by their names."""
        return {
            "packets out per second": round(self.packets / self.seconds),
            "µs of processor per packet": round(1e6 * self.processor_seconds / self.packets, 2),
            "received, share": round(self.received / self.packets, 4),
            "dropped by the kernel": self.dropped,
        }


def read_all(sockets: list[socket.socket], pipe: Connection) -> None:
    """Count datagrams on every socket until the other side says to stop; runs in another process."""
    received = 0
    buffer = bytearray(65536)
    is_ending = False
    while True:
        idle = True
        for receiver in sockets:
            try:
                for _ in range(256):
                    receiver.recv_into(buffer)
                    received += 1
                    idle = False
            except BlockingIOError:
                continue
        if idle and is_ending:
            pipe.send(received)
            return
        # what was sent before the word to stop may have come behind this round
        is_ending = idle and pipe.poll(0.001)


def open_receivers(count: int) -> list[socket.socket]:
    """Return non-blocking UDP sockets on the loopback with room for bursts."""
    receivers = []
    for _ in range(count):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        receivers.append(receiver)
    return receivers


def make_consumers(
    count: int, receivers: list[socket.socket], udp: socket.socket, options: Namespace
) -> list[ConsumerState]:
    """Return consumers with all that a real one has: keys, history, ledger, extensions."""
    plan = extension_plan({2: 10}, mid=4, mid_size=1, abs_send_time=2, transport_sequence=3)
    consumers = []
    for index in range(count):
        path = SendingPath(
            udp,
            receivers[index % len(receivers)].getsockname(),
            segmentation=options.segmentation and can_segment(udp),
            ledger=SentPackets(),
        )
        path.srtp = SrtpSession(AEAD_AES_128_GCM, os.urandom(KEY_SIZE), os.urandom(KEY_SIZE))
        consumer = ConsumerState(path, 1000 + index, 96, SequenceRewriter(1).rewrite, plan, b"0")
        consumer.history = SentHistory(CLOCK_RATE)
        consumers.append(consumer)
    return consumers


def run(options: Namespace) -> Result:
    """Forward frames for as long as asked; return what it cost."""
    receivers = open_receivers(options.sockets)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RECEIVE_BUFFER)
    udp.setblocking(False)
    here, there = multiprocessing.Pipe()
    reader = multiprocessing.get_context("fork").Process(target=read_all, args=(receivers, there))
    reader.start()
    try:
        consumers = make_consumers(options.consumers, receivers, udp, options)
        return _measure(consumers, here, options)
    finally:
        reader.join(timeout=5)
        reader.kill()


def _measure(consumers: list[ConsumerState], pipe: Connection, options: Namespace) -> Result:
    forwarder = Forwarder()
    publisher = SrtpSession(AEAD_AES_128_GCM, key := os.urandom(KEY_SIZE), bytes(KEY_SIZE))
    incoming = SrtpSession(AEAD_AES_128_GCM, bytes(KEY_SIZE), key)
    sent, sequence, wall, processor = 0, 0, 0.0, 0.0
    while wall < options.seconds:
        frame = []
        for _ in range(options.frame):
            frame.append(publisher.protect(_packet(sequence)))
            sequence += 1
        started, started_processor = time.perf_counter(), time.process_time()
        batch = Batch.of([incoming.unprotect(packet) for packet in frame])
        sent += forwarder.forward(batch, consumers, time.monotonic())
        wall += time.perf_counter() - started
        processor += time.process_time() - started_processor
    dropped = sum(consumer.path.dropped for consumer in consumers)
    pipe.send(None)
    received = pipe.recv() if pipe.poll(10) else 0
    return Result(sent, wall, processor, received, dropped)


def _packet(sequence: int) -> bytes:
    """Return a packet of 1,200 bytes with a mid and an audio-level-like extension."""
    head = struct.pack("!BBHLL", 0x90, 96, sequence & 0xFFFF, sequence // 8 * 3000 & 0xFFFFFFFF, SOURCE_SSRC)
    return (head + EXTENSIONS).ljust(1200, b"p")


def main() -> None:
    """Measure once with segmentation (GSO) and once without, and print both."""
    parser = ArgumentParser(prog="python -m bench.micro.forwarding", description=__doc__)
    parser.add_argument("--consumers", type=int, default=100, help="consumers of the stream (default 100)")
    parser.add_argument("--frame", type=int, default=8, help="packets per frame (default 8)")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each of the two runs takes")
    parser.add_argument("--sockets", type=int, default=4, help="sockets that the consumers' datagrams go to")
    options = parser.parse_args()
    for segmentation in (True, False):
        options.segmentation = segmentation
        print("GSO " if segmentation else "none", json.dumps(run(options).figures(), ensure_ascii=False))


if __name__ == "__main__":
    main()
