"""What rooms refuse."""

import pytest

from sfu.room_errors import Refusal


def refused(code: str) -> object:
    return pytest.raises(Refusal, check=lambda refusal: refusal.code == code)
