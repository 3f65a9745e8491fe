"""Flags of MONAI's own command, which takes any name: one that no config knows changes nothing, so it is told."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..ranks import is_first_rank
from ..settings.ids import config_ids, unknown_ids
from .arguments import flag_name, parse_override

logger = logging.getLogger(__name__)


def warn_of_unknown_flags(arguments: Sequence[str] | None = None) -> list[str]:
    """Warn of each flag of ``python -m monai.bundle run`` that is no id of the configs that it runs.

    It is a step of the configs, since MONAI asks nobody before it adds such a flag as a new id.

    Args:
        arguments: what follows ``monai.bundle``; that of this process if not given, if it is MONAI's command.

    Returns:
        The unknown flags.
    """
    if arguments is None:
        is_monai = Path(sys.argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py")
        arguments = sys.argv[1:] if is_monai else ()
    flags = _flags(arguments)
    if "args_file" in flags:
        flags = {key: str(value) for key, value in _content(flags["args_file"]).items()} | flags
    files = [str(file) for file in _as_list(parse_override(flags.get("config_file", "")))]
    if not is_first_rank() or not all(files):
        return []
    known: dict[str, Any] = {}
    for file in files:
        known |= config_ids(_content(file))
    unknown = unknown_ids(flags, known, prefix="--")
    for flag, hint in unknown.items():
        logger.warning(
            "--%s changes nothing: %s has no such id%s; docs/configs.md lists all",
            *(flag, ", ".join(Path(file).name for file in files), hint),
        )
    return list(unknown)


def _flags(arguments: Sequence[str]) -> dict[str, str]:
    """The flags and their values, as Fire takes them."""
    found: dict[str, str] = {}
    flag = ""
    for argument in arguments:
        if argument.startswith("--"):
            flag = flag_name(argument)
            found[flag] = argument.partition("=")[2]
        elif flag and not found[flag]:
            found[flag] = argument
    return found


def _content(path: str) -> dict[str, Any]:
    """A config or a file of flags, of JSON or YAML; MONAI has read it before."""
    from monai.bundle import ConfigParser

    return dict(ConfigParser.load_config_file(path))


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
