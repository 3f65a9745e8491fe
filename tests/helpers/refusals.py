"""What a user is told about a file that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.errors import InputError


def refusal(read: Callable[[Path], Any], path: Path, line: int | None = None) -> str:
    """The message with which a file is refused: one line that begins with its path, and the number of the line."""
    with pytest.raises(InputError) as error:
        read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: " if line is None else f"{path}, line {line}: ")
    assert "\n" not in message
    assert len(message) - len(str(path)) < 220
    return message
