from typing import Any

import msgspec
import pytest

from chat.protocol.frames import CLIENT_BODIES, BadFrame, Encoding, decode
from tests.chat.protocol.frame_cases import BAD_FRAMES, BAD_JSON, BAD_MSGPACK, CLIENT_FRAMES

ENCODE = {Encoding.JSON: msgspec.json.encode, Encoding.MSGPACK: msgspec.msgpack.encode}
both = pytest.mark.parametrize("encoding", Encoding, ids=lambda encoding: encoding.name.lower())


@both
@pytest.mark.parametrize("frame", CLIENT_FRAMES, ids=str)
def test_decodes_what_clients_say(encoding: Encoding, frame: dict[str, Any]) -> None:
    incoming = decode(encoding, ENCODE[encoding](frame))
    assert type(incoming.body) is CLIENT_BODIES[frame["t"]]
    assert incoming.id == frame.get("id")
    given = {name: value for name, value in msgspec.to_builtins(incoming.body).items() if value}
    assert given == frame.get("d", {})


@both
@pytest.mark.parametrize("frame", BAD_FRAMES, ids=lambda frame: str(frame)[:70])
def test_refuses_frames_that_are_wrong(encoding: Encoding, frame: Any) -> None:
    with pytest.raises(BadFrame) as caught:
        decode(encoding, ENCODE[encoding](frame))
    kind = frame.get("t") if isinstance(frame, dict) else None
    is_unknown = isinstance(kind, str) and kind not in CLIENT_BODIES
    assert caught.value.code == ("unknown_type" if is_unknown else "bad_frame")


@pytest.mark.parametrize("wire", BAD_JSON, ids=lambda wire: repr(wire[:40]))
def test_refuses_malformed_json(wire: bytes) -> None:
    with pytest.raises(BadFrame):
        decode(Encoding.JSON, wire)


@pytest.mark.parametrize("wire", BAD_MSGPACK, ids=lambda wire: repr(wire[:40]))
def test_refuses_malformed_msgpack(wire: bytes) -> None:
    with pytest.raises(BadFrame):
        decode(Encoding.MSGPACK, wire)


@both
def test_a_refusal_names_the_field_and_gives_the_id_back(encoding: Encoding) -> None:
    with pytest.raises(BadFrame) as caught:
        decode(encoding, ENCODE[encoding]({"t": "join-room", "id": 9, "d": {"roomId": 5}}))
    assert "roomId" in caught.value.message
    assert caught.value.id == 9
