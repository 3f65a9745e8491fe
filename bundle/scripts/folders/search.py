"""Search folders for slides and other files."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from .dicom import one_path_for_each, path_of
from .names import SLIDE_SUFFIXES, is_url, name_key, slide_name
from .slide_table import expand_tables

logger = logging.getLogger(__name__)

NO_SLIDES = ("_mask", "_tissue")
"""Endings of names, without suffix, of CAMELYON16's files that show no slide but its tumor or its tissue."""


def find_slides(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """Slides among files, folders and tables of slides, sorted by name; one path for each DICOM slide.

    Folders are searched as `files_below` does; names that end as in `NO_SLIDES` are left out there. For tables see
    `slide_table`.

    Raises:
        InputError: if a path is missing, nothing is found, or two slides share a name but for case and Unicode's forms
            (their results would collide).
    """
    paths = expand_tables(paths)
    found: dict[str, Path] = {}
    for given in paths:
        if is_url(given):
            raise InputError(f"{given}: only infer reads slides from an address; download it and give the file")
        path = Path(given)
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; give slides or a folder of slides")
        slides = _slides_below(path) if path.is_dir() else [path_of(path)]
        for slide in slides:
            name = slide_name(slide)
            other = found.setdefault(name_key(name), slide)
            if other.resolve() != slide.resolve():
                raise InputError(
                    f"{other} and {slide} share the name {name!r} (case makes no difference), and results are named by "
                    "it; rename one, or run them into different output folders"
                )
    if not found:
        raise InputError(
            f"{', '.join(map(str, paths))}: no slides found; expected files ending in {' '.join(SLIDE_SUFFIXES)}"
        )
    return sorted(found.values(), key=slide_name)


def _slides_below(folder: Path) -> list[Path]:
    files = files_below(folder, SLIDE_SUFFIXES)
    return [path for path in one_path_for_each(files) if not path.stem.endswith(NO_SLIDES)]


def files_below(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files anywhere below a folder, sorted.

    Links to folders are followed, and no folder is searched twice, so a link to a folder above ends. Hidden files and
    folders are passed over. A link to nothing and a folder that cannot be read are passed over with a warning.

    Args:
        folder: where to search.
        suffixes: lower-case suffixes that count.
    """
    found: list[Path] = []
    inside, linked, searched = [folder], list[Path](), set[str]()  # a folder is reached by its own path, if it has one
    while inside or linked:
        current = inside.pop() if inside else linked.pop(0)
        real = os.path.realpath(current)
        if real in searched:
            continue
        searched.add(real)
        for path in _entries(current):
            if os.path.isdir(path):
                (linked if path.is_symlink() else inside).append(path)
            elif os.path.isfile(path):
                found += [path] if path.suffix.lower() in suffixes else []
            elif path.is_symlink():
                logger.warning("%s: a link to %s, which is missing; it is passed over", path, os.readlink(path))
    return sorted(found)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        logger.warning("%s: the folder cannot be read (%s); it is passed over", folder, error.strerror)
        return []
