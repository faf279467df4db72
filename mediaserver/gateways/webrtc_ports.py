"""What the bridges need of the SFU: as little as fits a fake in tests.

Rooms need other parts of the same router: ``sfu.room_ports``.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sfu.producer import LocalProducerListener
from sfu.protocol.parameters import Kind, RtpCodecCapability, RtpParameters
from sfu.taps import PacketSink


class Producing(Protocol):
    """A producer of a room."""

    @property
    def id(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def rtp_parameters(self) -> RtpParameters: ...

    @property
    def paused(self) -> bool: ...

    @property
    def is_program(self) -> bool:
        """Whether it belongs to what the room shows to everyone, by all doors."""

    def close(self) -> None: ...


class LocalProducing(Producing, Protocol):
    """A producer that is fed with packets of ours."""

    @property
    def ssrc(self) -> int: ...

    @property
    def payload_type(self) -> int: ...

    def send(self, packets: Sequence[bytes], *, received_at: float) -> None: ...

    def sender_report(self, ntp: int, rtp_timestamp: int) -> None: ...


class Tapping(Protocol):
    """A tap on a producer."""

    def request_keyframe(self) -> None: ...

    def close(self) -> None: ...


class RoomListener(Protocol):
    """As ``sfu.router.RouterListener``."""

    def on_producer(self, producer: Producing) -> None: ...

    def on_producer_closed(self, producer: Producing) -> None: ...

    def on_producer_paused(self, producer: Producing) -> None: ...

    def on_active_speaker(self, producer_id: str | None) -> None: ...

    def on_volumes(self, volumes: Sequence[object]) -> None: ...


class RoomRouter(Protocol):
    """The router of one room, as ``sfu.router.Router``."""

    @property
    def room_id(self) -> str: ...

    @property
    def producers(self) -> Mapping[str, Producing]: ...

    def tap(self, producer_id: str, sink: PacketSink) -> Tapping: ...

    def produce_local(
        self, kind: Kind, codec: RtpCodecCapability, listener: LocalProducerListener
    ) -> LocalProducing: ...

    def add_listener(self, listener: RoomListener) -> None: ...

    def remove_listener(self, listener: RoomListener) -> None: ...
