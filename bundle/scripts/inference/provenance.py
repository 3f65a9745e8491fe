"""What made a map: the weights, and the versions of the software."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import bundle_root
from ..errors import InputError

_VERSIONED = ("monai", "torch", "openvino", "onnxruntime", "numpy", "openslide-python", "openslide-bin", "cucim-cu13")


def file_sha256(weights: Path) -> str:
    """Hash of a file of weights.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return hashlib.sha256(weights.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise InputError(f"{weights}: no such file of weights; give another path or train first") from error
    except OSError as error:
        raise InputError(f"{weights}: cannot be read ({error.strerror}); give a file of weights") from error


def versions() -> dict[str, str]:
    """Versions of this package and of what computes, as far as installed."""
    metadata = json.loads((Path(bundle_root()) / "configs" / "metadata.json").read_text(encoding="utf-8"))
    found = {"pathology_tumor_detection": str(metadata["version"])}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
