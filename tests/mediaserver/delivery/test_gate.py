"""What a refusal is called over HTTP."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from control_api.services.playback import Denial
from mediaserver.authorizer import (
    NO_SUCH_ROOM,
    NOT_OPEN,
    OWNER_INACTIVE,
    ROOM_FULL,
    TOKEN_EXPIRED,
    TOKEN_INVALID,
    UNAVAILABLE,
    refusal_of,
)
from mediaserver.delivery.gate import MAX_TOKEN_LENGTH, as_http, token_of
from rtmp.ports import Refusal


@pytest.mark.parametrize(
    ("refusal", "status", "text"),
    [
        (NO_SUCH_ROOM, 404, "no such room"),
        (UNAVAILABLE, 503, "the database"),
        (OWNER_INACTIVE, 403, "the account"),
        (NOT_OPEN, 401, "token_required: "),
        (TOKEN_EXPIRED, 401, "token_expired: "),
        (TOKEN_INVALID, 403, "token_invalid: "),
        (ROOM_FULL, 403, "room_full: "),
        (refusal_of(Denial.FOLLOWERS_ONLY), 403, "followers_only: "),
    ],
)
def test_a_refusal_has_a_status_and_a_code(refusal: Refusal, status: int, text: str):
    answer = as_http(refusal)
    assert answer.status == status
    assert answer.text is not None
    assert answer.text.startswith(text)
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("path", "header", "token"),
    [
        ("/live/r.flv", None, None),
        ("/live/r.flv?token=", None, None),
        ("/live/r.flv?token=a.b-c_d", None, "a.b-c_d"),
        ("/live/r.flv", "Bearer abc", "abc"),
        ("/live/r.flv?token=other", "bearer  abc ", "abc"),
        ("/live/r.flv?token=abc", "Basic xyz", "abc"),
    ],
)
def test_where_a_token_stands(path: str, header: str | None, token: str | None):
    headers = {"Authorization": header} if header is not None else {}
    assert token_of(make_mocked_request("GET", path, headers=headers)) == token


def test_a_huge_token_is_a_bad_request():
    request = make_mocked_request("GET", f"/live/r.flv?token={'x' * (MAX_TOKEN_LENGTH + 1)}")
    with pytest.raises(web.HTTPBadRequest):
        token_of(request)
