"""MONAI as inference needs it: without optional packages that it would import along and inference never asks it for.

MONAI imports all of itself at once, and with it MLflow, TensorBoard, matplotlib and others where they are installed,
which takes as long as PyTorch and MONAI together.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..workflow import find_overlays

NOT_NEEDED = frozenset(
    {
        "bs4",
        "cupy",
        "matplotlib",
        "mlflow",
        "pydicom",
        "requests",
        "scipy.signal",
        "scipy.stats",
        "skimage",
        "sklearn",
        "tensorboard",
        "tensorboardX",
        "torch.utils.tensorboard",
        "zarr",
    }
)
"""MONAI does without each of them where it is not installed."""

_LEAN_OVERLAYS = ("inference_onnx.json", "inference_trt.json", "multi_gpu_inference.json", "screen_10x.json")


class _Hidden(MetaPathFinder):
    """Says of packages that they are not installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in NOT_NEEDED:
            raise ModuleNotFoundError(f"No module named {fullname!r} for MONAI in inference", name=fullname)
        return None


def needs_all(overrides: Mapping[str, Any], overlays: Sequence[str]) -> bool:
    """Whether a run has components of the user's own, which may use any part of MONAI.

    Args:
        overrides: values for ids of ``inference.json``.
        overlays: config files over it, see `workflow.find_overlays`.

    Raises:
        InputError: if an overlay is missing.
    """
    own = [path for path in find_overlays(overlays) if path.name not in _LEAN_OVERLAYS or not _is_ours(path)]
    return bool(own) or "tracking" in overrides or "_target_" in str(overrides) or "$" in str(overrides)


def _is_ours(path: Path) -> bool:
    return path.resolve().parent == Path(__file__).resolve().parents[2] / "configs"


def import_monai() -> None:
    """Import MONAI without what is `NOT_NEEDED`; afterwards all of that can be imported as before.

    Where MONAI is imported already, nothing changes.
    """
    if "monai" in sys.modules:
        return
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        import monai.bundle  # noqa: F401
    finally:
        sys.meta_path.remove(hidden)
