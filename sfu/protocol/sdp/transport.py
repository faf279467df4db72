"""Attributes of the transport: ICE (RFC 8839), fingerprints and roles (RFC 8122, RFC 8842)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, cast

from sfu.protocol.parameters import (
    MAX_CANDIDATES,
    MAX_FINGERPRINTS,
    DtlsFingerprint,
    DtlsParameters,
    DtlsRole,
    Hash,
    IceCandidate,
    IceParameters,
)
from sfu.protocol.sdp.lines import Attribute, Block, MalformedDescription, integer, words

RTP_COMPONENT: Final = "1"

_UFRAG: Final = re.compile(r"[A-Za-z0-9+/_=-]{4,256}")
_PASSWORD: Final = re.compile(r"[A-Za-z0-9+/_=-]{22,256}")
_FOUNDATION: Final = re.compile(r"[A-Za-z0-9+/_=-]{1,64}")
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.:_%-]{1,255}")
_FINGERPRINT: Final = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){19,63}")
_ROLES: Final[dict[str, DtlsRole]] = {"actpass": "auto", "active": "client", "passive": "server"}
_SETUPS: Final = {role: setup for setup, role in _ROLES.items()}
_HASHES: Final = frozenset(("sha-256", "sha-384", "sha-512"))
"""Those that count when certificates are compared: with SHA-1 alone nobody could ever connect."""
_TYPES: Final = frozenset(("host", "srflx", "prflx", "relay"))
_TCP_TYPES: Final = frozenset(("active", "passive", "so"))


def read_ice(block: Block, *, is_lite: bool = False) -> IceParameters | None:
    """Return a block's credentials, None if it has none; one without the other is malformed."""
    ufrag, password = block.first("ice-ufrag"), block.first("ice-pwd")
    if ufrag is None and password is None:
        return None
    if ufrag is None or password is None:
        raise MalformedDescription(block.line, "ice-ufrag and ice-pwd come together")
    if not _UFRAG.fullmatch(ufrag.value):
        raise MalformedDescription(ufrag.line, "not an ice-ufrag")
    if not _PASSWORD.fullmatch(password.value):
        raise MalformedDescription(password.line, "not an ice-pwd")
    return IceParameters(username_fragment=ufrag.value, password=password.value, ice_lite=is_lite)


def read_fingerprints(block: Block) -> tuple[DtlsFingerprint, ...]:
    """Return the fingerprints of known hashes (RFC 8122 5)."""
    found = [_fingerprint(attribute) for attribute in block.attributes if attribute.name == "fingerprint"]
    return tuple(fingerprint for fingerprint in found if fingerprint is not None)[:MAX_FINGERPRINTS]


def _fingerprint(attribute: Attribute) -> DtlsFingerprint | None:
    algorithm, value = words(attribute, 2)[:2]
    if algorithm.lower() not in _HASHES:
        return None
    if not _FINGERPRINT.fullmatch(value):
        raise MalformedDescription(attribute.line, "not a fingerprint")
    return DtlsFingerprint(algorithm=cast(Hash, algorithm.lower()), value=value.upper())


def read_dtls(blocks: Iterable[Block]) -> DtlsParameters | None:
    """Return the fingerprints and the role of the first blocks that say them, None without fingerprints."""
    role: DtlsRole | None = None
    fingerprints: tuple[DtlsFingerprint, ...] = ()
    for block in blocks:
        fingerprints = fingerprints or read_fingerprints(block)
        setup = block.first("setup")
        if role is None and setup is not None:
            if setup.value not in _ROLES:
                raise MalformedDescription(setup.line, "setup is none of actpass, active and passive")
            role = _ROLES[setup.value]
    return DtlsParameters(role=role or "auto", fingerprints=fingerprints) if fingerprints else None


def dtls_lines(dtls: DtlsParameters, role: DtlsRole) -> list[str]:
    """Return the lines that say fingerprints and role."""
    hashes = [f"a=fingerprint:{entry.algorithm} {entry.value}" for entry in dtls.fingerprints]
    return [*hashes, f"a=setup:{_SETUPS[role]}"]


def read_candidates(block: Block) -> tuple[IceCandidate, ...]:
    """Return the candidates for RTP that the SFU may have a use for."""
    found = [_candidate(attribute) for attribute in block.attributes if attribute.name == "candidate"]
    if len(found) > MAX_CANDIDATES:
        raise MalformedDescription(block.line, f"more than {MAX_CANDIDATES} candidates")
    return tuple(candidate for candidate in found if candidate is not None)


def _candidate(attribute: Attribute) -> IceCandidate | None:
    """RFC 8839 5.1; None for transports, types and components that are to be ignored."""
    fields = words(attribute, 8)
    foundation, component, protocol, priority, address, port, typ, kind = fields[:8]
    line = attribute.line
    if typ != "typ" or not _FOUNDATION.fullmatch(foundation) or not _ADDRESS.fullmatch(address):
        raise MalformedDescription(line, "not a candidate")
    integer(line, component, 1, 256)
    number, port_number = integer(line, priority, 0, 0xFFFF_FFFF), integer(line, port, 0, 65_535)
    protocol = protocol.lower()
    options = dict(zip(fields[8::2], fields[9::2], strict=False))
    tcp_type = options.get("tcptype")
    if protocol not in ("udp", "tcp") or kind not in _TYPES or component != RTP_COMPONENT:
        return None
    if protocol == "tcp" and tcp_type not in _TCP_TYPES:
        raise MalformedDescription(line, "a TCP candidate without tcptype")
    return IceCandidate(
        foundation=foundation,
        priority=number,
        address=address,
        ip=address,
        protocol="tcp" if protocol == "tcp" else "udp",
        port=port_number,
        type=kind,  # type: ignore[arg-type]
        tcp_type=tcp_type if protocol == "tcp" else None,  # type: ignore[arg-type]
    )


def candidate_line(candidate: IceCandidate) -> str:
    """Return the line of a candidate."""
    line = (
        f"a=candidate:{candidate.foundation} {RTP_COMPONENT} {candidate.protocol} {candidate.priority}"
        f" {candidate.address} {candidate.port} typ {candidate.type}"
    )
    return f"{line} tcptype {candidate.tcp_type}" if candidate.tcp_type else line
