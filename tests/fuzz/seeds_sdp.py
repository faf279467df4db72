"""Writes the committed corpus of ``fuzz_sdp`` from the samples; run it after changing one.

Run: python -m tests.fuzz.seeds_sdp
"""

import json
from collections.abc import Iterable

from tests.fuzz.seeds import write
from tests.sfu.protocol.sdp_cases import NAMES, sample, small
from tests.sfu.protocol.test_parameters import PRODUCED
from tests.sfu.protocol.test_sdp_fragment import RESTART, WHIP_TRICKLE


def sdp_seeds() -> Iterable[bytes]:
    for name in NAMES:
        yield b"\x00" + sample(name).encode()
    yield b"\x00" + small("a=ssrc-group:SIM 1 2", "a=ssrc-group:FID 1 11", "a=ssrc:1 cname:me").encode()
    for text in (WHIP_TRICKLE, RESTART):
        yield b"\x01" + text.encode()
    yield b"\x02" + json.dumps(PRODUCED).encode()


if __name__ == "__main__":
    write("sdp", sdp_seeds())
