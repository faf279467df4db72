"""The relay without Redis: what is put into frames comes out of them, whatever else is on the channel."""

import contextlib
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from chat.presence import Person, Presence
from chat.redis_relay.frames import (
    INVALID,
    VERSION,
    Envelope,
    Frame,
    Item,
    decode_frame,
    decode_presence,
    encode_frame,
    encode_presence,
)
from chat.redis_relay.outbox import MAX_FRAME_BYTES, MAX_ROOMS, MAX_TOGETHER, Outbox
from chat.redis_relay.peers import MAX_PEERS, SILENT_SECONDS, Peers
from storage.repositories.chat_log import LoggedEntry, NewEvent
from tests.chat.redis_relay.world import OTHER_ROOM, ROOM, SOMEBODY, WHEN, Memory, event, message

START = 5


def take_all(outbox: Outbox) -> list[bytes]:
    frames = []
    while (frame := outbox.next_frame()) is not None:
        frames.append(frame)
        outbox.sent()
    return frames


def take_one(outbox: Outbox) -> bytes:
    (frame,) = take_all(outbox)
    return frame


@pytest.fixture
def sink() -> Memory:
    return Memory()


@pytest.fixture
def peers(sink: Memory) -> Peers:
    """Of node "b", with ROOM open."""
    peers = Peers("b", START, sink)
    peers.opened(ROOM)
    return peers


@pytest.fixture
def outbox() -> Outbox:
    return Outbox("a", START)


# Through and through


def test_everything_comes_out_as_it_went_in(outbox: Outbox, peers: Peers, sink: Memory) -> None:
    entries = [message(1), event(2), message(3, text="x" * 2000)]
    outbox.publish(entries)
    outbox.burst(ROOM, {"🎉": 3})
    outbox.typing(ROOM, {UUID(int=7): "ann"})
    outbox.presence(ROOM, encode_presence(1, SOMEBODY))
    peers.received(take_one(outbox), 0)
    assert sink.entries == entries
    assert sink.bursts == [(ROOM, {"🎉": 3})]
    assert sink.typing == [(ROOM, {UUID(int=7): "ann"})]
    assert sink.presences == [(ROOM, "a", SOMEBODY)]
    assert sink.missed_count == 0


def test_event_data_comes_out_as_the_database_gives_it(outbox: Outbox, peers: Peers, sink: Memory) -> None:
    entry = LoggedEntry(1, NewEvent(ROOM, "follow", {"userId": UUID(int=7), "until": WHEN}, WHEN))
    outbox.publish([entry])
    peers.received(take_one(outbox), 0)
    (heard,) = sink.entries
    assert isinstance(heard.entry, NewEvent)
    assert heard.entry.data == msgspec.json.decode(
        msgspec.json.encode({"userId": UUID(int=7), "until": WHEN})
    )


def test_rooms_that_are_not_open_are_left_out(outbox: Outbox, peers: Peers, sink: Memory) -> None:
    outbox.publish([message(1), message(1, OTHER_ROOM), message(2)])
    outbox.burst(OTHER_ROOM, {"x": 1})
    peers.received(take_one(outbox), 0)
    assert sink.rooms == [ROOM]
    assert sink.offsets == [1, 2]
    assert sink.bursts == []


# What waits


def test_big_batches_are_split_and_keep_their_order(outbox: Outbox, peers: Peers, sink: Memory) -> None:
    rooms = [ROOM if offset % 3 else OTHER_ROOM for offset in range(1, 1001)]
    peers.opened(OTHER_ROOM)
    outbox.publish([message(offset, room, "y" * 500) for offset, room in enumerate(rooms, 1)])
    frames = take_all(outbox)
    assert len(frames) > 5
    assert max(map(len, frames)) < MAX_FRAME_BYTES + 4096
    for frame in frames:
        peers.received(frame, 0)
    for room in (ROOM, OTHER_ROOM):
        heard = [logged.offset for logged in sink.entries if logged.entry.room_id == room]
        assert heard == [offset for offset, at in enumerate(rooms, 1) if at == room]
    assert sink.missed_count == 0


