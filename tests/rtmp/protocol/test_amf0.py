import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp.protocol.amf0 import Date, EcmaArray, TypedObject, XmlDocument, decode, encode
from rtmp.protocol.errors import AmfError
from tests.rtmp.protocol.amf0_cases import CASES, MALFORMED, AmfCase, MalformedAmf, nested_arrays


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_decodes(case: AmfCase) -> None:
    decoded = decode(case.wire)
    assert decoded == case.values
    assert [type(value) for value in decoded] == [type(value) for value in case.values]


@pytest.mark.parametrize("case", [c for c in CASES if c.is_canonical], ids=lambda case: case.name)
def test_encodes(case: AmfCase) -> None:
    assert encode(*case.values) == case.wire


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.name)
def test_refuses(case: MalformedAmf) -> None:
    with pytest.raises(AmfError) as caught:
        decode(case.wire)
    assert case.text in str(caught.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_truncation_is_a_value_or_our_exception(case: AmfCase) -> None:
    for end in range(min(len(case.wire), 64)):
        try:
            decoded = decode(case.wire[:end])
        except AmfError:
            continue
        assert decoded == case.values[: len(decoded)]


def test_references_give_copies_not_the_same_object() -> None:
    first, second = decode(bytes.fromhex("0a 00000001 05 07 0000"))
    assert first == second
    assert first is not second


def test_references_do_not_multiply_a_long_value() -> None:
    text = encode("x" * 30_000)
    array = bytes.fromhex("0a 00000001") + text
    assert decode(array + bytes.fromhex("07 0000") * 2) == [["x" * 30_000]] * 3
    with pytest.raises(AmfError, match="references to more than 65536 bytes"):
        decode(array + bytes.fromhex("07 0000") * 3)


def test_nan_survives() -> None:
    [value] = decode(encode(math.nan))
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (object(), "no form for object"),
        (b"bytes", "no form for bytes"),
        ({1: 2}, "property name of type int"),
        (10**400, "too large for a double"),
        ("\ud800", "lone surrogate"),
        ({"x" * 65536: None}, "a text of 65536 bytes"),
        (nested_arrays(34), "nested more than 32 deep"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else type(value).__name__,
)
def test_does_not_encode(value: object, text: str) -> None:
    with pytest.raises(AmfError, match=text):
        encode(value)


def test_a_python_value_inside_itself_is_refused() -> None:
    value: dict[str, object] = {}
    value["self"] = value
    with pytest.raises(AmfError, match="nested more than 32 deep"):
        encode(value)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
scalars = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | texts
    | st.builds(Date, st.floats(allow_nan=False), st.integers(-(2**15), 2**15 - 1))
    | st.builds(XmlDocument, texts)
)


def _containers(children: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    properties = st.dictionaries(texts, children, max_size=4)
    return (
        st.lists(children, max_size=4)
        | properties
        | properties.map(EcmaArray)
        | st.builds(TypedObject, texts, properties)
    )


values = st.recursive(scalars, _containers, max_leaves=20)


@given(st.lists(values, max_size=4))
def test_decodes_what_it_encodes(written: list[object]) -> None:
    decoded = decode(encode(*written))
    assert decoded == written
    assert repr(decoded) == repr(written)


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([c.wire for c in CASES if len(c.wire) < 99])).map(b"".join)
)
def test_any_bytes_are_values_or_our_exception(data: bytes) -> None:
    try:
        decoded = decode(data)
    except AmfError:
        return
    assert repr(decode(encode(*decoded))) == repr(decoded)
