"""What made a map: the weights, and the versions of the software."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..network.hashes import file_sha256
from ..network.purpose import bundle_version, read_purpose

logger = logging.getLogger(__name__)

_VERSIONED = ("monai", "torch", "openvino", "onnxruntime", "numpy", "openslide-python", "openslide-bin", "cucim-cu13")


def describe_weights(weights: str | Path | None, kind: str = "") -> dict[str, Any]:
    """What the sidecar of a map says of the weights, each null if there are none.

    Args:
        weights: their file.
        kind: what all keys begin with, ``screen_`` for the weights of a screen.

    Returns:
        ``weights``: the file's name; ``weights_sha256``; ``weights_purpose``: see `network.purpose.Purpose`, without
        activations, null also if it is not known.

    Raises:
        InputError: see `network.purpose.read_purpose`.
    """
    if weights is None:
        logger.warning(
            "%sweights is null: the network is as %snetwork_def makes it, untrained; give --%sweights FILE",
            *(kind,) * 3,
        )
        return dict.fromkeys((f"{kind}weights", f"{kind}weights_sha256", f"{kind}weights_purpose"))
    purpose = read_purpose(weights)
    return {
        f"{kind}weights": Path(weights).name,
        f"{kind}weights_sha256": file_sha256(weights),
        f"{kind}weights_purpose": None if purpose is None else purpose._replace(activations=None).content(),
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
