"""Data channels of one peer (RFC 8831, RFC 8832): aiortc's SCTP upon our DTLS, with limits around it.

aiortc reassembles whatever it is sent and asserts that peers keep to the rules. So one task per association,
only where channels were negotiated, feeds it from a bounded queue, survives its exceptions, and ends the
association of a peer that makes it keep more than the limits allow.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcdtlstransport import DataReceiver, RTCDtlsTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport

from sfu.dtls import DtlsRole, DtlsState

SCTP_PORT: Final = 5000
MAX_STREAMS: Final = 1024
"""What mediasoup and usrsctp announce, too."""
MAX_LABEL_SIZE: Final = 255
MAX_WAITING_DATAGRAMS: Final = 128
"""Datagrams beyond are dropped: SCTP sends them again, and slower."""
MAX_WAITING_CHUNKS: Final = 512
"""Fragments kept until their message is whole, and gaps; aiortc's work grows with both."""
MAX_CLOSING_CHANNELS: Final = 32
"""A channel counts until both sides have reset its stream; a peer that does not is let go."""
MAX_QUEUED_MESSAGES: Final = 2048
_CONTROL_ALLOWANCE: Final = 65_536

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataChannelLimits:
    """What one peer may have."""

    channels: int = 64
    message_size: int = 262_144
    """Of messages received; what may be sent is the peer's to say."""
    buffered: int = 1_048_576
    """Bytes of all channels that wait to be sent; messages beyond are not taken."""


class Carrier(Protocol):
    """What is needed of the DTLS transport below."""

    role: DtlsRole
    state: DtlsState

    def send(self, data: bytes) -> None:
        """Send one SCTP packet; raises ConnectionError if it cannot."""


class DataChannel:
    """One channel; what a listener gets and sends on."""

    def __init__(self, association: SctpAssociation, inner: RTCDataChannel) -> None:
        self._association = association
        self._inner = inner

    @property
    def stream_id(self) -> int | None:
        """The SCTP stream; None until a channel of ours, opened without one, has got it."""
        return self._inner.id

    @property
    def label(self) -> str:
        """What its maker called it."""
        return self._inner.label

    @property
    def protocol(self) -> str:
        """The subprotocol that its maker named."""
        return self._inner.protocol

    @property
    def ordered(self) -> bool:
        """Whether messages arrive in order."""
        return self._inner.ordered

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._inner.readyState == "open"

    @property
    def buffered(self) -> int:
        """Bytes that wait to be sent."""
        return self._inner.bufferedAmount

    def send(self, message: str | bytes) -> bool:
        """Send `message`; False if the channel is not open, the message too long, or too much waits."""
        if not self.is_open or not self._association.has_room(len(message)):
            return False
        try:
            self._inner.send(message)
        except ValueError:
            return False
        return True

    def close(self) -> None:
        """Close it; the listener is told when both sides have."""
        self._inner.close()


class DataChannelListener(Protocol):
    """Who is told of a peer's channels."""

    def on_data_channel(self, channel: DataChannel) -> None:
        """Take a channel that is open: the peer's, or one of ours when the peer has agreed to it."""

    def on_data_channel_message(self, channel: DataChannel, message: str | bytes) -> None:
        """Take a message of at most the limit's size."""

    def on_data_channel_closed(self, channel: DataChannel) -> None:
        """Take the end of a channel."""

    def on_association_closed(self) -> None:
        """Take the end of all: by the peer, by silence, or for what the peer did."""


