"""Which ids configs have. MONAI takes any name for an override, so one that no config knows changes nothing."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

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


def config_ids(content: Any, prefix: str = "") -> dict[str, Any]:
    """The ids of a config with what they hold, nested ones as ``train#trainer#max_epochs``."""
    found: dict[str, Any] = {}
    items = content.items() if isinstance(content, Mapping) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        name = prefix + str(key).lstrip("+").replace("::", "#")  # an overlay appends with + (MONAI)
        found |= {name: value, **config_ids(value, f"{name}#")}
    return found


def nearest(name: str, known: Any) -> str:
    """What to ask of somebody who gave an unknown name: ``; did you mean 'epochs'?``, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def unknown_ids(given: Mapping[str, Any], known: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The ids among those given that no config knows.

    Known are also settings of MONAI's workflow, an argument that a component has not got so far, and what another
    value refers to by ``@`` or ``%``.

    Args:
        given: values by id.
        known: of `config_ids`, of all configs.
        prefix: before an id in a hint, ``--`` for flags.

    Returns:
        A hint for each, such as ``; use epochs`` or ``; did you mean 'epochs'?``, or nothing.
    """
    from monai.bundle import ConfigWorkflow, run

    of_monai = {*inspect.signature(run).parameters, *inspect.signature(ConfigWorkflow).parameters, "workflow_name"}
    fine = (of_monai - {"override"}) | known.keys()
    unknown: dict[str, str] = {}
    for key in given:
        name = key.lstrip("+").replace("::", "#")
        is_argument = isinstance(known.get(name.rpartition("#")[0]), Mapping)
        is_asked = any(f"{sign}{key}" in str(value) for value in given.values() for sign in "@%")
        if not (name in fine or is_argument or is_asked):
            named = _ZOO_IDS.get(key)
            unknown[key] = f"; use {prefix}{named}" if named in known else nearest(key, known)
    return unknown
