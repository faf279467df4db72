"""The measurement of the forwarding loop runs, and what it sent arrived."""

from argparse import Namespace

import pytest

from bench.micro.forwarding import run


@pytest.mark.parametrize("segmentation", [True, False])
def test_everything_that_is_sent_arrives(segmentation: bool) -> None:
    options = Namespace(consumers=3, frame=4, seconds=0.02, sockets=2, segmentation=segmentation)
    result = run(options)
    assert result.packets > 0
    assert result.received == result.packets - result.dropped
    assert set(result.figures()) >= {"packets out per second", "µs of processor per packet"}
