"""Nobody gets at what is another's, and an API key does no more than its scopes say."""

from collections.abc import Iterator
from typing import Any

import pytest

from control_api.services.api_keys import Scope
from tests.control_api.hostile_values import NOBODY
from tests.control_api.live_api import PASSWORD, PREFIX, LiveApi, Operation, live_api
from tests.control_api.people_online import Caller, code_of, found_soon, registered

pytestmark = pytest.mark.slow

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
PICTURE: dict[str, Any] = {"data": PNG, "headers": {"Content-Type": "image/png"}}
ROOM_OPERATIONS: dict[str, dict[str, Any]] = {
    "rooms_change": {"body": {"title": "Mine now"}},
    "rooms_delete": {},
    "rooms_rotate_key": {},
    "streams_start": {},
    "streams_end": {},
    "ingest_get": {},
    "thumbnails_set": PICTURE,
    "analytics_room": {},
    "publishtoken_issue": {},
}
"""What only the owner of a room may do, and how it is asked for."""

CHAT_OPERATIONS: dict[str, dict[str, Any]] = {
    "chat_chatters": {},
    "chat_delete": {},
    "chat_clear": {},
    "chat_pin": {"body": {"messageId": NOBODY}},
    "chat_unpin": {},
    "chat_change_settings": {"body": {}},
    "chatmoderation_bans": {},
    "chatmoderation_ban": {"body": {"username": "owner"}},
    "chatmoderation_unban": {},
    "chatmoderation_moderators": {},
    "chatmoderation_add_moderator": {},
    "chatmoderation_remove_moderator": {},
    "chatmoderation_terms": {},
    "chatmoderation_replace_terms": {"body": {"terms": []}},
    "chatmoderation_held": {},
    "chatmoderation_allow": {},
    "chatmoderation_deny": {},
}
"""What only moderators of a room may do, or its owner alone."""
OWNERS_CHAT_OPERATIONS = {"chatmoderation_add_moderator", "chatmoderation_remove_moderator"}

HOOK_OPERATIONS: dict[str, dict[str, Any]] = {
    "webhooks_read": {},
    "webhooks_change": {"body": {"description": "Mine now"}},
    "webhooks_delete": {},
    "webhooks_rotate_secret": {},
    "webhooks_list_deliveries": {},
    "webhooks_retry_delivery": {},
}
OTHERS_OWN = {"session_revoke", "apikey_revoke"}
PAID_FOR = {"plans_change", "subscriptions_one", "subscriptions_change", "subscriptions_cancel"}
"""Whose they are, tests/control_api/test_subscriptions.py and test_plans.py look at."""
FOR_EVERYBODY = {
    "user_find",
    "avatar_show",
    "social_follow_state",
    "social_follow",
    "social_unfollow",
    "social_followers",
    "social_following",
    "social_block",
    "social_unblock",
    "rooms_get",
    "streams_history",
    "playback_issue",
    "thumbnails_get",
    "chat_messages",
    "chat_settings",
    "gifts_give",
    "gifts_tip",
    "gifts_leaderboard",
    "plans_list_of",
    "demoonboarding_show",
    "demoonboarding_leave",
}
"""Operations with an id of what may be anybody's."""

HOOK = {"url": "https://example.com/hook", "events": ["follow"]}
ALL_SCOPES = [scope.value for scope in Scope]


class House:
    """What an owner has, and a stranger who wants it."""

    def __init__(self, api: LiveApi) -> None:
        self.api = api
        self.operations = {operation.name: operation for operation in api.operations()}
        self.owner, self.stranger = registered(api.url, "owner"), registered(api.url, "stranger")
        self.owner_id = self.owner.get("GET", "/users/me")["id"]
        self.open_room = self._room("Open", "public")
        self.private_room = self._room("Private", "private")
        self.hook: str = self.owner.get("POST", "/webhook-endpoints", HOOK)["id"]
        made = self.owner.get("POST", "/api-keys", {"name": "a key", "scopes": ALL_SCOPES})
        self.key_id: str = made["id"]
        self.key = Caller(api.url, made["key"])
        self.session_id: str = self.owner.get("GET", "/auth/sessions")[0]["id"]
        self.stranger.get("POST", f"/users/{self.owner_id}/follow")
        self.delivery: str = found_soon(lambda: self.deliveries())[0]["id"]
        self.notification: str = found_soon(lambda: self.owner.get("GET", "/notifications"))[0]["id"]

    def _room(self, title: str, visibility: str) -> str:
        room: str = self.owner.get("POST", "/rooms", {"title": title, "visibility": visibility})["id"]
        return room

    def deliveries(self) -> Any:
        return self.owner.get("GET", f"/webhook-endpoints/{self.hook}/deliveries")

    def answer(self, caller: Caller, name: str, how: dict[str, Any], **ids: str) -> str:
        """What ``caller`` hears of the operation ``name`` at ``ids``."""
        operation = self.operations[name]
        path = operation.path.removeprefix(PREFIX).format(**ids)
        return code_of(caller.ask(operation.method, path, **how))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with live_api(tmp_path_factory.mktemp("access")) as api:
        yield House(api)


