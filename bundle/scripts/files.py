"""Files: read them safely, write results so that nothing is ever half-written."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import secrets
import shutil
import time
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError

_MOST_TABLE_BYTES = 1 << 26

_NPY_ERRORS = (
    *(OSError, EOFError, ValueError, TypeError, OverflowError, MemoryError, SyntaxError, RecursionError),
    tokenize.TokenError,  # of a header that is cut off
)


_TORCH_FAILED = re.compile(r"iostream error|PytorchStreamWriter failed")  # its only words for a disk without room
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]+\.(tmp|old)(\.\w+)?")
_LEFT_SECONDS = 3600.0  # what nobody has written to for so long is of a run that was killed


def _temporary(path: Path, kind: str = "tmp") -> Path:
    """A hidden name beside a file that no other process takes, in containers neither, where process ids are alike."""
    stem = path.stem.encode(errors="ignore")[:100].decode(
        errors="ignore"
    )  # a long name must not grow beyond what the disk takes
    return path.with_name(f".{stem}.{secrets.token_hex(8)}.{kind}{path.suffix}")


def remove_leftovers(folder: Path, older_than_s: float = _LEFT_SECONDS) -> None:
    """Remove temporary files and folders that killed runs left in a folder.

    Args:
        folder: where results are written.
        older_than_s: seconds since their last change; 0 where no other run writes.
    """
    for name in os.listdir(folder):
        path = folder / name
        with suppress(OSError):  # another run may remove the same
            if _TEMPORARY.fullmatch(name) and time.time() - path.stat().st_mtime >= older_than_s:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success rename it to ``path``, on failure remove it.

    Raises:
        InputError: if the folder is read-only, missing or full, or a text is written that is not UTF-8, such as the
            name of another file.
    """
    path = Path(path)
    temporary = _temporary(path)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except UnicodeEncodeError as error:
        name = str(error.object)[max(0, error.start - 40) : error.end + 40].strip()
        raise InputError(f"{path}: cannot be written, since {name!r} in it is not UTF-8; rename that file") from error
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _TORCH_FAILED.search(str(error)):
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{path}: cannot be written ({reason:.200}); check the folder's space and rights") from error
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


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success put it in place of ``path``, on failure remove it.

    A folder cannot be replaced in one step: between two renames ``path`` is missing, but never in part.

    Raises:
        InputError: if the folder around it is read-only, missing or full.
    """
    path = Path(path)
    temporary, old = _temporary(path), _temporary(path, "old")
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be written ({reason}); check the folder's space and rights") from error
    finally:
        if not path.exists():
            with suppress(OSError):  # there may be none
                os.replace(old, path)
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def check_is_file(path: str | Path) -> None:
    """Refuse a pipe or a device, whose end may never come. What is missing, and folders, are told by who reads them.

    Raises:
        InputError: if it is one.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise InputError(f"{path}: expected a file, found a pipe or a device; copy it to a file")


def check_upright(path: str | Path, orientation: Any) -> None:
    """Refuse a mask or a map that some programs show turned and others do not, so that nobody knows what is meant.

    Args:
        path: the picture.
        orientation: its tag Orientation (274 of TIFF 6.0 and of Exif); None or 1 if it is shown as it is stored.

    Raises:
        InputError: if it is to be turned or mirrored.
    """
    if orientation not in (None, 1):
        raise InputError(
            f"{path}: its tag Orientation is {orientation}, by which some programs turn it and others do not; write it "
            "upright, without the tag"
        )


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically; NaN is refused."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file: UTF-8, 16 or 32, with a byte order mark or without (RFC 8259, 8.1, lets a reader ignore it).

    Raises:
        InputError: if the file is missing or not JSON, or an object in it has a key twice, with two values.
    """
    check_is_file(path)
    try:
        return json.loads(Path(path).read_bytes(), object_pairs_hook=_object)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, RecursionError) as error:  # also numbers of thousands of digits, and deep nesting
        raise InputError(f"{path}: not a readable JSON file ({error}); write it again") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        # QuPath writes "metadata" of a TMA core twice, both alike; to Python true is alike to 1, to JSON it is not
        if key in found and json.dumps(found[key]) != json.dumps(value):
            raise ValueError(f"an object has the key {key!r:.80} twice, and one of the two would be lost")
        found[key] = value
    return found


def read_npy(path: str | Path) -> npt.NDArray[Any]:
    """Map a numpy array's file into memory: nothing in it runs, and a size that its header makes up costs nothing.

    Args:
        path: a ``.npy`` file of numbers.

    Returns:
        The array, read-only; pixels are read when they are used.

    Raises:
        InputError: if the file is missing, damaged, shorter than its header says, or holds Python objects.
    """
    check_is_file(path)
    try:
        with np.errstate(all="ignore"):
            array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except _NPY_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a readable numpy array ({reason:.200}); write it again") from error
    return array


def read_number(text: str) -> float:
    """Read a number as files write them: ASCII digits with a point and an exponent, spaces around it, inf or nan.

    Python's own ``float`` also takes ``1_000`` and the digits of other scripts, which are slips of a pen in a file.

    Raises:
        ValueError: if the text is no such number.
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"not a number: {text!r:.40}")
    return float(text)


def write_npy(path: str | Path, array: npt.NDArray[Any]) -> None:
    """Write a numpy array atomically.

    Raises:
        InputError: if it cannot be written whole. NumPy itself does not say so where the last 4 kB find no space, since
            ``numpy.ndarray.tofile`` ignores what ``fclose`` returns.
    """
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def read_rows(path: str | Path, form: str = "a CSV file") -> list[tuple[int, list[str]]]:
    """Read the rows of a CSV file (RFC 4180): UTF-8, with a byte order mark or without.

    Args:
        path: the file.
        form: what it should be, for messages.

    Returns:
        The rows that are not blank, each with the number of its last line; cells without spaces around them.

    Raises:
        InputError: if the file is missing, larger than 64 MiB, or not CSV.
    """
    check_is_file(path)
    try:
        if Path(path).stat().st_size > _MOST_TABLE_BYTES:
            raise InputError(f"{path}: larger than {_MOST_TABLE_BYTES >> 20} MiB; expected {form}")
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; expected {form}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error}); expected {form}, in UTF-8") from error
    return [(number, row) for number, row in rows if any(row)]


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

    Temporary files of runs that were killed an hour ago or earlier are removed.

    Raises:
        InputError: if it cannot be made or written, or holds a ``~`` or a ``$HOME`` that no shell has replaced: a
            folder of this name is a trap for whoever removes it.
    """
    folder = Path(path)
    if os.path.expanduser(path) != str(path):
        raise InputError(f"{path}: a config does not replace ~ by the home folder; write {os.path.expanduser(path)}")
    if (expanded := os.path.expandvars(path)) != str(path):
        raise InputError(f"{path}: only a shell replaces variables, outside of quotes; write {expanded}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = _temporary(folder / "probe")
        probe.touch()
        probe.unlink(missing_ok=True)  # who has locked the folder may have tidied it meanwhile
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another output folder") from error
    with suppress(OSError):  # a folder that may be written, but not listed
        remove_leftovers(folder)
    return folder
