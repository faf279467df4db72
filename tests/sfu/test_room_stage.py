"""Who may what on a room's stage, and who is told of it."""

import pytest

from sfu.participant import Participant, Role
from sfu.room import CLOSE_REMOVED, RoomOptions
from sfu.room_messages import (
    HandRaised,
    InvitationDeclined,
    Invited,
    Muted,
    ParticipantChanged,
    Removed,
    Unmuted,
)
from tests.sfu.refusals import refused
from tests.sfu.rooms_world import (
    HOST,
    LISTENER,
    MODERATOR,
    SPEAKER,
    RoomWorld,
    granted,
)


@pytest.fixture
def world() -> RoomWorld:
    return RoomWorld()


def test_listeners_may_not_publish(world: RoomWorld) -> None:
    leo = world.join(LISTENER)

    with refused("not_on_stage"):
        world.microphone(leo)


def test_a_raised_hand_is_invited_and_accepts(world: RoomWorld) -> None:
    ana, leo = world.join(HOST), world.join(LISTENER)
    world.room.stage.raise_hand(leo)
    world.room.stage.raise_hand(leo)
    assert [one.participant_id for one in world.heard(ana, HandRaised)] == [leo.id]

    world.room.stage.invite(ana, leo, 10.0)
    assert [one.by for one in world.heard(leo, Invited)] == [ana.id]
    world.room.stage.accept(leo, 20.0)

    assert leo.role is Role.SPEAKER and not leo.hand_raised
    assert world.heard(ana, ParticipantChanged)[-1].participant.role == "speaker"
    world.microphone(leo)


def test_a_hand_may_be_lowered(world: RoomWorld) -> None:
    leo = world.join(LISTENER)
    world.room.stage.raise_hand(leo)
    world.room.stage.lower_hand(leo)
    world.room.stage.lower_hand(leo)

    assert [one.participant.hand_raised for one in world.heard(leo, ParticipantChanged)] == [True, False]


def test_nobody_comes_onto_the_stage_uninvited(world: RoomWorld) -> None:
    ana, leo = world.join(HOST), world.join(LISTENER)

    with refused("no_invitation"):
        world.room.stage.accept(leo, 0.0)
    with refused("no_invitation"):
        world.room.stage.decline(leo)
    with refused("invitation_needed"):
        world.room.stage.set_role(ana, leo, Role.SPEAKER)


def test_an_invitation_may_be_declined(world: RoomWorld) -> None:
    ana, leo = world.join(HOST), world.join(LISTENER)
    world.room.stage.invite(ana, leo, 0.0)
    world.room.stage.decline(leo)

    assert [one.participant_id for one in world.heard(ana, InvitationDeclined)] == [leo.id]
    with refused("no_invitation"):
        world.room.stage.accept(leo, 1.0)


def test_an_invitation_ends_by_itself(world: RoomWorld) -> None:
    ana, leo = world.join(HOST), world.join(LISTENER)
    world.room.stage.invite(ana, leo, 0.0)
    with refused("no_invitation"):
        world.room.stage.accept(leo, 60.0)
    world.room.expire(60.0)

    assert [one.participant_id for one in world.heard(ana, InvitationDeclined)] == [leo.id]


def test_an_invitation_does_not_make_a_place_on_a_full_stage() -> None:
    world = RoomWorld(RoomOptions(publishers=1))
    ana, leo = world.join(HOST), world.join(LISTENER)
    world.room.stage.invite(ana, leo, 0.0)

    with refused("stage_full"):
        world.room.stage.accept(leo, 1.0)


@pytest.mark.parametrize("deed", ["invite", "set_role", "mute", "unmute", "remove"])
@pytest.mark.parametrize("grants", [SPEAKER, LISTENER])
def test_only_moderators_decide_about_others(world: RoomWorld, deed: str, grants: object) -> None:
    by = world.join(grants)  # type: ignore[arg-type]
    target = world.join(granted("other"))

    with refused("not_moderator"):
        moderate(world, deed, by, target)


@pytest.mark.parametrize("deed", ["set_role", "mute", "unmute", "remove"])
@pytest.mark.parametrize("grants", [HOST, MODERATOR])
def test_nobody_decides_about_those_above_or_beside(world: RoomWorld, deed: str, grants: object) -> None:
    mia = world.join(granted("mo", can_publish=True, can_moderate=True))
    target = world.join(grants)  # type: ignore[arg-type]

    with refused("outranked"):
        moderate(world, deed, mia, target)


