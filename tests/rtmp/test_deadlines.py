import pytest

from rtmp.deadlines import Deadlines, Phase, Verdict
from rtmp.limits import RtmpLimits

LIMITS = RtmpLimits(
    handshake_timeout=10, request_timeout=15, authorize_timeout=5, idle_timeout=30, linger_timeout=3
)
WAIT, PING, EXPIRED = Verdict.WAIT, Verdict.PING, Verdict.EXPIRED


@pytest.mark.parametrize(
    ("phase", "allowance"),
    [(Phase.HANDSHAKE, 10), (Phase.REQUEST, 15), (Phase.DECISION, 10), (Phase.CLOSING, 3)],
)
def test_phases_expire_whatever_the_peer_sends(phase: Phase, allowance: float) -> None:
    deadlines = Deadlines(LIMITS, 90)
    deadlines.enter(phase, 100)
    assert deadlines.judge(100 + allowance, 1, 0) is WAIT
    assert deadlines.judge(100.1 + allowance, 2, 0) is EXPIRED


# Each sweep: seconds, bytes received in all, write backlog, verdict.
@pytest.mark.parametrize(
    "sweeps",
    [
        pytest.param(
            [(15, 0, 0, WAIT), (16, 0, 0, PING), (29, 0, 0, WAIT), (31, 0, 0, EXPIRED)], id="silent"
        ),
        pytest.param(
            [(16, 9, 0, WAIT), (31, 9, 0, WAIT), (32, 9, 0, PING), (33, 10, 0, WAIT), (63, 10, 0, PING)],
            id="answers pings",
        ),
        pytest.param(
            [(10, 9, 50, WAIT), (20, 9, 40, WAIT), (40, 9, 30, WAIT), (71, 9, 30, EXPIRED)],
            id="reads slowly, then not at all",
        ),
        pytest.param([(10, 9, 50, WAIT), (30, 9, 60, PING), (41, 9, 70, EXPIRED)], id="backlog only grows"),
    ],
)
def test_active_connections_live_by_signs_of_life(sweeps: list[tuple[float, int, int, Verdict]]) -> None:
    deadlines = Deadlines(LIMITS, 0)
    deadlines.enter(Phase.ACTIVE, 0)
    for now, bytes_received, write_backlog, verdict in sweeps:
        assert deadlines.judge(now, bytes_received, write_backlog) is verdict