def test_oldest_entries_are_dropped_and_others_are_told(peers: Peers, sink: Memory) -> None:
    outbox = Outbox("a", START, max_entries=10)
    with capture_logs() as logs:
        for offset in range(1, 31):
            outbox.publish([message(offset)])
    assert (outbox.dropped, outbox.waiting) == (20, 10)
    assert [log["event"] for log in logs] == ["chat_entries_dropped"]
    peers.received(take_one(outbox), 0)
    assert sink.offsets == list(range(21, 31))
    assert sink.missed_count == 1
    outbox.publish([message(31)])
    peers.received(take_one(outbox), 0)
    assert sink.missed_count == 1


@pytest.mark.parametrize("value", ["\ud800", 2**70, object()])
def test_what_cannot_be_encoded_is_dropped_and_others_are_told(
    value: object, outbox: Outbox, peers: Peers, sink: Memory
) -> None:
    outbox.publish([LoggedEntry(1, NewEvent(ROOM, "gift", {"x": value}, WHEN)), message(2)])
    peers.received(take_one(outbox), 0)
    assert (outbox.dropped, sink.offsets, sink.missed_count) == (1, [2], 1)


def test_reactions_and_typing_of_a_room_are_added_up_within_bounds(
    outbox: Outbox, peers: Peers, sink: Memory
) -> None:
    for number in range(MAX_TOGETHER + 50):
        outbox.burst(ROOM, {"x": 2, f"reaction {number}": 1})
        outbox.typing(ROOM, {UUID(int=number): "somebody"})
    peers.received(take_one(outbox), 0)
    ((_, reactions),) = sink.bursts
    ((_, people),) = sink.typing
    assert (len(reactions), reactions["x"]) == (MAX_TOGETHER, 2 * (MAX_TOGETHER + 50))
    assert len(people) == MAX_TOGETHER


def test_reactions_of_too_many_rooms_are_dropped_and_nobody_need_catch_up(outbox: Outbox) -> None:
    for number in range(MAX_ROOMS + 5):
        outbox.burst(UUID(int=number), {"x": 1})
    assert outbox.dropped == 5
    frames = [decode_frame(payload) for payload in take_all(outbox)]
    assert sum(len(frame.items) for frame in frames) == MAX_ROOMS
    assert not any(frame.has_lost for frame in frames)


def test_reactions_are_forgotten_when_nobody_could_be_told(outbox: Outbox) -> None:
    outbox.burst(ROOM, {"x": 1})
    outbox.typing(ROOM, {UUID(int=1): "ann"})
    outbox.forget_fleeting()
    assert outbox.next_frame() is None


def test_a_frame_stays_the_same_until_it_was_sent(outbox: Outbox) -> None:
    outbox.publish([message(1)])
    first = outbox.next_frame()
    outbox.publish([message(2)])
    assert outbox.next_frame() == first
    outbox.sent()
    assert outbox.next_frame() not in (first, None)


def test_only_the_last_frame_of_all_is_the_last(outbox: Outbox) -> None:
    outbox.publish([message(offset, text="y" * 500) for offset in range(1, 300)])
    outbox.say_farewell()
    are_last = [decode_frame(payload).is_last for payload in take_all(outbox)]
    assert len(are_last) > 1
    assert are_last == [False] * (len(are_last) - 1) + [True]


# What is heard


def test_own_frames_are_not_heard_but_those_of_another_start_are(sink: Memory, peers: Peers) -> None:
    for start in (START, START + 1):
        own = Outbox("b", start)
        own.publish([message(start)])
        peers.received(take_one(own), 0)
    assert sink.offsets == [START + 1]


def test_repeated_frames_are_heard_once(outbox: Outbox, peers: Peers, sink: Memory) -> None:
    outbox.burst(ROOM, {"x": 1})
    frame = take_one(outbox)
    peers.received(frame, 0)
    peers.received(frame, 0)
    assert len(sink.bursts) == 1


def test_a_frame_that_is_missing_is_noticed(outbox: Outbox, peers: Peers, sink: Memory) -> None:
    frames = []
    for offset in (1, 2, 3):
        outbox.publish([message(offset)])
        frames += take_all(outbox)
    peers.received(frames[0], 0)
    assert sink.missed_count == 0
    peers.received(frames[2], 0)
    assert (sink.offsets, sink.missed_count) == ([1, 3], 1)


