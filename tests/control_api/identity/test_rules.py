"""Addresses and visible text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.errors import ApiError
from control_api.identity.rules import check_new_password, known_email, normalised_email, visible_text


@pytest.mark.parametrize(
    ("given_text", "address"),
    [
        ("alice@example.org", "alice@example.org"),
        ("Alice.B+tag@EXAMPLE.Org", "Alice.B+tag@example.org"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@bu\u0308cher.example", "a@xn--bcher-kva.example"),
        ("a@localhost", "a@localhost"),
    ],
)
def test_addresses_in_their_one_form(given_text: str, address: str) -> None:
    assert normalised_email(given_text) == known_email(given_text) == address


_NO_ADDRESSES = (
    *(
        "",
        "a",
        "@",
        "a@",
        "@b",
        "a@b@c",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a b@c",
        "a@b c",
        "a@b..c",
        "a@.b",
        "a@b.",
    ),
    *("a@b\n", "\na@b", "a\x00@b", "a@[127.0.0.1]", '"a b"@c', "<a@b>", "\u0430@b", "a@b,c@d", "a@b\u202e"),
    *("a@" + "b" * 64 + ".org", "a" * 65 + "@b", "\ud800@b", "a@\ud800"),
)


@pytest.mark.parametrize("text", _NO_ADDRESSES)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        normalised_email(text)
    assert refused.value.details[0].field == "email"
    assert known_email(text) is None


@given(st.text(max_size=300))
def test_an_address_is_normal_or_refused(text: str) -> None:
    address = known_email(text)
    if address is not None:
        assert known_email(address) == address
        assert address.isascii()
        assert address.isprintable()


@pytest.mark.parametrize("text", ["Älice", "日本語", "👩\u200d💻", "می\u200cکنم", "a  b", "O'Brien <b>"])
def test_text_that_can_be_seen(text: str) -> None:
    assert visible_text("title", f"  {text} ") == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\u200d",
        "a\x00",
        "a\x1b[31m",
        "a\nb",
        "\u202eabc",
        "\ufeffabc",
        "a\ud800",
        "a\u2028b",
        "\ue000",
    ],
)
def test_text_that_cannot(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        visible_text("title", text)
    assert refused.value.details[0].field == "title"


def test_a_password_is_not_ones_name() -> None:
    check_new_password("password", "correct horse", "alice")
    with pytest.raises(ApiError):
        check_new_password("password", "AliceAlice", "alicealice")
    with pytest.raises(ApiError):
        check_new_password("password", "half a \ud800 character")
