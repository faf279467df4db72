"""Decoder configurations and coded headers, one module per codec, and the table of their facts."""

from mediaserver.media.codecs.description import AudioDescription, VideoDescription
from mediaserver.media.codecs.table import (
    BY_FOUR_CC,
    CODECS,
    CodecFacts,
    Description,
    describe,
    describe_config,
    primary,
)

__all__ = [
    "BY_FOUR_CC",
    "CODECS",
    "AudioDescription",
    "CodecFacts",
    "Description",
    "VideoDescription",
    "describe",
    "describe_config",
    "primary",
]
