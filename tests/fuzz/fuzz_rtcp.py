"""RTCP compounds: any bytes are events that survive a round trip, or raise MalformedPacket.

Run: python tests/fuzz/fuzz_rtcp.py [libFuzzer options] folder...
"""

import sys

import atheris

with atheris.instrument_imports():
    from sfu.protocol import rtcp
    from sfu.protocol.errors import MalformedPacket


def _described(event: rtcp.Event) -> str:
    """What a round trip keeps: times are modulo their period, and a NACK's numbers come without doubles."""
    if isinstance(event, rtcp.TransportFeedback):
        arrivals = [(n, None if time is None else time % rtcp.TIME_PERIOD_US) for n, time in event.arrivals]
        return f"{event.sender} {event.media} {event.feedback_count} {arrivals}"
    if isinstance(event, rtcp.Nack):
        return f"{event.sender} {event.media} {sorted(set(event.lost))}"
    return repr(event)


def _check(event: rtcp.Event) -> None:
    try:
        wire = event.serialize()
    except ValueError:
        # Times before the reference, and deltas that only the other's reference time allows.
        assert isinstance(event, rtcp.TransportFeedback)
        return
    if len(wire) <= rtcp.MAX_COMPOUND_SIZE:
        assert [_described(found) for found in rtcp.parse(wire)] == [_described(event)]


def test_one_input(data: bytes) -> None:
    try:
        events = rtcp.parse(data)
    except MalformedPacket:
        return
    for event in events:
        _check(event)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
