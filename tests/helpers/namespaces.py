"""Two network namespaces of the kernel's own with a cable between them, on which it may drop and delay.

A thread is in one namespace at a time, and so are the sockets it opens and the processes it starts. Nothing
of the machine's own network is touched, and all is gone when nobody is inside and the last file is closed.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

NEAR_ADDRESS: Final = "10.200.0.1"
FAR_ADDRESS: Final = "10.200.0.2"
NEAR_DEVICE: Final = "near0"
FAR_DEVICE: Final = "far0"
DEVICE: Final = "DEVICE"
"""Stands for the end that a rule is applied to."""

Rules = tuple[tuple[str, ...], ...]
_NETEM = ("loss", "30%", "delay", "40ms", "20ms", "duplicate", "5%")
_DROP = "4,32 0 0 4294963256,53 0 1 3006477107,6 0 0 2,6 0 0 0"
"""A program of classic BPF: a random number above 70 % of 2**32 drops the packet."""
LOSS_JITTER_AND_DOUBLES: Final[Rules] = (("qdisc", "add", "dev", DEVICE, "root", "netem", *_NETEM),)
LOSS: Final[Rules] = (
    ("qdisc", "add", "dev", DEVICE, "clsact"),
    ("filter", "add", "dev", DEVICE, "egress", "bpf", "da", "bytecode", _DROP),
)
"""For kernels without netem."""
_CLONE_NEWNET: Final = 0x4000_0000


class NotPossibleError(Exception):
    """The kernel, or its rules, do not allow it; the message says what they do not."""


class Namespace:
    """One of the kernel's networks, held open."""

    def __init__(self) -> None:
        """The one that this thread is in."""
        self._descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @property
    def path(self) -> str:
        """What programs of ours find it by."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be in it while the block runs."""
        home = Namespace()
        self.enter()
        try:
            yield
        finally:
            home.enter()
            home.close()

    def close(self) -> None:
        os.close(self._descriptor)

    def enter(self) -> None:
        """Be in it from now on."""
        _call("setns", self._descriptor, _CLONE_NEWNET)


class Cable:
    """``near`` and ``far`` reach each other by it."""

    def __init__(self, near: Namespace, far: Namespace) -> None:
        self.near = near
        self.far = far

    @contextmanager
    def spoiled(self, rules: Rules) -> Iterator[None]:
        """Let tc apply ``rules`` to what leaves either end while the block runs."""
        try:
            for namespace, device in self._ends():
                with namespace.entered():
                    for rule in rules:
                        run("tc", *(device if word == DEVICE else word for word in rule))
            yield
        finally:
            for namespace, device in self._ends():
                with namespace.entered():
                    for place in ("root", "clsact"):
                        subprocess.run(("tc", "qdisc", "del", "dev", device, place), capture_output=True)

    def check(self, rules: Rules) -> None:
        """Raise NotPossibleError where tc does not take ``rules``."""
        with self.spoiled(rules):
            return

    def _ends(self) -> tuple[tuple[Namespace, str], ...]:
        return (self.near, NEAR_DEVICE), (self.far, FAR_DEVICE)


@contextmanager
def cable() -> Iterator[Cable]:
    """Two networks with a cable between them. Raises NotPossibleError."""
    with ExitStack() as stack:
        home = Namespace()
        stack.callback(home.close)
        try:
            far, near = _fresh(stack), _fresh(stack)
            run("ip", "link", "add", "name", NEAR_DEVICE, "type", "veth", "peer", "name", FAR_DEVICE)
            run("ip", "link", "set", FAR_DEVICE, "netns", far.path)
            _give_address(NEAR_DEVICE, NEAR_ADDRESS)
            with far.entered():
                _give_address(FAR_DEVICE, FAR_ADDRESS)
        finally:
            home.enter()
        yield Cable(near, far)


def run(*command: str) -> None:
    """Run a program of iproute2. Raises NotPossibleError with what it said."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    except FileNotFoundError:
        raise NotPossibleError(f"there is no program {command[0]}") from None
    except subprocess.CalledProcessError as error:
        raise NotPossibleError(f"{' '.join(command)}: {error.stderr.strip()}") from None


def _fresh(stack: ExitStack) -> Namespace:
    """Make a network, and be in it."""
    _call("unshare", _CLONE_NEWNET)
    made = Namespace()
    stack.callback(made.close)
    run("ip", "link", "set", "lo", "up")
    return made


def _give_address(device: str, address: str) -> None:
    run("ip", "address", "add", f"{address}/24", "dev", device)
    run("ip", "link", "set", device, "up")


def _call(name: str, *arguments: int) -> None:
    if not sys.platform.startswith("linux"):
        raise NotPossibleError("network namespaces are Linux's")
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        raise NotPossibleError(f"{name}: {os.strerror(ctypes.get_errno())}")
