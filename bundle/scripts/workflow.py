"""Runs a config of this bundle as ``python -m monai.bundle run`` does, from any working directory."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import bundle_root


def run_bundle(run_id: str, config: str, overrides: Mapping[str, Any], overlays: Sequence[str] = ()) -> None:
    """Run a config.

    Args:
        run_id: the id to run, such as ``training``.
        config: name of a file in ``configs``.
        overrides: values for ids of the config.
        overlays: config files laid over it, in this order; a bare name is looked for in ``configs`` too.
    """
    from monai.bundle import run

    configs = Path(bundle_root()) / "configs"
    if bundle_root() not in sys.path:
        sys.path.insert(0, bundle_root())
    found = [str(configs / name) if not Path(name).exists() and (configs / name).exists() else name for name in overlays]
    # MONAI warns that a config is code: these are our own, and overlays are the user's choice
    warnings.filterwarnings("ignore", message="parsing config_file", category=UserWarning)
    run(
        run_id=run_id,
        config_file=[str(configs / config), *found],
        meta_file=str(configs / "metadata.json"),
        logging_file=str(configs / "logging.conf"),
        **overrides,
    )
