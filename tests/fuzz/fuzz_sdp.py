"""Descriptions: any text is refused with its line, or what is understood can be answered and read again.

The first byte of an input says whether the rest is an offer, a fragment, or parameters in JSON.

Run: python tests/fuzz/fuzz_sdp.py [libFuzzer options] folder...
"""

import sys

import atheris

with atheris.instrument_imports():
    import msgspec

    from sfu.protocol import ortc
    from sfu.protocol.parameters import Direction, RtpParameters
    from sfu.protocol.sdp import (
        MalformedDescription,
        SectionAnswer,
        answer,
        consumer_parameters,
        parse_fragment,
        parse_offer,
        producer_parameters,
        serialize_fragment,
    )

from tests.sfu.protocol.sdp_cases import ENDPOINT, ROUTER
from tests.sfu.protocol.test_sdp_answer import OPUS, VP8, h264

CONSUMABLES = (OPUS, VP8, h264("42e01f"))
DECODER = msgspec.json.Decoder(RtpParameters)


def test_offer(text: str) -> None:
    try:
        offer = parse_offer(text)
    except MalformedDescription:
        return
    sections = []
    for section in offer.sections:
        produced = producer_parameters(section, ROUTER, ("video/H264",))
        if produced is not None:
            sections.append(SectionAnswer(mid=section.mid, direction=Direction.RECVONLY, parameters=produced))
            DECODER.decode(msgspec.json.encode(produced))
        for consumable in CONSUMABLES:
            consumption = consumer_parameters(section, consumable, 1, any_profile=True)
            if consumption is not None:
                DECODER.decode(msgspec.json.encode(consumption.parameters))
    text = answer(offer, sections, ENDPOINT, session_id=1)
    # without an accepted section there is no transport to read again
    if "a=group:BUNDLE" in text:
        assert len(parse_offer(text).sections) == len(offer.sections)


def test_fragment(text: str) -> None:
    try:
        fragment = parse_fragment(text)
    except MalformedDescription:
        return
    assert parse_fragment(serialize_fragment(fragment)).candidates == fragment.candidates


def test_parameters(text: str) -> None:
    try:
        parameters = DECODER.decode(text)
        mapping = ortc.producer_mapping(parameters, ROUTER, 1)
    except (msgspec.DecodeError, ortc.InvalidParameters, ortc.UnsupportedParameters):
        return
    consumable = ortc.consumable_parameters(parameters.codecs[0].kind, parameters, ROUTER, mapping)
    assert ortc.can_consume(consumable, ROUTER)
    ortc.consumer_parameters(consumable, ROUTER, 1)


def test_one_input(data: bytes) -> None:
    if not data:
        return
    match data[0] % 3:
        case 0:
            test_offer(data[1:].decode(errors="replace"))
        case 1:
            test_fragment(data[1:].decode(errors="replace"))
        case _:
            test_parameters(data[1:].decode(errors="replace"))


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
