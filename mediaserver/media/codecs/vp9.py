"""VP9: the vpcC record (VP Codec ISO Media File Format Binding, 2)."""

from typing import Final

from mediaserver.media.codecs.description import VideoDescription
from mediaserver.media.errors import CodecConfigError

_FULL_BOX_HEADER: Final = b"\x01\x00\x00\x00"


def describe(record: bytes) -> VideoDescription:
    """``record`` with or without the version and flags of its box; sizes are only in the frames."""
    fields = record.removeprefix(_FULL_BOX_HEADER)
    if len(fields) < 3:
        raise CodecConfigError("vpcC: shorter than profile, level and bit depth")
    return VideoDescription(f"vp09.{fields[0]:02}.{fields[1]:02}.{fields[2] >> 4:02}")