class SctpAssociation:
    """SCTP over one DTLS transport; made when that is connected, in its loop."""

    def __init__(
        self, carrier: Carrier, listener: DataChannelListener, limits: DataChannelLimits | None = None
    ) -> None:
        self.limits = limits or DataChannelLimits()
        self.malformed = 0
        """Datagrams that aiortc stumbled over."""
        self.dropped = 0
        """Datagrams that came faster than they were worked off."""
        self._listener = listener
        self._channels: dict[RTCDataChannel, DataChannel] = {}
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING_DATAGRAMS)
        self._worker: asyncio.Task[None] | None = None
        self._is_closed = False
        self._window = self.limits.message_size + _CONTROL_ALLOWANCE
        self._sctp = _Sctp(self, carrier)
        self._sctp._advertised_rwnd = self._window
        self._sctp._inbound_streams_max = self._sctp._outbound_streams_count = MAX_STREAMS
        self._sctp.on("datachannel", self._on_channel)

    @property
    def is_connected(self) -> bool:
        """Whether both sides have agreed and neither has ended."""
        return self._sctp.state == "connected"

    def start(self, remote_port: int = SCTP_PORT, remote_max_message_size: int = 65_536) -> None:
        """Begin; both sides do (RFC 8841 9.3). 0 means that the peer takes messages of any size."""
        capabilities = RTCSctpCapabilities(maxMessageSize=remote_max_message_size)
        self._worker = asyncio.create_task(self._work(self._sctp.start(capabilities, remote_port)))

    def receive(self, packet: bytes) -> None:
        """Take an SCTP packet from DTLS."""
        try:
            self._waiting.put_nowait(packet)
        except asyncio.QueueFull:
            self.dropped += 1

    def open(self, parameters: RTCDataChannelParameters) -> DataChannel:
        """Make a channel: by DCEP, or with `negotiated` and `id` the one both sides have agreed on.

        Raises ValueError for an id in use, or when there are as many as the limit allows.
        """
        if len(self._channels) >= self.limits.channels:
            raise ValueError(f"there are {self.limits.channels} data channels already")
        inner = RTCDataChannel(self._sctp, parameters)
        channel = self._adopt(inner)
        if inner.readyState == "open":
            self._listener.on_data_channel(channel)
        else:
            inner.on("open", lambda: self._listener.on_data_channel(channel))
        return channel

    async def close(self) -> None:
        """Tell the peer and end; does nothing a second time."""
        with contextlib.suppress(ConnectionError):
            await self._sctp.stop()
        self.closed()

    def has_room(self, size: int) -> bool:
        """Whether a message of `size` may wait to be sent."""
        return sum(channel.buffered for channel in self._channels.values()) + size <= self.limits.buffered

    def closed(self) -> None:
        """Take SCTP's end."""
        if self._is_closed:
            return
        self._is_closed = True
        # the worker itself finds out by itself
        if self._worker is not None and self._worker is not asyncio.current_task():
            self._worker.cancel()
        self._listener.on_association_closed()

    async def _work(self, start: Coroutine[Any, Any, None]) -> None:
        """Feed aiortc, and let the loop breathe between datagrams."""
        await start
        while not self._is_closed:
            packet = await self._waiting.get()
            try:
                await self._sctp._handle_data(packet)
            except Exception:
                # Whatever aiortc raises is the doing of its peer, and must not end the task.
                self.malformed += 1
                _logger.debug("SCTP packet refused", exc_info=True)
            if self._keeps_too_much():
                _logger.info("SCTP association ended: the peer exceeds its limits")
                await self._sctp.stop()
            await asyncio.sleep(0)

    def _keeps_too_much(self) -> bool:
        sctp = self._sctp
        return (
            sctp._advertised_rwnd < 0
            or len(sctp._sack_misordered) > MAX_WAITING_CHUNKS
            or len(sctp._inbound_streams) > MAX_STREAMS
            or len(sctp._data_channels) > self.limits.channels + MAX_CLOSING_CHANNELS
            or len(sctp._data_channel_queue) > MAX_QUEUED_MESSAGES
            or sum(len(stream.reassembly) for stream in sctp._inbound_streams.values()) > MAX_WAITING_CHUNKS
        )

    def _on_channel(self, inner: RTCDataChannel) -> None:
        """Take a channel that the peer opened, or refuse it."""
        too_long = max(len(inner.label), len(inner.protocol)) > MAX_LABEL_SIZE
        if too_long or len(self._channels) >= self.limits.channels:
            inner.close()
            return
        self._listener.on_data_channel(self._adopt(inner))

    def _adopt(self, inner: RTCDataChannel) -> DataChannel:
        channel = self._channels[inner] = DataChannel(self, inner)
        inner.on("message", lambda message: self._on_message(channel, message))
        inner.on("close", lambda: self._on_closed(inner))
        return channel

    def _on_message(self, channel: DataChannel, message: str | bytes) -> None:
        if len(message) > self.limits.message_size:
            channel.close()
        else:
            self._listener.on_data_channel_message(channel, message)

    def _on_closed(self, inner: RTCDataChannel) -> None:
        channel = self._channels.pop(inner, None)
        if channel is not None:
            self._listener.on_data_channel_closed(channel)


class _Sctp(RTCSctpTransport):
    """aiortc's, telling of its end, which it does not."""

    def __init__(self, association: SctpAssociation, carrier: Carrier) -> None:
        self._association = association
        super().__init__(cast(RTCDtlsTransport, _Carriage(carrier)), SCTP_PORT)

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        super()._set_state(state)
        if state is RTCSctpTransport.State.CLOSED:
            self._association.closed()


class _Carriage:
    """As much of aiortc's DTLS transport as its SCTP uses."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    @property
    def state(self) -> str:
        return self._carrier.state.value

    @property
    def _role(self) -> str:
        return self._carrier.role.value

    def _register_data_receiver(self, receiver: DataReceiver) -> None:
        """Nothing: packets come by `SctpAssociation.receive`."""

    def _unregister_data_receiver(self, receiver: DataReceiver) -> None:
        """Nothing, likewise."""

    async def _send_data(self, data: bytes) -> None:
        """Send, or lose: timers of SCTP outlive DTLS, and would raise where nobody looks."""
        with contextlib.suppress(ConnectionError):
            self._carrier.send(data)
