"""One line on the terminal that tells how far a run is; silent where nobody watches."""

import sys
from typing import TextIO


class Progress:
    """Rewrites one line on a terminal; elsewhere prints each new phase once."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._phase = ""

    def show(self, phase: str, detail: str = "") -> None:
        """Say what is being done now; ``detail`` changes often and is left out of a log file."""
        if self._is_terminal:
            self._stream.write(f"\r\x1b[2K{phase} {detail}".rstrip())
        elif phase != self._phase:
            self._stream.write(f"{phase}\n")
        self._phase = phase
        self._stream.flush()

    def clear(self) -> None:
        """Leave the terminal as it was found."""
        if self._is_terminal:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
