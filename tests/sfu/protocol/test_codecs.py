"""The table of codecs and header extensions is consistent."""

from __future__ import annotations

from sfu.protocol.codecs import CODECS, EXTENSION_IDS, HEADER_EXTENSIONS, OPUS


def test_payload_types_are_dynamic_and_used_once() -> None:
    used = [codec.payload_type for codec in CODECS]
    used += [codec.retransmission_payload_type for codec in CODECS if codec.retransmission_payload_type]
    assert len(set(used)) == len(used)
    assert all(96 <= payload_type <= 127 for payload_type in used)


def test_every_video_codec_is_repaired_and_asked_for_keyframes() -> None:
    for codec in CODECS:
        if codec.kind == "video":
            kinds = {(feedback.type, feedback.parameter) for feedback in codec.feedback}
            assert {("nack", ""), ("nack", "pli"), ("ccm", "fir"), ("transport-cc", "")} <= kinds
            assert codec.retransmission_payload_type is not None


def test_variants_of_a_codec_differ_in_their_parameters() -> None:
    variants = [(codec.mime_type.lower(), codec.parameters) for codec in CODECS]
    assert len(set(variants)) == len(variants)
    profiles = {dict(codec.parameters).get("profile-level-id") for codec in CODECS}
    assert profiles == {None, "42e01f", "42001f", "640c1f", "4d001f"}
    assert (OPUS.clock_rate, OPUS.channels) == (48_000, 2)


def test_an_extension_has_one_id_and_an_id_one_extension() -> None:
    pairs = {(extension.uri, extension.identifier) for extension in HEADER_EXTENSIONS}
    assert len(pairs) == len(EXTENSION_IDS) == len(set(EXTENSION_IDS.values()))
    assert all(0 < identifier < 15 for identifier in EXTENSION_IDS.values())
    offered = [(extension.uri, kind) for extension in HEADER_EXTENSIONS for kind in extension.kinds]
    assert len(set(offered)) == len(offered)
