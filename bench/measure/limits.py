"""Room for thousands of sockets in one process."""

import resource
from typing import Final

from bench.errors import BenchError

SPARE_DESCRIPTORS: Final = 64


def reserve_descriptors(sockets: int) -> None:
    """Raise the soft limit of open files to the hard one; BenchError when ``sockets`` still do not fit."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and sockets + SPARE_DESCRIPTORS > hard:
        raise BenchError(f"{sockets} connections need more open files than the limit of {hard} (ulimit -Hn)")
