"""What is wrong with media.

::

    MediaError
    ├── CodecConfigError     a decoder configuration that makes no sense
    └── UnsupportedError     well-formed, but the container or this server cannot carry it
"""


class MediaError(Exception):
    """Root of everything raised about media on purpose."""


class CodecConfigError(MediaError):
    """A decoder configuration or coded header is malformed; the text names the field."""


class UnsupportedError(MediaError):
    """The codec cannot be carried here; the text names it."""
