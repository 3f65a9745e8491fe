"""The gray value from which on a mask's pixels are tumor, where its sidecar states one."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..files import read_json

KEY = "tumor_from"
"""What the sidecar of a mask may state: pixels of at least this gray value are tumor."""

LOSSY_SUFFIXES = (".jpg", ".jpeg")
"""Pictures whose values are blurred, so that a mask needs `KEY`; without it they are pictures to look at."""


def read_threshold(path: Path) -> float | None:
    """The gray value from which on pixels are tumor.

    Args:
        path: the mask.

    Returns:
        The value, or None if the mask has no sidecar or it states none.

    Raises:
        InputError: if it is no positive number.
    """
    sidecar = path.with_suffix(".json")
    content = read_json(sidecar) if sidecar.is_file() else None
    value = content.get(KEY) if isinstance(content, dict) else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise InputError(
            f"{sidecar}: {KEY}: expected the gray value from which on pixels are tumor, found {value!r:.40}; mend it"
        )
    return float(value)
