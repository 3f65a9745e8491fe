"""Runs a config of this bundle as ``python -m monai.bundle run`` does, from any working directory.

For users of Python it makes the workflow of a config, which they run.
"""

from __future__ import annotations

import gc
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import bundle_root
from .errors import InputError
from .files import read_json
from .settings.ids import config_ids, unknown_ids
from .settings.kinds import check_settings

if TYPE_CHECKING:
    from monai.bundle import ConfigWorkflow


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


def check_configs(paths: Sequence[Path], overrides: Mapping[str, Any]) -> None:
    """Refuse overlays that lie over the wrong configs, and settings of another kind than theirs.

    Args:
        paths: the base config and its overlays.
        overrides: values for ids over all of them.

    Raises:
        InputError: names the overlay that is missing, or the id and what it takes.
    """
    configs = (Path(bundle_root()) / "configs").resolve()
    defaults: dict[str, Any] = {}
    for index, path in enumerate(paths):
        content = read_json(path)
        if not isinstance(content, dict):
            raise InputError(f"{path}: expected a config, an object of ids, found {content!r:.40}; mend it")
        if path.read_bytes()[:1] not in (b"{", b" ", b"\t", b"\r", b"\n") or b"\0" in path.read_bytes():
            raise InputError(f"{path}: expected UTF-8 without a byte order mark, which MONAI does not read; save it so")
        if "" in content:
            raise InputError(f"{path}: expected ids of one character or more, found an empty one; mend it")
        if path.resolve().parent != configs:
            check_settings(f"{path}: ", content, defaults)
            continue
        before = [other.name for other in paths[:index]]
        for name in re.findall(r"\w+\.json", str(content.get("_desc_", "")).partition(":")[0]):
            if name not in before:
                raise InputError(
                    f"--config_file {path.name} is an overlay on {name}, which does not come before it; "
                    + (
                        f"this command runs {before[0]}"
                        if before and name in ("train.json", "inference.json")
                        else f"add {name}"
                    )
                )
        defaults |= content
    check_settings("", overrides, defaults)


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


def _is_no_default_folder(record: logging.LogRecord) -> bool:
    """Not MONAI's warning of the folder in which it would look for files that `run_bundle` names."""
    return not str(record.msg).startswith("Not all config files are in")


def _is_no_state_of_an_engine(record: logging.LogRecord) -> bool:
    """Not Ignite's lines that an engine starts, resumes or ends: the bundle's own say where a training goes on."""
    return not str(record.msg).startswith("Engine run ")


def _quiet_monai() -> None:
    """MONAI lists what it was given, in a form of its own on standard output; its warnings take the form of ours."""
    for name in ("monai.bundle.scripts", "monai.bundle.workflows"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
        logger.addFilter(_is_no_default_folder)
    for name in ("SupervisedTrainer", "SupervisedEvaluator"):
        logging.getLogger(f"ignite.engine.engine.{name}").addFilter(_is_no_state_of_an_engine)


def run_bundle(run_id: str, config: str, overrides: Mapping[str, Any], overlays: Sequence[str] = ()) -> None:
    """Run a config.

    Args:
        run_id: the id to run, such as ``training``.
        config: name of a file in ``configs``.
        overrides: values for ids of the config.
        overlays: config files laid over it, in this order, see `find_overlays`.

    Raises:
        InputError: if an overlay is missing or the device unknown; see `check_configs`.
    """
    base = Path(bundle_root()) / "configs" / config
    arguments = _arguments([base, *find_overlays(overlays)], overrides)
    from monai.bundle import run

    _quiet_monai()
    try:
        with _depth_told():
            run(run_id=run_id, **arguments)
    finally:
        gc.collect()  # engine, handlers and parser name each other, and with them keep the network: some 300 MB a run


def create_workflow(configs: str | Sequence[str], run_id: str = "run", **overrides: Any) -> ConfigWorkflow:
    """Make the workflow of a config, as ``monai.bundle.create_workflow`` does; nothing runs yet.

    The bundle's folder is put on the path of Python, so that every id can be asked for before ``run()``.

    Args:
        configs: a config, ``inference`` say, or a list of one and its overlays, see `find_overlays`.
        run_id: the id that ``run()`` runs.
        overrides: values for ids; an id such as ``evaluator#amp`` is given as ``**{"evaluator#amp": True}``. With
            ``logging_file=False`` the logging stays as it is; else it is that of the bundle.

    Returns:
        The workflow, initialized. Its ids are in ``parser``, MONAI's properties are its attributes.

    Raises:
        InputError: if a config is missing, an id or the device unknown; see `check_configs`.
    """
    paths = find_overlays([configs] if isinstance(configs, str) else configs)
    arguments = _arguments(paths, overrides)
    known: dict[str, Any] = {}
    for path in paths:
        known |= config_ids(read_json(path))
    for key, hint in unknown_ids(overrides, known).items():
        raise InputError(
            f"{key} changes nothing: {', '.join(path.name for path in paths)} has no such id{hint}; docs/configs.md "
            "lists all, and a new one goes into an overlay"
        )
    from monai.bundle import create_workflow as create

    kind = "train" if paths[0].stem.startswith("train") else "inference"
    with _depth_told():
        workflow: ConfigWorkflow = create(run_id=run_id, **{"workflow_type": kind, **arguments})
    return workflow


def _arguments(paths: Sequence[Path], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What MONAI is given for a config and its overlays, once they are checked and their code can be found."""
    check_configs(paths, overrides)
    if bundle_root() not in sys.path:
        sys.path.insert(0, bundle_root())
    # MONAI warns that a config is code: these are our own, and overlays are the user's choice
    warnings.filterwarnings("ignore", message="parsing config_file", category=UserWarning)
    configs = Path(bundle_root()) / "configs"
    return {
        "config_file": list(map(str, paths)),
        "meta_file": str(configs / "metadata.json"),
        "logging_file": str(configs / "logging.conf"),
        **device_override(overrides),
    }


@contextmanager
def _depth_told() -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise InputError("config: nested too deeply, or ids copy each other (%id) in a circle; mend it") from error
