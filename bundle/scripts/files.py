"""Files: find slides by name, write results so that nothing is ever half-written."""

from __future__ import annotations

import csv
import json
import os
import re
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError

SLIDE_SUFFIXES = (".tif", ".tiff", ".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm")
"""What counts as a slide when a folder is searched; a file named outright is tried whatever its suffix."""


_NPY_ERRORS = (
    *(OSError, EOFError, ValueError, TypeError, OverflowError, MemoryError, SyntaxError, RecursionError),
    tokenize.TokenError,  # of a header that is cut off
)

NO_SLIDES = ("_mask", "_tissue")
"""Endings of names, without suffix, of CAMELYON16's files that show no slide but its tumor or its tissue."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success rename it to ``path``, on failure remove it.

    Raises:
        InputError: if the folder is read-only, missing or full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be written ({reason}); check the folder's space and rights") from error
    finally:
        with suppress(OSError):  # the error on its way says more
            temporary.unlink(missing_ok=True)


def check_name(name: str, source: object) -> str:
    """A name that comes from elsewhere and becomes part of a path here.

    Args:
        name: a file's or slide's name.
        source: where it was found, for the message.

    Raises:
        InputError: if it is empty or hidden, leads out of its folder, or holds control characters.
    """
    if not name or name.startswith(".") or re.search(r"[/\\\x00-\x1f\x7f]", name) or len(name.encode()) > 200:
        raise InputError(
            f"{source}: {name!r:.80} cannot be a file's name; expected one without /, \\ and control characters, not "
            "hidden, of at most 200 bytes; mend it"
        )
    return name


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically; NaN is refused."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: if the file is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, RecursionError) as error:  # also numbers of thousands of digits, and deep nesting
        raise InputError(f"{path}: not a readable JSON file ({error}); write it again") from error


def read_npy(path: str | Path) -> npt.NDArray[Any]:
    """Map a numpy array's file into memory: nothing in it runs, and a size that its header makes up costs nothing.

    Args:
        path: a ``.npy`` file of numbers.

    Returns:
        The array, read-only; pixels are read when they are used.

    Raises:
        InputError: if the file is missing, damaged, shorter than its header says, or holds Python objects.
    """
    try:
        with np.errstate(all="ignore"):
            array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except _NPY_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a readable numpy array ({reason:.200}); write it again") from error
    return array


def write_npy(path: str | Path, array: npt.NDArray[Any]) -> None:
    """Write a numpy array atomically."""
    with atomic_path(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def write_table(path: str | Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as a CSV with a header, atomically; booleans are true and false there, as in JSON."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            values = [row[column] for column in columns]
            writer.writerow([str(value).lower() if isinstance(value, bool) else value for value in values])


def make_output_dir(path: str | Path) -> Path:
    """Make a folder for results and make sure that it can be written, before anything is computed.

    Raises:
        InputError: if it cannot be made or written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another output folder") from error
    return folder


def find_slides(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """Slides among files and folders (searched recursively), sorted by name.

    Names that end as in `NO_SLIDES`, hidden files and hidden folders are left out when a folder is searched.

    Raises:
        InputError: if a path is missing, nothing is found, or two slides share a stem (their results would collide).
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; give slides or a folder of slides")
        slides = _slides_below(path) if path.is_dir() else [path]
        for slide in slides:
            other = found.setdefault(slide.stem, slide)
            if other.resolve() != slide.resolve():
                raise InputError(
                    f"{other} and {slide} share the name {slide.stem!r}, and results are named by it; "
                    "rename one, or run them into different output folders"
                )
    if not found:
        raise InputError(
            f"{', '.join(map(str, paths))}: no slides found; expected files ending in {' '.join(SLIDE_SUFFIXES)}"
        )
    return [found[stem] for stem in sorted(found)]


def _slides_below(folder: Path) -> list[Path]:
    return [path for path in _files_below(folder, SLIDE_SUFFIXES) if not path.stem.endswith(NO_SLIDES)]


def _files_below(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files with these lower-case suffixes, sorted; hidden files and folders are passed over."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


class NameIndex:
    """Files of a folder, found by stem: the exact one, else the only one that differs in case.

    CAMELYON16's slides were published both as ``Tumor_001.tif`` and as ``tumor_001.tif``, and NCRF's lists
    write ``Tumor_001``.

    Args:
        folder: searched recursively; hidden files and folders are passed over.
        suffixes: lower-case file suffixes that count.
        kind: what the files are, for messages.

    Raises:
        InputError: if the folder is missing.
    """

    def __init__(self, folder: str | Path, suffixes: Sequence[str], kind: str) -> None:
        self.folder = Path(folder)
        self.kind = kind
        if not self.folder.is_dir():
            raise InputError(f"{self.folder}: no such folder; expected a folder of {kind}s")
        self._by_stem: dict[str, list[Path]] = {}
        for path in _files_below(self.folder, suffixes):
            self._by_stem.setdefault(path.stem.lower(), []).append(path)

    def __len__(self) -> int:
        return sum(len(paths) for paths in self._by_stem.values())

    def get(self, name: str) -> Path | None:
        """The file with this stem, or None.

        Raises:
            InputError: if several files have it.
        """
        same_letters = self._by_stem.get(name.lower(), [])
        paths = [path for path in same_letters if path.stem == name] or same_letters
        if len(paths) > 1:
            raise InputError(
                f"{self.folder}: {len(paths)} {self.kind}s are named {name!r} ({', '.join(map(str, paths))}); keep one"
            )
        return paths[0] if paths else None

    def __getitem__(self, name: str) -> Path:
        path = self.get(name)
        if path is None:
            raise InputError(f"{self.folder}: no {self.kind} named {name!r} anywhere below; add it or mend the name")
        return path
