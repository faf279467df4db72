import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtmp.protocol.errors import HandshakeError
from rtmp.protocol.handshake import (
    PACKET_SIZE,
    ClientHandshake,
    DigestSchema,
    HandshakeState,
    ServerHandshake,
    find_digest,
    imprint_digest,
    sign_echo,
)
from tests.rtmp.protocol.segments import segments

SERVER_KEY = b"Genuine Adobe Flash Media Server 001"
CLIENT_KEY = b"Genuine Adobe Flash Player 001"
C1_SIMPLE = bytes(8) + bytes(itertools.islice(itertools.cycle(range(251)), PACKET_SIZE - 8))


def seeded(seed: int = 1) -> random.Random:
    return random.Random(seed)


def test_simple_form_echoes_the_client() -> None:
    server = ServerHandshake(seeded().randbytes)
    reply = server.receive(b"\x03" + C1_SIMPLE)
    assert reply[:9] == b"\x03" + bytes(8)
    assert reply[1 + PACKET_SIZE :] == C1_SIMPLE
    assert server.receive(bytes(PACKET_SIZE) + b"rest") == b""
    assert server.state is HandshakeState.DONE
    assert server.trailing_data == b"rest"


@pytest.mark.parametrize("schema", DigestSchema)
def test_digest_form_in_both_schemas(schema: DigestSchema) -> None:
    client = ClientHandshake(schema, seeded(1).randbytes)
    server = ServerHandshake(seeded(2).randbytes)
    c0_c1 = client.start()
    found = find_digest(c0_c1[1:], CLIENT_KEY)
    assert found is not None
    assert found[0] is schema
    reply = server.receive(c0_c1)
    s1, s2 = reply[1 : 1 + PACKET_SIZE], reply[1 + PACKET_SIZE :]
    answered = find_digest(s1, SERVER_KEY)
    assert answered is not None
    assert answered[0] is schema
    assert s2 == sign_echo(s2[:-32], found[1], SERVER_KEY)
    c2 = client.receive(reply)
    assert c2 == sign_echo(c2[:-32], answered[1], CLIENT_KEY)
    assert server.receive(c2) == b""
    assert (client.state, server.state) == (HandshakeState.DONE, HandshakeState.DONE)


def test_digest_lies_where_the_offset_bytes_point() -> None:
    packet = bytearray(C1_SIMPLE)
    packet[8:12] = bytes((255, 255, 255, 254))
    imprinted = imprint_digest(bytes(packet), DigestSchema.DIGEST_FIRST, CLIENT_KEY)
    position = 12 + (255 + 255 + 255 + 254) % 728
    assert imprinted[:position] == packet[:position]
    assert imprinted[position + 32 :] == packet[position + 32 :]
    assert find_digest(imprinted, CLIENT_KEY) == (
        DigestSchema.DIGEST_FIRST,
        imprinted[position : position + 32],
    )


def test_a_wrong_digest_gets_the_simple_form() -> None:
    c0_c1 = bytearray(ClientHandshake(DigestSchema.KEY_FIRST, seeded().randbytes).start())
    c0_c1[-1] ^= 1
    reply = ServerHandshake(seeded().randbytes).receive(bytes(c0_c1))
    assert reply[1 + PACKET_SIZE :] == c0_c1[1:]


def test_client_that_wants_the_simple_form() -> None:
    client = ClientHandshake(None, seeded().randbytes)
    assert client.start()[1:9] == bytes(8)
    s1 = bytes(4) + b"\x01\x02\x03\x04" + bytes(PACKET_SIZE - 8)
    assert client.receive(b"\x03" + s1) == s1


@pytest.mark.parametrize("version", [0, 1, 2, 4, 5, 6, 8, 31, 255, ord("G")])
@pytest.mark.parametrize("handshake", [ServerHandshake, ClientHandshake])
def test_refuses_other_versions_at_the_first_byte(
    handshake: type[ServerHandshake] | type[ClientHandshake], version: int
) -> None:
    refusing = handshake()
    with pytest.raises(HandshakeError, match=f"version {version}.*only version 3"):
        refusing.receive(bytes((version,)))
    assert refusing.state is HandshakeState.FAILED


def test_names_rtmpe() -> None:
    with pytest.raises(HandshakeError, match="RTMPE"):
        ServerHandshake().receive(b"\x06")


def test_half_a_handshake_waits() -> None:
    server = ServerHandshake()
    assert server.receive(b"\x03" + C1_SIMPLE[:-1]) == b""
    assert server.state is HandshakeState.WAITING_FOR_HELLO
    assert server.receive(C1_SIMPLE[-1:]) != b""
    assert server.receive(bytes(PACKET_SIZE - 1)) == b""
    assert server.state is HandshakeState.WAITING_FOR_ECHO


@given(st.sampled_from([*DigestSchema, None]), st.integers(0, 2**32), st.data())
def test_both_sides_meet_however_cut(schema: DigestSchema | None, seed: int, data: st.DataObject) -> None:
    client = ClientHandshake(schema, seeded(seed).randbytes)
    server = ServerHandshake(seeded(seed + 1).randbytes)
    hello = client.start()
    replies = b"".join(server.receive(piece) for piece in data.draw(segments(hello)))
    echo = b"".join(client.receive(piece) for piece in data.draw(segments(replies)))
    for piece in data.draw(segments(echo + b"chunks")):
        assert server.receive(piece) == b""
    assert (client.state, server.state) == (HandshakeState.DONE, HandshakeState.DONE)
    assert server.trailing_data == b"chunks"
