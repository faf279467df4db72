"""Who may publish in a room, and who decides: hands, invitations, roles, muting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sfu.participant import Invitation, Participant, Role, granted_role
from sfu.protocol.parameters import Kind
from sfu.room_errors import Refusal
from sfu.room_messages import HandRaised, InvitationDeclined, Invited, Muted, Unmuted
from sfu.room_ports import Grants

if TYPE_CHECKING:
    from sfu.room import Room

MAX_RULINGS: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Ruling:
    """What moderators decided about an identity: leaving and joining again does not undo it."""

    is_off_stage: bool = False
    muted: frozenset[Kind] = frozenset()


class Stage:
    """Nobody comes onto it against their will: who was not granted a place accepts an invitation."""

    def __init__(self, room: Room, size: int, invitation_seconds: float) -> None:
        self._room = room
        self._size = size
        self._invitation_seconds = invitation_seconds
        self._rulings: dict[str, _Ruling] = {}

    @property
    def is_full(self) -> bool:
        """Whether nobody but a host may come onto it."""
        return sum(one.role.is_on_stage for one in self._room) >= self._size

    def check_sends(self, participant: Participant) -> None:
        """Raise Refusal unless the participant may send anything."""
        if not participant.role.is_on_stage:
            raise Refusal("not_on_stage", "Only those on the stage may publish; raise your hand.")

    def check_publishes(self, participant: Participant, kind: Kind) -> None:
        """Raise Refusal unless the participant may send `kind` now."""
        self.check_sends(participant)
        if kind in participant.muted:
            raise Refusal("muted", f"A moderator muted your {kind}.")

    def entrance(self, grants: Grants) -> tuple[Role, frozenset[Kind]]:
        """Return the role that somebody begins with, and what of it is muted."""
        role = granted_role(grants)
        ruling = self._rulings.get(grants.identity)
        if role is Role.HOST or not role.is_on_stage:
            return role, frozenset()
        if self.is_full or (ruling is not None and ruling.is_off_stage):
            return Role.LISTENER, frozenset()
        return role, frozenset() if ruling is None else ruling.muted

    # What a listener does

    def raise_hand(self, participant: Participant) -> None:
        """Ask for an invitation."""
        if participant.role.is_on_stage:
            raise Refusal("already_on_stage", "You are on the stage already.")
        if participant.hand_raised:
            return
        participant.hand_raised = True
        self._room.tell_changed(participant)
        self._room.tell_moderators(HandRaised(participant_id=participant.id))

    def lower_hand(self, participant: Participant) -> None:
        """Do not ask any more."""
        if participant.hand_raised:
            participant.hand_raised = False
            self._room.tell_changed(participant)

    def accept(self, participant: Participant, now: float) -> None:
        """Come onto the stage after an invitation."""
        invitation = participant.invitation
        if invitation is None or invitation.expires_at <= now:
            raise Refusal("no_invitation", "Nobody has invited you, or it was too long ago.")
        if self.is_full:
            raise Refusal("stage_full", "There is no place on the stage now.", 5)
        self.place(participant, Role.SPEAKER)
        # What was muted in the audience stays so; an invitation lifts everything else.
        self._rule(participant, _Ruling(muted=participant.muted))

    def decline(self, participant: Participant) -> None:
        """Stay in the audience."""
        if participant.invitation is None:
            raise Refusal("no_invitation", "Nobody has invited you, or it was too long ago.")
        self._withdraw(participant, participant.invitation)

    def step_down(self, participant: Participant) -> None:
        """Leave the stage; coming back needs an invitation."""
        if participant.role is Role.HOST:
            raise Refusal("host_stays", "The host cannot leave the stage, only the room.")
        if participant.role.is_on_stage:
            self.place(participant, Role.LISTENER)

    # What moderators do

    def invite(self, by: Participant, target: Participant, now: float) -> None:
        """Ask a listener onto the stage."""
        if target.role.is_on_stage and by.role.can_moderate:
            raise Refusal("already_on_stage", "This participant is on the stage already.")
        by.check_moderates(target)
        target.invitation = Invitation(by.id, now + self._invitation_seconds)
        target.tell(Invited(by=by.id, expires_in=self._invitation_seconds))

    def set_role(self, by: Participant, target: Participant, role: Role) -> None:
        """Raise or lower somebody on the stage, below oneself. Listeners must be invited."""
        by.check_moderates(target)
        if role.rank >= by.role.rank:
            raise Refusal("outranked", "You can give only roles below your own.")
        if role.is_on_stage and not target.role.is_on_stage:
            raise Refusal("invitation_needed", "Listeners come onto the stage by invitation.")
        if role is not target.role:
            self._rule(target, _Ruling(not role.is_on_stage, target.muted))
            self.place(target, role)

    def mute(self, by: Participant, target: Participant, kinds: Iterable[Kind]) -> None:
        """Pause what somebody sends of these kinds until a moderator lifts it."""
        by.check_moderates(target)
        muted = frozenset(kinds)
        target.muted |= muted
        self._rule_muted(target)
        target.media.pause_kinds(muted)
        target.tell(Muted(by=by.id, kinds=tuple(sorted(muted))))
        self._room.tell_changed(target)

    def unmute(self, by: Participant, target: Participant, kinds: Iterable[Kind]) -> None:
        """Let somebody resume these kinds; a microphone is never opened for anybody."""
        by.check_moderates(target)
        lifted = target.muted & frozenset(kinds)
        if not lifted:
            return
        target.muted -= lifted
        self._rule_muted(target)
        target.tell(Unmuted(by=by.id, kinds=tuple(sorted(lifted))))
        self._room.tell_changed(target)

    # What the room does

    def place(self, participant: Participant, role: Role) -> None:
        """Change a role; who leaves the stage stops sending."""
        participant.role = role
        participant.invitation = None
        participant.hand_raised = False
        if not role.is_on_stage:
            participant.muted = frozenset()
            participant.media.stop_sending()
        self._room.tell_changed(participant)

    def expire(self, now: float) -> None:
        """Drop invitations that nobody answered."""
        for participant in self._room:
            invitation = participant.invitation
            if invitation is not None and invitation.expires_at <= now:
                self._withdraw(participant, invitation)

    def _rule_muted(self, target: Participant) -> None:
        """Remember what is muted; who was sent off the stage stays off."""
        ruling = self._rulings.get(target.grants.identity, _Ruling())
        self._rule(target, replace(ruling, muted=target.muted))

    def _rule(self, participant: Participant, ruling: _Ruling) -> None:
        identity = participant.grants.identity
        self._rulings.pop(identity, None)
        if ruling == _Ruling():
            return
        while len(self._rulings) >= MAX_RULINGS:
            del self._rulings[next(iter(self._rulings))]
        self._rulings[identity] = ruling

    def _withdraw(self, participant: Participant, invitation: Invitation) -> None:
        participant.invitation = None
        inviter = self._room.participants.get(invitation.by)
        if inviter is not None:
            inviter.tell(InvitationDeclined(participant_id=participant.id))