def test_every_operation_with_an_id_is_looked_at(house: House) -> None:
    """A new route must be put into one of the lists above."""
    known = {*ROOM_OPERATIONS, *CHAT_OPERATIONS, *HOOK_OPERATIONS, *OTHERS_OWN, *PAID_FOR, *FOR_EVERYBODY}
    with_id = {
        operation.name
        for operation in house.api.operations()
        if operation.path_names and not operation.path.startswith(f"{PREFIX}/admin/")
    }
    assert with_id == known


@pytest.mark.parametrize("name", ROOM_OPERATIONS)
def test_anothers_room_is_left_alone(house: House, name: str) -> None:
    how = ROOM_OPERATIONS[name]
    assert house.answer(house.stranger, name, how, id=house.open_room) == "403 not_room_owner"
    assert house.answer(house.stranger, name, how, id=house.private_room) == "404 room_not_found"
    assert house.answer(house.stranger, name, how, id=NOBODY) == "404 room_not_found"
    assert house.answer(Caller(house.api.url), name, how, id=house.open_room) == "401 unauthorized"


@pytest.mark.parametrize("name", CHAT_OPERATIONS)
def test_anothers_chat_is_left_alone(house: House, name: str) -> None:
    how, mine = CHAT_OPERATIONS[name], house.stranger.get("GET", "/users/me")["id"]
    code = "not_room_owner" if name in OWNERS_CHAT_OPERATIONS else "not_a_moderator"

    def answer(room: str, caller: Caller = house.stranger) -> str:
        return house.answer(caller, name, how, id=room, uid=mine, mid=NOBODY)

    assert answer(house.open_room) == f"403 {code}"
    assert answer(house.private_room) == answer(NOBODY) == "404 room_not_found"
    assert answer(house.open_room, Caller(house.api.url)) == "401 unauthorized"


@pytest.mark.parametrize("name", ["rooms_get", "streams_history"])
def test_a_private_room_is_as_unknown_as_none(house: House, name: str) -> None:
    for caller in (house.stranger, Caller(house.api.url)):
        hidden = house.answer(caller, name, {}, id=house.private_room)
        assert hidden == house.answer(caller, name, {}, id=NOBODY) == "404 room_not_found"


def test_nobody_gets_a_token_for_a_private_room(house: House) -> None:
    answers = [
        house.answer(caller, "playback_issue", {}, id=house.private_room)
        for caller in (house.stranger, Caller(house.api.url))
    ]
    assert answers == ["403 private_room"] * 2


def test_lists_do_not_tell_of_a_private_room(house: House) -> None:
    for path in ("/rooms", "/rooms/recommended", "/rooms/following", "/search?q=Private"):
        assert house.private_room not in house.stranger.ask("GET", path).text


@pytest.mark.parametrize("name", HOOK_OPERATIONS)
def test_anothers_webhook_is_none(house: House, name: str) -> None:
    ids = {"id": house.hook, "deliveryId": house.delivery}
    answers = [
        house.answer(caller, name, HOOK_OPERATIONS[name], **ids)
        for caller in (house.stranger, Caller(house.api.url, house.api.member_token))
    ]
    assert answers == ["404 webhook_endpoint_not_found"] * 2


def test_anothers_delivery_is_none_at_ones_own_webhook(house: House) -> None:
    mine = house.stranger.get("POST", "/webhook-endpoints", HOOK)["id"]
    ids = {"id": mine, "deliveryId": house.delivery}
    assert house.answer(house.stranger, "webhooks_retry_delivery", {}, **ids).startswith("404 ")


def test_anothers_session_and_key_are_none(house: House) -> None:
    for caller in (house.stranger, Caller(house.api.url, house.api.token)):
        assert house.answer(caller, "session_revoke", {}, id=house.session_id) == "404 session_not_found"
        assert house.answer(caller, "apikey_revoke", {}, id=house.key_id) == "404 api_key_not_found"


def test_anothers_notifications_stay_unread(house: House) -> None:
    before = house.owner.get("GET", "/notifications/unread-count")
    house.stranger.ask("POST", "/notifications/read", {"ids": [house.notification]})
    house.stranger.ask("POST", "/notifications/read", {"all": True})
    assert house.owner.get("GET", "/notifications/unread-count") == before
    assert house.notification not in house.stranger.ask("GET", "/notifications").text


