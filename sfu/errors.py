"""What the SFU refuses, each with a code for clients and a sentence for people."""

from __future__ import annotations

from typing import ClassVar


class SfuError(Exception):
    """A request that the SFU cannot fulfil; nothing has changed."""

    code: ClassVar[str] = "sfu_error"


class TooManyTransports(SfuError):
    """The router has as many transports as it may."""

    code: ClassVar[str] = "too_many_transports"


class TooManyStreams(SfuError):
    """The transport has as many producers, consumers or channels as it may."""

    code: ClassVar[str] = "too_many_streams"


class AlreadyConnected(SfuError):
    """The transport knows its peer's certificate already."""

    code: ClassVar[str] = "already_connected"


class TransportClosed(SfuError):
    """The transport, or its router, is closed."""

    code: ClassVar[str] = "transport_closed"


class DuplicateStream(SfuError):
    """A mid, SSRC or channel that another stream of the transport has."""

    code: ClassVar[str] = "duplicate_stream"


class NoSuchProducer(SfuError):
    """The router has no producer of this id."""

    code: ClassVar[str] = "no_such_producer"


class CannotConsume(SfuError):
    """The peer has no codec in common with the producer."""

    code: ClassVar[str] = "cannot_consume"


class NoDataChannels(SfuError):
    """The transport was made without SCTP."""

    code: ClassVar[str] = "no_data_channels"
