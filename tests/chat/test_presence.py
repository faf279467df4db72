"""Who is in a room: each person once, the anonymous by a counter, on one node and on several."""

from collections import Counter
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chat.ports import Watchers
from chat.presence import MAX_TOLD, SMALL_ROOM, Person, Presence, PresenceChange, RoomPresence

NO_WATCHERS = Watchers(frozenset(), 0)


def user(number: int) -> UUID:
    return UUID(int=number)


def person(number: int) -> Person:
    return Person(f"user{number:05}", user(number))


def presence_of(*numbers: int, anonymous: int = 0, watchers: tuple[int, ...] = ()) -> Presence:
    named = frozenset(map(user, watchers))
    people = tuple(person(number) for number in numbers)
    return Presence(len(people) + len(named), anonymous, people, named)


def enter(presence: RoomPresence, *numbers: int) -> list[PresenceChange | None]:
    return [presence.enter(user(number), person(number).username) for number in numbers]


def joined(number: int) -> PresenceChange:
    return PresenceChange(True, user(number), person(number).username)


def left(number: int) -> PresenceChange:
    return PresenceChange(False, user(number), person(number).username)


# Coming and going


def test_a_person_with_many_connections_comes_once_and_leaves_once() -> None:
    presence = RoomPresence()
    assert enter(presence, 1, 1) == [joined(1), None]
    assert presence.count(NO_WATCHERS) == 1
    assert [presence.leave(user(1)) for _ in range(3)] == [None, left(1), None]
    assert presence.count(NO_WATCHERS) == 0


def test_anonymous_are_counted_by_connection_and_never_below_none() -> None:
    presence = RoomPresence()
    assert [presence.enter(None), presence.enter(None), presence.leave(None)] == [None, None, None]
    assert presence.count(NO_WATCHERS) == 1
    presence.leave(None)
    presence.leave(None)
    assert presence.count(NO_WATCHERS) == 0


def test_ten_thousand_anonymous_cost_a_counter() -> None:
    presence = RoomPresence()
    for _ in range(10_000):
        presence.enter(None)
    assert presence.own(NO_WATCHERS) == Presence(anonymous=10_000)
    assert not presence._connections
    assert not presence._order


def test_who_is_on_another_node_already_does_not_come_again() -> None:
    presence = RoomPresence()
    assert presence.remote("b", presence_of(1, 2)) == [joined(1), joined(2)]
    assert enter(presence, 1) == [None]
    assert presence.leave(user(1)) is None
    enter(presence, 1)
    assert presence.remote("b", presence_of(2)) == []
    assert presence.remote("b", Presence()) == [left(2)]
    assert presence.leave(user(1)) == left(1)


def test_who_is_on_two_other_nodes_comes_once_and_leaves_with_the_last() -> None:
    presence = RoomPresence()
    assert presence.remote("b", presence_of(1)) == [joined(1)]
    assert presence.remote("c", presence_of(1)) == []
    assert presence.remote("b", Presence()) == []
    assert presence.remote("c", Presence()) == [left(1)]


def test_who_only_watches_elsewhere_has_not_joined() -> None:
    presence = RoomPresence()
    assert presence.remote("b", presence_of(watchers=(1,))) == []
    assert enter(presence, 1) == [joined(1)]
    assert presence.remote("b", presence_of(2, watchers=(1,))) == [joined(2)]
    assert presence.remote("b", presence_of(watchers=(1, 2))) == [left(2)]


def test_nobody_comes_or_goes_when_a_node_stops_telling_who() -> None:
    presence = RoomPresence()
    presence.remote("b", presence_of(1, 2))
    assert presence.remote("b", Presence(5000, 7, tells_who=False)) == []
    assert presence.count(NO_WATCHERS) == 5007
    assert presence.people(None, 10) == []


# How many


def test_viewers_are_watchers_and_chatters_each_once_and_the_larger_anonymous_crowd() -> None:
    presence = RoomPresence()
    enter(presence, 1, 2)
    for _ in range(4):
        presence.enter(None)
    assert presence.count(Watchers(frozenset({user(2), user(3)}), 3)) == 3 + 4
    assert presence.count(Watchers(frozenset({user(2), user(3)}), 9)) == 3 + 9


def test_nodes_add_up_with_each_person_once() -> None:
    presence = RoomPresence()
    enter(presence, 1, 2)
    presence.remote("b", presence_of(2, 3, anonymous=5, watchers=(1, 4)))
    presence.remote("c", Presence(2000, 100, tells_who=False))
    assert presence.count(Watchers(frozenset({user(4), user(5)}), 1)) == 5 + 1 + 5 + 2100


def test_small_room_announces_and_large_room_counts() -> None:
    presence = RoomPresence()
    enter(presence, *range(SMALL_ROOM - 1))
    assert presence.count_to_announce(NO_WATCHERS) == SMALL_ROOM - 1
    assert presence.take_count(NO_WATCHERS) is None, "told already"
    enter(presence, 500)
    assert presence.count_to_announce(NO_WATCHERS) is None
    assert presence.take_count(NO_WATCHERS) == SMALL_ROOM
    assert presence.take_count(NO_WATCHERS) is None
    presence.leave(user(500))
    assert presence.count_to_announce(NO_WATCHERS) is None, "large until counted anew"
    assert presence.take_count(NO_WATCHERS) == SMALL_ROOM - 1
    presence.leave(user(0))
    assert presence.count_to_announce(NO_WATCHERS) == SMALL_ROOM - 2


