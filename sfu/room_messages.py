"""What participants are told without having asked. docs/rtc-protocol.md lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from msgspec import Struct, field

from sfu.protocol.parameters import Kind

PauseReason = Literal["producer", "lastN"]


class Message(Struct, rename="camel", kw_only=True, frozen=True):
    """The data of one notification; `method` is what it is called."""

    method: ClassVar[str]


class ParticipantInfo(Struct, rename="camel", kw_only=True, frozen=True):
    """What everybody sees of a participant. `is_away` while its connection is lost and may come back."""

    id: str
    identity: str
    name: str
    role: str
    hand_raised: bool = False
    muted: tuple[Kind, ...] = ()
    is_away: bool = False


class ProducerInfo(Struct, rename="camel", kw_only=True, frozen=True):
    """What somebody may consume. Without a participant it comes from elsewhere, such as RTMP or WHIP."""

    producer_id: str
    participant_id: str | None
    kind: Kind
    paused: bool
    program: bool
    app_data: Mapping[str, object] = field(default_factory=dict)


class DataProducerInfo(Struct, rename="camel", kw_only=True, frozen=True):
    data_producer_id: str
    participant_id: str
    label: str
    protocol: str


class VolumeEntry(Struct, rename="camel", kw_only=True, frozen=True):
    """`volume` in dBov: 0 is loudest, -127 silence."""

    producer_id: str
    participant_id: str | None
    volume: int


class ParticipantJoined(Message, frozen=True):
    method = "participantJoined"
    participant: ParticipantInfo


class ParticipantChanged(Message, frozen=True):
    """Of the role, the hand, what is muted, or the connection."""

    method = "participantChanged"
    participant: ParticipantInfo


class ParticipantLeft(Message, frozen=True):
    """`reason`: `left`, `away` (and not come back), `removed` or `revoked`."""

    method = "participantLeft"
    participant_id: str
    reason: str


class HandRaised(Message, frozen=True):
    """To those who may invite."""

    method = "handRaised"
    participant_id: str


class Invited(Message, frozen=True):
    """To the stage, by a moderator. The answer is `acceptInvitation` or `declineInvitation`."""

    method = "invited"
    by: str
    expires_in: float


class InvitationDeclined(Message, frozen=True):
    """To the one who invited; also when the time is over."""

    method = "invitationDeclined"
    participant_id: str


class Muted(Message, frozen=True):
    """To the one whose producers of these kinds were paused, and stay so until `unmuted`."""

    method = "muted"
    by: str
    kinds: tuple[Kind, ...]


class Unmuted(Message, frozen=True):
    """To the one who may resume its producers of these kinds again."""

    method = "unmuted"
    by: str
    kinds: tuple[Kind, ...]


class Removed(Message, frozen=True):
    """The last that is told: a moderator removed the participant, or what admitted it counts no more."""

    method = "removed"
    by: str | None
    reason: str


class NewProducer(Message, frozen=True):
    method = "newProducer"
    producer: ProducerInfo


class ProducerPaused(Message, frozen=True):
    method = "producerPaused"
    producer_id: str


class ProducerResumed(Message, frozen=True):
    method = "producerResumed"
    producer_id: str


class ProducerClosed(Message, frozen=True):
    method = "producerClosed"
    producer_id: str
    participant_id: str | None


class NewDataProducer(Message, frozen=True):
    method = "newDataProducer"
    data_producer: DataProducerInfo


class DataProducerClosed(Message, frozen=True):
    method = "dataProducerClosed"
    data_producer_id: str


class TransportClosed(Message, frozen=True):
    """One of the participant's own; what it carried is closed, too."""

    method = "transportClosed"
    transport_id: str


class ConsumerClosed(Message, frozen=True):
    method = "consumerClosed"
    consumer_id: str


class ConsumerPaused(Message, frozen=True):
    """Its producer was paused, or others than its participant were the last who spoke (`setLastN`)."""

    method = "consumerPaused"
    consumer_id: str
    reason: PauseReason


class ConsumerResumed(Message, frozen=True):
    """This reason has gone: media flows when there is no other."""

    method = "consumerResumed"
    consumer_id: str
    reason: PauseReason


class ConsumerLayersChanged(Message, frozen=True):
    """Without layers nothing fits into the bandwidth."""

    method = "consumerLayersChanged"
    consumer_id: str
    spatial_layer: int | None
    temporal_layer: int | None


class ActiveSpeaker(Message, frozen=True):
    """`speakers` are those who spoke last, the present one first: whom to show when not all fit."""

    method = "activeSpeaker"
    producer_id: str | None
    participant_id: str | None
    speakers: tuple[str, ...]


class Volumes(Message, frozen=True):
    method = "volumes"
    volumes: tuple[VolumeEntry, ...]


class Fault(Message, frozen=True):
    """A frame that is no request, so that no response can name it."""

    method = "error"
    error_code: str
    error_reason: str
