"""What made a map: the weights, and the versions of the software."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..network.purpose import bundle_version, file_sha256, read_purpose

_VERSIONED = ("monai", "torch", "openvino", "onnxruntime", "numpy", "openslide-python", "openslide-bin", "cucim-cu13")


def describe_weights(weights: str | Path | None) -> dict[str, Any]:
    """What the sidecar of a map says of the weights, each null if there are none.

    Args:
        weights: their file.

    Returns:
        ``weights``: the file's name; ``weights_sha256``; ``weights_purpose``: see `network.purpose.Purpose`, null also
        if it is not known.

    Raises:
        InputError: see `network.purpose.read_purpose`.
    """
    if weights is None:
        return {"weights": None, "weights_sha256": None, "weights_purpose": None}
    purpose = read_purpose(weights)
    return {
        "weights": Path(weights).name,
        "weights_sha256": file_sha256(weights),
        "weights_purpose": None if purpose is None else purpose.content(),
    }


def versions() -> dict[str, str]:
    """Versions of this package and of what computes, as far as installed."""
    found = {"pathology_tumor_detection": bundle_version()}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
