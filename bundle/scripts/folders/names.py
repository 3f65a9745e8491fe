"""Names of slides: how a path says one, and when two are the same."""

from __future__ import annotations

import unicodedata
from pathlib import Path


def compose(text: str) -> str:
    """A text in Unicode's composed form, NFC (Unicode Standard Annex #15).

    File systems and file servers of macOS store ``ü`` decomposed, as ``u`` and two dots; others keep what they get.
    """
    return unicodedata.normalize("NFC", text)


def slide_name(path: str | Path) -> str:
    """A slide's name, by which its results are named and its annotation and truth are found.

    Args:
        path: the slide's file or address.

    Returns:
        The file's name without the suffix, composed (see `compose`).
    """
    return compose(Path(path).stem)


def slide_file_name(path: str | Path) -> str:
    """The name of a slide's file or address as results state it, composed (see `compose`)."""
    return compose(Path(path).name)


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
    return decomposed if decomposed.is_file() and not path.is_file() else path
