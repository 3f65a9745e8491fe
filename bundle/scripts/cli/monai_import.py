"""MONAI as inference needs it: only what the run's components are made of.

MONAI imports all of itself at once, and with it many packages that it uses where they are installed. That takes twice
as long as PyTorch. What is imported here is MONAI's own code, unchanged. But a name is imported when it is asked for.
The same holds for Ignite and torchvision.
"""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

from ..workflow import find_overlays
from .lazy_packages import LazyPackages

NOT_NEEDED = frozenset(
    {
        "PIL",
        "bs4",
        "cucim",
        "cupy",
        "h5py",
        "huggingface_hub",
        "ignite.handlers",
        "jsonschema",
        "matplotlib",
        "mlflow",
        "nibabel",
        "onnx",
        "openslide",
        "pandas",
        "pydicom",
        "requests",
        "scipy",
        "skimage",
        "sklearn",
        "tensorboard",
        "tensorboardX",
        "tifffile",
        "torch.utils.tensorboard",
        "transformers",
        "yaml",
        "zarr",
    }
)
"""MONAI does without each of them where it is not installed."""

_PLACES = ("monai.engines", "monai.inferers", "monai.networks.nets", "monai.transforms")
"""Packages whose names the shipped configs give alone."""

LEAN_OVERLAYS = ("inference_onnx.json", "inference_trt.json", "multi_gpu_inference.json", "screen_10x.json")


def needs_all(overrides: Mapping[str, Any], overlays: Sequence[str]) -> bool:
    """Whether a run has components of the user's own, which may use any part of MONAI.

    Args:
        overrides: values for ids of ``inference.json``.
        overlays: config files over it, see `workflow.find_overlays`.

    Raises:
        InputError: if an overlay is missing.
    """
    own = [path for path in find_overlays(overlays) if path.name not in LEAN_OVERLAYS or not _is_ours(path)]
    return bool(own) or "tracking" in overrides or "_target_" in str(overrides) or "$" in str(overrides)


def _is_ours(path: Path) -> bool:
    return path.resolve().parent == Path(__file__).resolve().parents[2] / "configs"


def import_monai() -> None:
    """Import MONAI lazily, and without what is `NOT_NEEDED`; everybody else can import all of that as before.

    Where MONAI is imported already, nothing changes.
    """
    if "monai" in sys.modules:
        return
    is_collecting = gc.isenabled()
    gc.disable()  # imports make many objects that stay, among which the collector would look for others
    try:
        sys.meta_path.insert(0, LazyPackages(("monai", "ignite", "torchvision")))
        _import_without_submodules()
        from monai.bundle.config_item import ComponentLocator

        ComponentLocator.get_component_module_name = _lazy_locator(  # type: ignore[method-assign]
            ComponentLocator.get_component_module_name
        )
        gc.freeze()
    finally:
        if is_collecting:
            gc.enable()


def _import_without_submodules() -> None:
    """Import ``monai`` itself with functions of ours for two of its own."""
    spec = find_spec("monai")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("No module named 'monai'", name="monai")
    sys.modules["monai"] = module_from_spec(spec)
    try:
        module: Any = import_module("monai.utils.module")
        module.optional_import = _lean_import(module.optional_import)
        load_submodules = module.load_submodules
        module.load_submodules = lambda *arguments, **named: ([], [])
        spec.loader.exec_module(sys.modules["monai"])
        module.load_submodules = load_submodules
    except BaseException:
        del sys.modules["monai"]
        raise


def _lean_import(optional_import: Callable[..., tuple[Any, bool]]) -> Callable[..., tuple[Any, bool]]:
    def lean(module: str, *arguments: Any, **named: Any) -> tuple[Any, bool]:
        if any(f"{module}.".startswith(f"{name}.") for name in NOT_NEEDED):
            module = f"{module.replace('.', '_')} (left out by tumor-detection infer)"  # nothing has such a name
        return optional_import(module, *arguments, **named)

    return lean


def _lazy_locator(get_component_module_name: Callable[..., Any]) -> Callable[..., Any]:
    def locate(locator: Any, name: str) -> Any:
        """The module of a component that a config names without it; MONAI would look into all that are imported."""
        if "." in name:
            return None
        for package in map(import_module, _PLACES):
            found = getattr(package, name) if name in dir(package) else None
            if inspect.isclass(found) or inspect.isfunction(found):
                return found.__module__
        return get_component_module_name(locator, name)

    return locate