def moderate(world: RoomWorld, deed: str, by: Participant, target: Participant) -> None:
    stage = world.room.stage
    {
        "invite": lambda: stage.invite(by, target, 0.0),
        "set_role": lambda: stage.set_role(by, target, Role.LISTENER),
        "mute": lambda: stage.mute(by, target, ["audio"]),
        "unmute": lambda: stage.unmute(by, target, ["audio"]),
        "remove": lambda: world.room.remove(by, target),
    }[deed]()


def test_hosts_make_co_hosts_and_co_hosts_do_not(world: RoomWorld) -> None:
    ana, mia, sam = world.join(HOST), world.join(MODERATOR), world.join(SPEAKER)

    with refused("outranked"):
        world.room.stage.set_role(mia, sam, Role.CO_HOST)
    world.room.stage.set_role(ana, sam, Role.CO_HOST)

    assert sam.role is Role.CO_HOST


def test_who_is_sent_off_the_stage_stops_sending_and_stays_off(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    producer = world.microphone(sam)
    world.room.stage.set_role(ana, sam, Role.LISTENER)

    assert sam.media.producers == [] and producer.id not in world.router.producers
    world.room.leave(sam)
    again = world.join(SPEAKER)
    assert again.role is Role.LISTENER
    world.room.stage.invite(ana, again, 0.0)
    world.room.stage.accept(again, 0.0)
    world.room.leave(again)
    assert world.join(SPEAKER).role is Role.SPEAKER


@pytest.mark.parametrize("is_lifted", [False, True])
def test_who_was_sent_off_the_stage_stays_off_whatever_is_muted_then(
    world: RoomWorld, is_lifted: bool
) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    world.room.stage.set_role(ana, sam, Role.LISTENER)
    world.room.stage.mute(ana, sam, ["audio"])
    if is_lifted:
        world.room.stage.unmute(ana, sam, ["audio"])
    world.room.leave(sam)

    assert world.join(SPEAKER).role is Role.LISTENER


def test_who_was_muted_in_the_audience_stays_so_on_the_stage(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    world.room.stage.set_role(ana, sam, Role.LISTENER)
    world.room.stage.mute(ana, sam, ["audio"])
    world.room.stage.invite(ana, sam, 0.0)
    world.room.stage.accept(sam, 1.0)

    with refused("muted"):
        world.microphone(sam)
    world.room.leave(sam)
    again = world.join(SPEAKER)
    assert (again.role, again.muted) == (Role.SPEAKER, {"audio"})


def test_who_steps_down_needs_an_invitation_to_come_back(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    world.room.stage.step_down(sam)

    assert sam.role is Role.LISTENER
    with refused("host_stays"):
        world.room.stage.step_down(ana)
    with refused("not_on_stage"):
        world.microphone(sam)


def test_a_muted_microphone_stays_silent_until_a_moderator_lifts_it(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    microphone, camera = world.microphone(sam), world.camera(sam)
    world.room.stage.mute(ana, sam, ["audio"])

    assert microphone.paused and not camera.paused
    assert [(one.by, one.kinds) for one in world.heard(sam, Muted)] == [(ana.id, ("audio",))]
    with refused("muted"):
        world.room.resume_producer(sam, microphone.id)
    with refused("muted"):
        world.microphone(sam)
    world.room.stage.unmute(ana, sam, ["audio", "video"])
    world.room.stage.unmute(ana, sam, ["audio"])
    assert microphone.paused
    assert [one.kinds for one in world.heard(sam, Unmuted)] == [("audio",)]
    world.room.resume_producer(sam, microphone.id)
    assert not microphone.paused


def test_leaving_does_not_undo_a_mute(world: RoomWorld) -> None:
    ana, sam = world.join(HOST), world.join(SPEAKER)
    world.room.stage.mute(ana, sam, ["audio"])
    world.room.leave(sam)

    assert world.join(SPEAKER).muted == {"audio"}


def test_who_is_removed_is_told_and_may_not_come_back(world: RoomWorld) -> None:
    ana, sam, tab = world.join(HOST), world.join(SPEAKER), world.join(SPEAKER)
    world.room.remove(ana, sam)

    assert [one.by for one in world.heard(sam, Removed)] == [ana.id]
    assert world.links[sam.id].closed == (CLOSE_REMOVED, "removed")
    assert world.links[tab.id].closed == (CLOSE_REMOVED, "removed")
    assert list(world.room.participants) == [ana.id]
    with refused("removed"):
        world.join(SPEAKER)


def test_who_may_moderate_no_more_steps_down(world: RoomWorld) -> None:
    mia, sam = world.join(MODERATOR), world.join(SPEAKER)
    world.room.update(mia, granted("mia", can_publish=True))
    world.room.update(sam, granted("sam"))

    assert mia.role is Role.SPEAKER
    assert sam.role is Role.SPEAKER
