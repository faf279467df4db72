"""Session descriptions, in the subset that WHIP and WHEP need, to and from the shapes of `parameters`.

A publisher: `parse_offer`, `producer_parameters` of each sending section, `answer` (`recvonly`).
A viewer: `parse_offer`, `consumer_parameters` of each receiving section, `answer` (`sendonly`).
"""

from sfu.protocol.sdp.answer import Endpoint, answer
from sfu.protocol.sdp.description import Fragment, MediaSection, Offer, SectionAnswer
from sfu.protocol.sdp.fragment import parse_fragment, serialize_fragment
from sfu.protocol.sdp.lines import MalformedDescription
from sfu.protocol.sdp.negotiation import Consumption, consumer_parameters, producer_parameters
from sfu.protocol.sdp.offer import parse_offer

__all__ = [
    "Consumption",
    "Endpoint",
    "Fragment",
    "MalformedDescription",
    "MediaSection",
    "Offer",
    "SectionAnswer",
    "answer",
    "consumer_parameters",
    "parse_fragment",
    "parse_offer",
    "producer_parameters",
    "serialize_fragment",
]
