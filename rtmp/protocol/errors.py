"""What goes wrong in RTMP, and whose fault it is.

::

    RtmpError
    ├── ProtocolError            the peer broke the standard or one of our limits
    │   ├── HandshakeError
    │   ├── ChunkError
    │   ├── AmfError
    │   ├── MessageError
    │   │   └── FlvTagError
    │   │       └── UnsupportedCodecError
    │   └── LimitExceededError
    ├── LocalProtocolError       we asked a session for a move it cannot make now
    ├── RequestRefusedError      the server answered a request of ours with an error status
    └── ConnectionLostError      the transport is gone, or the peer took too long
"""


class RtmpError(Exception):
    """Root of everything this package raises on purpose."""


class ProtocolError(RtmpError):
    """The peer sent something the standard or a limit forbids; the text names the field or byte."""


class HandshakeError(ProtocolError):
    """The handshake (RTMP 1.0, section 5.2) did not come about, for instance a version other than 3."""


class ChunkError(ProtocolError):
    """A chunk header (RTMP 1.0, section 5.3) makes no sense where it stands."""


class AmfError(ProtocolError):
    """A value that is not AMF0, or one that AMF0 cannot hold."""


class MessageError(ProtocolError):
    """A whole message whose content is malformed or comes at the wrong time."""


class FlvTagError(MessageError):
    """An audio or video body that is malformed; the text names the field or byte."""


class UnsupportedCodecError(FlvTagError):
    """A well-formed audio or video body of a codec that is not supported; the text names it."""


class LimitExceededError(ProtocolError):
    """The peer went over a length, count or size that we allow."""


class LocalProtocolError(RtmpError):
    """The embedder called a session in a state that does not allow it: a bug on our side."""


class RequestRefusedError(RtmpError):
    """The server refused connect, publish or play; ``code`` is its NetConnection or NetStream status."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}" if description else code)
        self.code = code
        self.description = description


class ConnectionLostError(RtmpError):
    """The connection ended or timed out before what was asked for was done."""