def test_a_node_that_was_not_heard_before_has_left_nothing_out(peers: Peers, sink: Memory) -> None:
    peers.received(encode_frame(Frame("a", START, 70, [])), 0)
    assert sink.missed_count == 0


def test_beginning_to_listen_says_once_that_something_was_missed(
    outbox: Outbox, peers: Peers, sink: Memory
) -> None:
    outbox.beat()
    peers.received(take_one(outbox), 0)
    outbox.beat()
    take_one(outbox)
    peers.began_to_listen()
    outbox.publish([message(1)])
    peers.received(take_one(outbox), 0)
    assert (sink.offsets, sink.missed_count) == ([1], 1)


VERSION_2 = msgspec.msgpack.encode(Envelope(2, msgspec.Raw(msgspec.msgpack.encode("whatever"))))
GARBAGE = [b"", b"\xc1", b"hello", b"\x91" * 100_000, msgspec.msgpack.encode([VERSION, ["a"]])]


@pytest.mark.parametrize("payload", [VERSION_2, *GARBAGE])
def test_what_is_not_understood_is_logged_and_ignored(payload: bytes, peers: Peers, sink: Memory) -> None:
    with capture_logs() as logs:
        peers.received(payload, 0)
    expected = "chat_relay_version_unknown" if payload == VERSION_2 else "chat_relay_frame_invalid"
    assert [log["event"] for log in logs] == [expected]
    assert vars(sink) == vars(Memory())


def test_items_that_are_not_understood_do_not_hide_the_others(
    outbox: Outbox, peers: Peers, sink: Memory
) -> None:
    outbox.burst(ROOM, {"x": 1})
    frame = decode_frame(take_one(outbox))
    wrong = msgspec.Raw(msgspec.msgpack.encode([["z", 1]]))
    items = [Item(kind, ROOM, wrong) for kind in ("entries", "burst", "typing", "presence", "new in 2030")]
    peers.received(encode_frame(Frame("a", START, 1, [*items, *frame.items])), 0)
    assert vars(sink) == {**vars(Memory()), "bursts": [(ROOM, {"x": 1})]}


@given(st.binary(max_size=200))
def test_any_bytes_are_borne(payload: bytes) -> None:
    peers = Peers("b", START, Memory())
    peers.opened(ROOM)
    peers.received(payload, 0)
    with contextlib.suppress(*INVALID):
        decode_presence(payload)


@given(st.data())
def test_any_damage_to_a_frame_is_borne(data: st.DataObject) -> None:
    outbox, sink = Outbox("a", START), Memory()
    outbox.publish([message(1), event(2)])
    outbox.presence(ROOM, encode_presence(1, SOMEBODY))
    payload = bytearray(take_one(outbox))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    peers = Peers("b", START, sink)
    peers.opened(ROOM)
    peers.received(bytes(payload), 0)


def test_a_sink_that_fails_hears_what_comes_next(outbox: Outbox) -> None:
    class Failing(Memory):
        def remote_burst(self, *_: object) -> None:
            raise RuntimeError("no")

    sink = Failing()
    peers = Peers("b", START, sink)
    peers.opened(ROOM)
    outbox.burst(ROOM, {"x": 1})
    outbox.typing(ROOM, {UUID(int=1): "ann"})
    with capture_logs() as logs:
        peers.received(take_one(outbox), 0)
    assert [log["event"] for log in logs] == ["chat_relay_sink_failed"]
    assert len(sink.typing) == 1


# Presence


def tell(
    peers: Peers,
    stamp: int,
    presence: Presence,
    number: int,
    node: str = "a",
    start: int = START,
    now: float = 0,
) -> None:
    item = Item("presence", ROOM, msgspec.Raw(encode_presence(stamp, presence)))
    peers.received(encode_frame(Frame(node, start, number, [item])), now)


def test_late_presence_is_not_believed(peers: Peers, sink: Memory) -> None:
    tell(peers, 7, Presence(), 1)
    peers.looked_up("a", START, {ROOM: encode_presence(6, SOMEBODY)}, peers.stamps("a"), 0)
    assert sink.presences == [(ROOM, "a", Presence())]


