"""Paths that a run of the network reads, looked for before anything is imported that takes long."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import InputError
from ..folders.slide_table import is_table, read_slide_table
from .arguments import split_values

_WRITTEN = (
    "output_dir",
    "ckpt_dir",
    "cache_dir",
    "config_file",
)  # made by the run, or the bundle's
_ELSEWHERE = re.compile(r"://|^[$@%\[]")  # object stores, expressions, references and lists
_NOTHING = ("", "null", "none")


def check_paths(flags: Mapping[str, str | None]) -> None:
    """Refuse paths that do not exist, among the flags that name what is read.

    Args:
        flags: of a command that runs the network, see `arguments.join_values`.

    Raises:
        InputError: if a slide, a file or a folder is missing.
    """
    for flag, text in flags.items():
        if flag in _WRITTEN or (flag == "dataset_dir" and "slides" in flags):
            continue
        for value in split_values(text):
            if value.lower() in _NOTHING or _ELSEWHERE.search(value):
                continue
            path = Path(value).expanduser()
            if flag in ("slides", "dataset_dir") and is_table(value):
                read_slide_table(value)
                continue
            if flag == "slides" and not path.exists():
                raise InputError(f"{value}: no such file or folder; give slides or a folder of slides")
            if flag in ("weights", "screen_weights", "teacher") and path.is_dir():
                raise InputError(f"{value}: not a file of weights, but a folder; give the file")
            if flag in ("weights", "screen_weights", "teacher") and not path.exists():
                raise InputError(f"{value}: no such file of weights; give another path or train first")
            if flag == "folders" and not path.is_dir():
                raise InputError(f"{value}: no such folder of patch pictures; give another to --folders")
            if flag == "tables" and not path.is_file():
                raise InputError(f"{value}: no such table of patch pictures; give another to --tables")
            if flag.endswith("_file") and not path.is_file():
                raise InputError(f"{value}: no such file; give another --{flag}")
            if flag == "foreground_dir" and not path.is_dir():
                raise InputError(f"foreground_dir {value}: no such folder of masks; make them, or leave the flag out")
            if flag.endswith("_dir") and not path.is_dir():
                raise InputError(f"{value}: no such folder; give another --{flag}")
