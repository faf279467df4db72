"""What a description says, in the terms of the SFU."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from sfu.protocol.parameters import (
    Direction,
    DtlsParameters,
    IceCandidate,
    IceParameters,
    RtpCodecParameters,
    RtpEncodingParameters,
    RtpHeaderExtension,
    RtpParameters,
    SctpParameters,
)

SectionKind = Literal["audio", "video", "application", "other"]


class MediaSection(Struct, frozen=True, kw_only=True):
    """One `m=` section of an offer.

    `is_usable` is false where nothing but a rejection can be answered: the offerer's own rejection, protocols
    that are not WebRTC's, and sections outside of the bundle. `encodings` is what the offerer sends.
    """

    mid: str
    kind: SectionKind
    media: str
    protocol: str
    formats: tuple[str, ...]
    direction: Direction
    is_usable: bool
    codecs: tuple[RtpCodecParameters, ...] = ()
    header_extensions: tuple[RtpHeaderExtension, ...] = ()
    encodings: tuple[RtpEncodingParameters, ...] = ()
    cname: str | None = None
    stream_id: str | None = None
    track_id: str | None = None
    has_reduced_size: bool = False
    sctp: SctpParameters | None = None


class Offer(Struct, frozen=True, kw_only=True):
    """An offer of one bundled transport. `dtls.role` is `auto` where it is left to the answerer."""

    sections: tuple[MediaSection, ...]
    ice: IceParameters
    dtls: DtlsParameters
    candidates: tuple[IceCandidate, ...] = ()
    has_ended_candidates: bool = False
    is_trickle: bool = False
    allows_mixed_extensions: bool = False

    @property
    def answer_role(self) -> Literal["client", "server"]:
        """The DTLS role of who answers: to wait for the handshake, where there is a choice (RFC 8842 5.2)."""
        return "client" if self.dtls.role == "server" else "server"


class SectionAnswer(Struct, frozen=True, kw_only=True):
    """What is answered to the section `mid`; `parameters` are what flows in the one direction it has."""

    mid: str
    direction: Direction
    parameters: RtpParameters
    stream_id: str = "-"
    track_id: str = ""


class Fragment(Struct, frozen=True, kw_only=True):
    """A trickle of candidates (RFC 8840), or of an ICE restart if `ice` is new; all of it is of the bundle.

    `mids` are the sections that it names; a fragment for a bundle needs one.
    """

    ice: IceParameters | None = None
    mids: tuple[str, ...] = ()
    candidates: tuple[IceCandidate, ...] = ()
    has_ended_candidates: bool = False
