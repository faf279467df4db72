import pytest

from mediaserver.media.codecs import flac
from mediaserver.media.errors import CodecConfigError
from tests.mediaserver.media.codecs.vectors import FLAC_BLOCKS


@pytest.mark.parametrize("config", [FLAC_BLOCKS, b"fLaC" + FLAC_BLOCKS, FLAC_BLOCKS[4:]])
def test_every_form_is_brought_into_that_of_the_box(config: bytes) -> None:
    assert flac.metadata_blocks(config) == FLAC_BLOCKS


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (b"", "34 bytes"),
        (b"fLaC", "34 bytes"),
        (FLAC_BLOCKS[:-1], "34 bytes"),
        (b"\x81" + FLAC_BLOCKS[1:], "type 1"),
        (FLAC_BLOCKS[:14] + bytes(24), "sample rate 0"),
    ],
)
def test_refuses_malformed_blocks(config: bytes, text: str) -> None:
    with pytest.raises(CodecConfigError, match=text):
        flac.describe(config)


def test_blocks_of_changing_size_have_no_fixed_duration() -> None:
    variable = FLAC_BLOCKS[:4] + b"\x00\x10" + FLAC_BLOCKS[6:]
    assert flac.describe(variable).samples_per_frame == 0
