"""Flags of MONAI's own command, which takes any name: one that no config knows changes nothing, so it is told."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..ranks import is_first_rank
from .arguments import config_ids, flag_name, nearest, parse_override

logger = logging.getLogger(__name__)

_ZOO_IDS = {
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "lr": "learning_rate",
    "ckpt_path": "weights",
    "ckpt": "weights",
    "load_path": "weights",
    "checkpoint": "weights",
    "early_stop_patience": "patience",
    "amp": "precision",
    "data_root": "dataset_dir",
    "data_dir": "dataset_dir",
    "testing_file": "slides",
    "sw_batch_size": "batch_size",
    "val_batch_size": "batch_size",
    "cache_rate": "cache",
    "cacherate": "cache",
    "num_interval_per_valid": "val_interval",
    "validation_interval": "val_interval",
    "n_gpu": "num_ranks",
    "train_file": "training_file",
    "val_file": "validation_file",
    "valid_file": "validation_file",
}
"""What training and inference configs of MONAI's model zoo call it, and what this bundle does."""


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
    unknown = [flag for flag in flags if not _is_known(flag, known, flags)]
    for flag in unknown:
        named = _ZOO_IDS.get(flag)
        hint = f"; use --{named}" if named in known else nearest(flag, known)
        logger.warning(
            "--%s changes nothing: %s has no such id%s; docs/configs.md lists all",
            *(flag, ", ".join(Path(file).name for file in files), hint),
        )
    return unknown


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


def _is_known(flag: str, known: Mapping[str, Any], flags: Mapping[str, str]) -> bool:
    """A flag of MONAI, an id, an argument that a component has not got so far, or what another flag refers to."""
    from monai.bundle import ConfigWorkflow, run

    of_monai = {*inspect.signature(run).parameters, *inspect.signature(ConfigWorkflow).parameters, "workflow_name"}
    if flag in of_monai - {"override"} or flag in known or flag.lstrip("+") in known:
        return True
    parent, _, _ = flag.rpartition("#")
    is_argument = isinstance(known.get(parent), Mapping)
    return is_argument or any(f"{sign}{flag}" in value for value in flags.values() for sign in "@%")
