"""What tells that files and folders are still the same, without reading slides."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ..files import check_is_file

_READ_WHOLE = 64 << 20  # larger files are slides and told by their date; a copy of smaller ones counts as the same
_NOT_RESULTS = ("run.json",)  # tells what the last run did, also where nothing changed


def identity(path: Path) -> Any:
    """What changes with a file or a folder, as a value of JSON.

    Args:
        path: the file or folder. Of a folder, hidden files do not count.

    Returns:
        Size and SHA-256 of a file, size and date of one above 64 MiB, one hash for a folder; None if it is missing.

    Raises:
        InputError: if it is a pipe or a device.
    """
    check_is_file(path)
    if path.is_dir():
        return _of_folder(path)
    if not path.exists():
        return None
    found = path.stat()
    if found.st_size > _READ_WHOLE:
        return [found.st_size, found.st_mtime_ns]
    return [found.st_size, hashlib.sha256(path.read_bytes()).hexdigest()]


def _of_folder(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and not is_hidden and path.name not in _NOT_RESULTS:
            whole.update(f"{relative.as_posix()}\0{identity(path)}\n".encode())
    return whole.hexdigest()