def test_anothers_push_subscription_stays(house: House) -> None:
    endpoint = "https://push.example.com/owner"
    keys = {"p256dh": "B" + "A" * 86, "auth": "A" * 22}
    subscribed = house.owner.ask("POST", "/push-subscriptions", {"endpoint": endpoint, "keys": keys})
    gone = house.stranger.ask("DELETE", "/push-subscriptions", params={"endpoint": endpoint})
    assert gone.status_code == 404
    if subscribed.ok:
        assert house.owner.ask("DELETE", "/push-subscriptions", params={"endpoint": endpoint}).ok


@pytest.mark.parametrize(
    "extra",
    [
        {"role": "superadmin"},
        {"state": "active"},
        {"isCreator": True},
        {"id": NOBODY},
        {"emailVerifiedAt": "2026-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_nobody_makes_themselves_more_than_they_are(house: House, extra: dict[str, Any]) -> None:
    field = next(iter(extra))
    account = {"username": "climber", "email": "c@example.com", "password": PASSWORD, "acceptTerms": True}
    for caller, method, path, body in (
        (Caller(house.api.url), "POST", "/auth/register", account),
        (house.stranger, "PATCH", "/users/me", {"displayName": "Stranger"}),
    ):
        response = caller.ask(method, path, body | extra)
        assert response.status_code == 400
        assert field in response.text
    assert house.stranger.get("GET", "/users/me")["role"] == "user"


@pytest.mark.parametrize("extra", [{"ownerId": NOBODY}, {"owner": NOBODY}, {"version": 7}], ids=str)
def test_nobody_gives_rooms_to_others(house: House, extra: dict[str, Any]) -> None:
    assert house.stranger.ask("POST", "/rooms", {"title": "A room"} | extra).status_code == 400


def test_nobody_bans_or_promotes_who_is_no_administrator(house: House) -> None:
    for body in ({"state": "banned", "reason": "why not"}, {"role": "admin", "reason": "why not"}):
        answer = house.stranger.ask("PATCH", f"/admin/users/{house.owner_id}", body)
        assert code_of(answer) == "403 forbidden"


def test_the_owner_still_has_everything(house: House) -> None:
    """After all that was tried above."""
    titles = {
        house.owner.get("GET", f"/rooms/{room}")["title"] for room in (house.open_room, house.private_room)
    }
    assert titles == {"Open", "Private"}
    assert house.owner.get("GET", f"/webhook-endpoints/{house.hook}")["id"] == house.hook
    assert house.key.get("GET", "/users/me")["id"] == house.owner_id
    assert house.session_id in house.owner.ask("GET", "/auth/sessions").text


def test_keys_may_do_what_their_scopes_say_and_nothing_else(house: House) -> None:
    faults = []
    for scope in Scope:
        made = house.owner.get("POST", "/api-keys", {"name": scope.value, "scopes": [scope.value]})
        key = Caller(house.api.url, made["key"], house.owner.session)
        for operation in house.api.operations():
            refused = key_is_refused(key, operation)
            if refused != (scope_of(operation) is not scope):
                faults.append(f"{scope.value}: {operation.name} {'refused' if refused else 'let through'}")
    assert not faults


def test_no_key_gets_at_accounts_credentials_or_the_administration(house: House) -> None:
    """Not even one with all scopes of a superadmin."""
    chief = Caller(house.api.url, house.api.token)
    made = chief.get("POST", "/api-keys", {"name": "everything", "scopes": ALL_SCOPES})
    key = Caller(house.api.url, made["key"])
    closed = [
        operation
        for operation in house.api.operations()
        if operation.path.startswith(tuple(f"{PREFIX}/{part}" for part in ("auth/", "api-keys", "admin/")))
        or operation.name in ("user_delete", "user_export")
    ]
    assert len(closed) > 30
    assert [operation.name for operation in closed if not key_is_refused(key, operation)] == []


def test_a_revoked_key_is_worth_nothing_at_once(house: House) -> None:
    made = house.owner.get("POST", "/api-keys", {"name": "short", "scopes": ALL_SCOPES})
    key = Caller(house.api.url, made["key"])
    assert key.get("GET", "/users/me")["id"] == house.owner_id
    house.owner.get("DELETE", f"/api-keys/{made['id']}")
    assert code_of(key.ask("GET", "/users/me")) == "401 invalid_api_key"


def key_is_refused(key: Caller, operation: Operation) -> bool:
    path = operation.path.removeprefix(PREFIX)
    for name in operation.path_names:
        path = path.replace(f"{{{name}}}", NOBODY)
    response = key.ask(operation.method, path, {} if operation.body is not None else None)
    assert response.status_code < 500, f"{operation.name}: {response.text}"
    return not response.ok and code_of(response) in ("403 missing_scope", "403 forbidden")


def scope_of(operation: Operation) -> Scope | None:
    """What the document says of it."""
    _, said, name = operation.details.get("description", "").partition("API keys need the scope `")
    return Scope(name.partition("`")[0]) if said else None