def test_watchers_alone_make_a_room_large() -> None:
    presence = RoomPresence()
    enter(presence, 1)
    assert presence.count_to_announce(Watchers(frozenset(), SMALL_ROOM)) is None


def test_newcomers_of_a_large_room_are_told_the_count_of_the_last_second() -> None:
    presence = RoomPresence()
    assert presence.count_to_show(Watchers(frozenset(), 3)) == 3
    presence.take_count(Watchers(frozenset(), SMALL_ROOM))
    assert presence.count_to_show(Watchers(frozenset(), 5000)) == SMALL_ROOM


# Who


def test_tells_others_chatters_by_name_and_watchers_by_id() -> None:
    presence = RoomPresence()
    enter(presence, 2, 1)
    presence.enter(None)
    own = presence.own(Watchers(frozenset({user(1), user(7)}), 3))
    assert own == Presence(3, 3, (person(1), person(2)), frozenset({user(7)}))
    assert RoomPresence().own(NO_WATCHERS).is_empty


def test_tells_others_only_how_many_when_they_are_too_many() -> None:
    presence = RoomPresence()
    enter(presence, *range(MAX_TOLD))
    assert presence.own(NO_WATCHERS).tells_who
    own = presence.own(Watchers(frozenset({user(MAX_TOLD)}), 2))
    assert own == Presence(MAX_TOLD + 1, 2, tells_who=False)


def test_people_are_paged_in_order_over_all_nodes() -> None:
    presence = RoomPresence()
    enter(presence, 5, 1, 3)
    presence.remote("b", presence_of(2, 3, 6, watchers=(9,)))
    presence.remote("c", presence_of(2, 4))
    assert presence.people(None, 4) == [person(1), person(2), person(3), person(4)]
    assert presence.people(person(4), 4) == [person(5), person(6)]
    assert presence.people(person(6), 4) == []
    assert presence.people(None, 0) == []


def test_page_goes_on_though_the_last_of_the_page_before_has_left() -> None:
    presence = RoomPresence()
    enter(presence, 1, 2, 3)
    presence.leave(user(2))
    assert presence.people(person(2), 10) == [person(3)]


def test_who_was_renamed_is_listed_once_under_the_new_name() -> None:
    presence = RoomPresence()
    presence.enter(user(1), "before")
    presence.remote("b", Presence(1, 0, (Person("before", user(1)),)))
    assert presence.enter(user(1), "after") is None
    assert presence.people(None, 10) == [Person("after", user(1))]
    presence.leave(user(1))
    presence.leave(user(1))
    assert presence.people(None, 10) == [Person("before", user(1))]


@given(
    here=st.sets(st.integers(0, 30)),
    nodes=st.lists(st.sets(st.integers(0, 30)), max_size=3),
    limit=st.integers(1, 7),
)
def test_pages_show_everybody_once(here: set[int], nodes: list[set[int]], limit: int) -> None:
    presence = RoomPresence()
    enter(presence, *here)
    for number, told in enumerate(nodes):
        presence.remote(str(number), presence_of(*told))
    found: list[Person] = []
    while page := presence.people(found[-1] if found else None, limit):
        found += page
    assert found == sorted(map(person, here.union(*nodes)))


class Rooms(RuleBasedStateMachine):
    """What comes out of ``enter``, ``leave`` and ``remote`` is who is there, by a plain model."""

    def __init__(self) -> None:
        super().__init__()
        self.presence = RoomPresence()
        self.here: Counter[int] = Counter()
        self.anonymous = 0
        self.nodes: dict[str, tuple[set[int], int]] = {}
        self.told: set[UUID] = set()

    def hear(self, *changes: PresenceChange | None) -> None:
        for change in changes:
            if change is not None:
                assert (change.user_id in self.told) is not change.has_joined
                self.told ^= {change.user_id}

    @rule(number=st.integers(0, 5))
    def come(self, number: int) -> None:
        self.here[number] += 1
        self.hear(*enter(self.presence, number))

    @rule(number=st.integers(0, 5))
    def go(self, number: int) -> None:
        self.here[number] = max(0, self.here[number] - 1)
        self.hear(self.presence.leave(user(number)))

    @rule(has_come=st.booleans())
    def pass_by(self, has_come: bool) -> None:
        self.anonymous = max(0, self.anonymous + (1 if has_come else -1))
        self.hear(self.presence.enter(None) if has_come else self.presence.leave(None))

    @rule(node=st.sampled_from("bc"), numbers=st.sets(st.integers(0, 5)), anonymous=st.integers(0, 3))
    def tell(self, node: str, numbers: set[int], anonymous: int) -> None:
        self.nodes[node] = (numbers, anonymous)
        self.hear(*self.presence.remote(node, presence_of(*numbers, anonymous=anonymous)))

    @invariant()
    def all_are_known(self) -> None:
        there = set(+self.here).union(*(numbers for numbers, _ in self.nodes.values()))
        assert self.told == set(map(user, there))
        assert self.presence.people(None, 100) == sorted(map(person, there))
        anonymous = self.anonymous + sum(count for _, count in self.nodes.values())
        assert self.presence.count(NO_WATCHERS) == len(there) + anonymous


TestRooms = Rooms.TestCase
TestRooms.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
