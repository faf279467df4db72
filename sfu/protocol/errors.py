"""What the protocol modules raise."""


class ProtocolError(Exception):
    """The peer, or a caller on its behalf, broke a rule of a protocol."""


class MalformedPacket(ProtocolError):
    """Bytes from the wire that are not what they claim to be."""
