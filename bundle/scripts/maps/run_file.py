"""What ``run.json`` of a folder of maps tells: how inference went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files import read_json
from ..folders.names import slide_file_name


def read_run(maps: Path) -> dict[str, Any]:
    """Read the ``run.json`` of a folder of maps.

    Args:
        maps: the folder.

    Returns:
        Its content; empty if there is none, or if it is no object.

    Raises:
        InputError: if it is no readable JSON file.
    """
    record = maps / "run.json"
    content = read_json(record) if record.is_file() else {}
    return content if isinstance(content, dict) else {}


def read_failures(maps: Path) -> dict[str, str]:
    """Slides at which inference failed, and why.

    Args:
        maps: folder of maps; its ``run.json``, if any, lists them.

    Returns:
        Reasons by file name of the slide.

    Raises:
        InputError: if ``run.json`` is no readable JSON file.
    """
    found = read_run(maps).get("slides_failed")
    failures = [failure for failure in found if isinstance(failure, dict)] if isinstance(found, list) else []
    return {slide_file_name(str(failure.get("slide"))): str(failure.get("reason")) for failure in failures}
