"""Runs a config of this bundle as ``python -m monai.bundle run`` does, from any working directory."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import bundle_root
from .errors import InputError


def find_overlays(names: Sequence[str]) -> list[Path]:
    """Find config files by path, or by the name of one in ``configs``, with or without ``.json``.

    Raises:
        InputError: if one is missing.
    """
    configs = Path(bundle_root()) / "configs"
    found = []
    for name in names:
        candidates = [path for path in (Path(name), configs / name, configs / f"{name}.json") if path.is_file()]
        if not candidates:
            known = ", ".join(sorted(path.name for path in configs.glob("*.json") if path.name != "metadata.json"))
            raise InputError(f"--config_file {name}: no such file, here or in {configs}, which has {known}")
        found.append(candidates[0])
    return found


def device_override(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides in which a device given by its name, such as ``cpu`` or ``cuda:1``, is the device that configs use.

    Raises:
        InputError: if torch knows no such device.
    """
    name = overrides.get("device")
    if not isinstance(name, str) or name.startswith("$"):
        return dict(overrides)
    import torch

    try:
        torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device must be cpu, cuda or cuda:<number>, but got {name!r}") from error
    return {**overrides, "device": f"$torch.device({name!r})"}


def run_bundle(run_id: str, config: str, overrides: Mapping[str, Any], overlays: Sequence[str] = ()) -> None:
    """Run a config.

    Args:
        run_id: the id to run, such as ``training``.
        config: name of a file in ``configs``.
        overrides: values for ids of the config.
        overlays: config files laid over it, in this order, see `find_overlays`.

    Raises:
        InputError: if an overlay is missing or the device unknown.
    """
    found = [str(path) for path in find_overlays(overlays)]
    from monai.bundle import run

    configs = Path(bundle_root()) / "configs"
    if bundle_root() not in sys.path:
        sys.path.insert(0, bundle_root())
    # MONAI warns that a config is code: these are our own, and overlays are the user's choice
    warnings.filterwarnings("ignore", message="parsing config_file", category=UserWarning)
    try:
        run(
            run_id=run_id,
            config_file=[str(configs / config), *found],
            meta_file=str(configs / "metadata.json"),
            logging_file=str(configs / "logging.conf"),
            **device_override(overrides),
        )
    finally:
        gc.collect()  # engine, handlers and parser name each other, and with them keep the network: some 300 MB a run
