"""Names of slides: how a path says one, and when two are the same."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, counted

SLIDE_SUFFIXES = (".tif", ".tiff", ".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm")
"""What counts as a slide when a folder is searched; a file named outright is tried whatever its suffix."""

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_FORMULA = ("=", "+", "-", "@")
_NAME_BYTES = 200  # endings of results come on top, and file systems take 255


def is_url(path: object) -> bool:
    """Whether a path is an address such as ``s3://bucket/slide.tif``."""
    return isinstance(path, str) and _SCHEME.match(path) is not None


def compose(text: str) -> str:
    """A text in Unicode's composed form, NFC (Unicode Standard Annex #15).

    File systems and file servers of macOS store ``ü`` decomposed, as ``u`` and two dots; others keep what they get.
    """
    return unicodedata.normalize("NFC", text)


def slide_name(path: str | Path) -> str:
    """A slide's name, by which its results are named and its annotation and truth are found.

    Args:
        path: the slide's file or address, or the folder of a DICOM slide (see `dicom`).

    Returns:
        The file's name without the suffix, or the folder's name; composed (see `compose`).
    """
    return compose(Path(slide_file_name(path)).stem)


def slide_file_name(path: str | Path) -> str:
    """The name of a slide's file as results state it, composed; for the folder of a DICOM slide it ends in .dcm."""
    path = Path(path)
    is_folder = os.path.isdir(path)  # false also of a text of a table that is too long for the disk
    return compose(f"{path.name}.dcm" if is_folder else path.name)


def name_key(name: str) -> str:
    """What is equal for two spellings of one name: Unicode's forms and case make no difference."""
    return compose(compose(name).lower())


def named_file(folder: str | Path, name: str, suffix: str) -> Path:
    """The file of a slide that lies directly in a folder.

    Args:
        folder: the folder.
        name: the slide's, see `slide_name`.
        suffix: of the file, such as ``.png``.

    Returns:
        Its path, composed or decomposed as it is there; composed if it is missing.
    """
    path = Path(folder) / f"{name}{suffix}"
    decomposed = path.with_name(unicodedata.normalize("NFD", path.name))
    return decomposed if os.path.isfile(decomposed) and not os.path.isfile(path) else path


def check_result_name(path: str | Path, reserved: Sequence[str] = ()) -> None:
    """Refuse a slide whose results could not be kept, or not be found again, under its name.

    Args:
        path: the slide.
        reserved: names, in lower case, that stand for something else in the folder of results.

    Raises:
        InputError: says why.
    """
    name = slide_name(path)
    try:
        num_bytes = len(name.encode())
    except UnicodeEncodeError:
        raise InputError(f"{str(path)!r}: results are named by the slide, whose name is not UTF-8; rename it") from None
    for is_so, reason in (
        (name.lower() in reserved, f"and {name}.json is not a slide's there"),
        (num_bytes > _NAME_BYTES, f"which has {counted(num_bytes, 'byte')}, more than {_NAME_BYTES}"),
        (name.startswith("."), "which is hidden"),
    ):
        if is_so:
            raise InputError(f"{path}: results are named by the slide, {reason}; rename it")


def check_cell(text: str, source: object) -> str:
    """A name that is written into a CSV file as it is: a spreadsheet must not take it for a formula.

    Args:
        text: the name of a slide or of a patient.
        source: where it was found, for the message.

    Raises:
        InputError: if it begins with ``=``, ``+``, ``-`` or ``@``.
    """
    if text.startswith(_FORMULA):
        raise InputError(
            f"{source}: the name {text!r:.80} begins with {text[0]!r}, and spreadsheets take that for a formula; "
            "change it"
        )
    return text
