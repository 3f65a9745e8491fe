"""SHA-256 of files of weights."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from ..errors import InputError
from ..files import check_is_file

_SETTLED_SECONDS = 5.0
"""A file changed so lately may change again without another time: clocks of file systems tick more slowly."""

_found: dict[tuple[int, ...], str] = {}


def file_sha256(weights: str | Path) -> str:
    """Hash of a file of weights; a process hashes a file once that does not change.

    Raises:
        InputError: if it cannot be read.
    """
    check_is_file(weights)
    try:
        with open(weights, "rb") as file:
            about = os.fstat(file.fileno())
            state = about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
            digest = _found.get(state) or hashlib.sha256(file.read()).hexdigest()
    except FileNotFoundError as error:
        raise InputError(f"{weights}: no such file of weights; give another path or train first") from error
    except OSError as error:
        raise InputError(f"{weights}: cannot be read ({error.strerror}); give a file of weights") from error
    if time.time() - about.st_ctime > _SETTLED_SECONDS:
        _found[state] = digest
    return digest