def test_presence_that_was_looked_up_is_told_once(peers: Peers, sink: Memory) -> None:
    peers.looked_up("a", START, {ROOM: encode_presence(6, SOMEBODY)}, {}, 0)
    tell(peers, 6, SOMEBODY, 1)
    assert sink.presences == [(ROOM, "a", SOMEBODY)]


def test_rooms_that_a_node_has_left_unheard_are_empty(peers: Peers, sink: Memory) -> None:
    tell(peers, 1, SOMEBODY, 1)
    peers.looked_up("a", START, {ROOM: None}, peers.stamps("a"), 0)
    assert sink.present() == {}


def test_presence_that_came_while_it_was_looked_up_is_newer(peers: Peers, sink: Memory) -> None:
    stamps = peers.stamps("a")
    tell(peers, 1, SOMEBODY, 1)
    peers.looked_up("a", START, {ROOM: None}, stamps, 0)
    assert sink.present() == {"a": SOMEBODY}


def test_presence_is_told_anew_when_the_room_was_opened_anew(peers: Peers, sink: Memory) -> None:
    tell(peers, 1, SOMEBODY, 1)
    peers.closed(ROOM)
    peers.opened(ROOM)
    peers.looked_up("a", START, {ROOM: encode_presence(1, SOMEBODY)}, peers.stamps("a"), 0)
    assert len(sink.presences) == 2


def test_presence_of_another_version_is_ignored(peers: Peers, sink: Memory) -> None:
    peers.looked_up("a", START, {ROOM: VERSION_2}, {}, 0)
    peers.looked_up("a", START, {ROOM: b"\xc1"}, {}, 0)
    assert sink.presences == []


def test_a_silent_node_is_gone_after_a_while(peers: Peers, sink: Memory) -> None:
    tell(peers, 1, SOMEBODY, 1, now=0)
    peers.received(encode_frame(Frame("a", START, 2, [])), 20)
    peers.expire(20 + SILENT_SECONDS - 1)
    assert sink.present() == {"a": SOMEBODY}
    assert sink.missed_count == 0
    peers.expire(20 + SILENT_SECONDS)
    assert sink.present() == {}
    assert sink.missed_count == 1, "what it stored last, nobody may have been told of"
    tell(peers, 2, SOMEBODY, 3, now=60)
    assert sink.present() == {"a": SOMEBODY}


def test_a_node_that_takes_leave_is_gone_at_once(outbox: Outbox, peers: Peers, sink: Memory) -> None:
    outbox.presence(ROOM, encode_presence(1, SOMEBODY))
    peers.received(take_one(outbox), 0)
    outbox.say_farewell()
    peers.received(take_one(outbox), 0)
    assert sink.present() == {}


def test_a_node_that_started_anew_is_not_counted_twice(peers: Peers, sink: Memory) -> None:
    tell(peers, 100, SOMEBODY, 100)
    peers.received(encode_frame(Frame("a", START + 1, 1, [])), 0)
    assert sink.present() == {}
    tell(peers, 1, SOMEBODY, 2, start=START + 1)
    tell(peers, 101, Presence(9, 9, tells_who=False), 101, start=START)
    assert sink.present() == {"a": SOMEBODY}
    assert sink.missed_count == 1, "it died without a farewell"


def test_entries_of_a_start_that_is_over_still_count(outbox: Outbox, peers: Peers, sink: Memory) -> None:
    peers.received(encode_frame(Frame("a", START + 1, 1, [])), 0)
    outbox.publish([message(1)])
    peers.received(take_one(outbox), 0)
    assert sink.offsets == [1]


def test_number_of_nodes_is_bounded(peers: Peers, sink: Memory) -> None:
    for number in range(MAX_PEERS + 10):
        tell(peers, 1, SOMEBODY, 1, node=f"node {number}")
    assert len(sink.present()) == MAX_PEERS


def test_presence_of_many_keeps_its_order() -> None:
    people = tuple(Person(f"user{number:04}", UUID(int=number)) for number in range(1000))
    told = Presence(1000, 5, people)
    assert decode_presence(encode_presence(3, told)) == (3, told)
