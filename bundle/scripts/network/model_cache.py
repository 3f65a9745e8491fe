"""Networks compiled by OpenVINO, kept from one run to the next: to convert and compile one takes a second.

Each is a file in the user's cache: a line of JSON, then the model as OpenVINO exports it, its layers and its weights.
No code is in it. The line says what the model was made of, and a file that says something else, or is damaged, is made
anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..files import atomic_path
from ..geometry import PATCH_SIZE
from .preprocessing import Scaling

logger = logging.getLogger(__name__)

VARIABLE = "TUMOR_DETECTION_NETWORKS"
"""The environment variable that names another folder, or says ``off``."""

MAX_BYTES = 1 << 29
_FORM = 3  # to be raised when networks are converted or kept in another way
_SUFFIX = ".network"
_DEVICE = "CPU"
_KNOWN_CODE = ("torch.nn.modules.", "torchvision.models.", "monai.networks.")
_PACKAGES = ("torch", "torchvision", "monai", "openvino")
_APART = ("_parameters", "_buffers", "_modules", "training")
_MAX_LINE = 1 << 12


def cache_folder() -> Path | None:
    """Where networks are kept, which need not exist; None where none are.

    ``pathology-tumor-detection/networks`` in ``XDG_CACHE_HOME`` or ``~/.cache``, unless `VARIABLE` says otherwise.
    """
    told = os.environ.get(VARIABLE)
    if told:
        return None if told == "off" else Path(told)
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return None
    return home / "pathology-tumor-detection" / "networks"


def fetch_model(
    core: Any,
    options: Mapping[str, Any],
    network: torch.nn.Module,
    scaling: Scaling | None,
    convert: Callable[[], Any],
    patch_size: int = PATCH_SIZE,
    form: str = "",
) -> Any:
    """Take a network's model from the cache, or make it and put it there.

    Args:
        core: OpenVINO's core.
        options: how the model is compiled for the CPU, see OpenVINO's properties.
        network: the network. One whose code is not of PyTorch, torchvision or MONAI is not kept.
        scaling: what becomes a part of the model.
        convert: makes the model.
        patch_size: side of the images with which it is made, on which some networks depend.
        form: in which of several ways the model is made.

    Returns:
        The model, compiled.
    """
    folder, compiling = cache_folder(), [dict(options), _describe_processor(core)]
    key = describe(network, scaling, patch_size, form, compiling)
    if folder is None or key is None:
        return core.compile_model(convert(), _DEVICE, options)
    path = folder / f"{key}{_SUFFIX}"
    with suppress(OSError, ValueError, RuntimeError):  # OpenVINO raises RuntimeError
        model = core.import_model(_read(path, key), _DEVICE, options)
        os.utime(path)  # the latest used stay
        return model
    model = core.compile_model(convert(), _DEVICE, options)
    try:
        _write(model, path, key)
        _drop_oldest(folder)
    except (OSError, InputError, RuntimeError) as error:  # OpenVINO may not export it
        logger.info("the compiled network is not kept for the next run: %s", error)
    return model


def _describe_processor(core: Any) -> list[Any]:
    """What a processor can do, on which it depends how OpenVINO changes a model when it compiles it."""
    return [sorted(torch.cpu.get_capabilities().items()), core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")]


def describe(
    network: torch.nn.Module,
    scaling: Scaling | None,
    patch_size: int = PATCH_SIZE,
    form: str = "",
    compiling: Any = None,
) -> str | None:
    """SHA-256 of all that a network's model depends on: versions, layers and their settings, weights, scaling.

    Args:
        network: the network.
        scaling: what becomes a part of its model.
        patch_size: see `fetch_model`.
        form: see `fetch_model`.
        compiling: how and where the model is compiled, as values of JSON.

    Returns:
        The hash; None for a network whose code may be another under the same name, or that has settings of other kinds
        than numbers and texts.
    """
    try:
        versions = [version(name) for name in _PACKAGES]
    except PackageNotFoundError:  # installed under another name
        return None
    digest = hashlib.sha256(json.dumps([_FORM, versions, scaling, patch_size, form, compiling]).encode())
    for name, module in network.named_modules(remove_duplicate=False):
        kind = type(module)
        settings = {key: value for key, value in vars(module).items() if key not in _APART and not _is_empty(value)}
        if not kind.__module__.startswith(_KNOWN_CODE) or not all(map(_is_plain, settings.values())):
            return None
        digest.update(json.dumps([name, kind.__module__, kind.__qualname__, settings], sort_keys=True).encode())
    for name, value in _tensors(network):
        digest.update(json.dumps([name, str(value.dtype), value.shape]).encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tensors(network: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from network.named_parameters(remove_duplicate=False)
    yield from network.named_buffers(remove_duplicate=False)


def _is_empty(value: Any) -> bool:
    return isinstance(value, (dict, set)) and not value


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def _read(path: Path, key: str) -> bytes:
    """The model in a file.

    Raises:
        OSError: if it is missing or cannot be read.
        ValueError: if it is another user's, no file, damaged, or made of something else.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid():
        raise ValueError("no file of this user")
    with open(path, "rb") as file:
        line = file.readline(_MAX_LINE)
        content = file.read()
    if line != _line(key, content):
        raise ValueError("damaged, or made of something else")
    return content


def _line(key: str, content: bytes) -> bytes:
    return json.dumps({"made_of": key, "sha256": hashlib.sha256(content).hexdigest()}).encode() + b"\n"


def _write(model: Any, path: Path, key: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    stream = io.BytesIO()
    model.export_model(stream)
    content = stream.getvalue()
    with atomic_path(path) as temporary:
        temporary.write_bytes(_line(key, content) + content)


def _drop_oldest(folder: Path) -> None:
    """Keep what was used last, up to `MAX_BYTES`; the latest stays whatever its size."""
    left = MAX_BYTES
    found = sorted(((path.stat(), path) for path in folder.glob(f"*{_SUFFIX}")), key=lambda item: -item[0].st_mtime_ns)
    for number, (about, path) in enumerate(found):
        left -= about.st_size
        if number and left < 0:
            path.unlink(missing_ok=True)
