"""The network in the form of WSInfer's model zoo, which QuPath's extension WSInfer runs: TorchScript and a config.

The form is that of ``model-config.schema.json`` of the package ``wsinfer-zoo``. The extension puts a softmax over the
classes that the network gives logits for (github.com/qupath/qupath-extension-wsinfer, ``WSInfer.java``).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..files import atomic_path, make_output_dir, write_json
from ..network.hashes import file_sha256
from ..network.preprocessing import Scaling, find_scaling
from ..network.purpose import Purpose, make_purpose
from ..workflow import create_workflow

TORCHSCRIPT_NAME, CONFIG_NAME = "torchscript_model.pt", "config.json"
CLASS_NAMES = ("Normal", "Tumor")


class TwoLogits(torch.nn.Module):
    """A network of one logit as one of two classes: their softmax is the sigmoid of the one.

    Args:
        network: (N, 3, h, w) to (N, 1, 1, 1).
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute logits of `CLASS_NAMES`.

        Args:
            pixels: (N, 3, h, w) float32, as the network takes them.

        Returns:
            (N, 2) float32: 0 and the network's logit.
        """
        logits: torch.Tensor = self.network(pixels).flatten(1)
        return torch.cat([torch.zeros_like(logits), logits], dim=1)


def package_wsinfer(output: str | Path, weights: str | Path | None = None, overlays: Sequence[str] = ()) -> str:
    """Write the network as TorchScript, and the config that says how to use it.

    Args:
        output: the model's folder, whose name QuPath shows; files of an earlier time are replaced.
        weights: of the network; the bundle's own for these settings if None.
        overlays: on ``inference.json``, such as ``screen_10x.json``, see `workflow.find_overlays`.

    Returns:
        A line that sums up what was written.

    Raises:
        InputError: if a config is missing, patches are not square, or the folder cannot be written.
        RuntimeError: from an `InputError`, if the weights are missing, damaged or trained for other settings.
    """
    settings: dict[str, Any] = {} if weights is None else {"weights": str(weights)}
    settings |= {"device": "$torch.device('cpu')", "handlers": [], "logging_file": False}
    parser = create_workflow(["inference.json", *overlays], **settings).parser
    used = make_purpose(*(parser.get_parsed_content(key) for key in ("mpp", "patch_size")))
    side, other = used.patch_size
    scaling = find_scaling(parser.get_parsed_content("preprocessing"))
    if scaling is None or side != other:
        raise InputError(
            f"WSInfer takes square patches, scaled by one factor and one shift; found {used}, and a preprocessing that "
            f"{'is' if scaling else 'is not'} of this form; package another network"
        )
    network = TwoLogits(parser.get_parsed_content("network")).eval()
    path = Path(parser.get_parsed_content("weights"))
    folder = make_output_dir(output)
    with warnings.catch_warnings(), atomic_path(folder / TORCHSCRIPT_NAME) as temporary, torch.inference_mode():
        warnings.simplefilter("ignore")  # torch deprecates the form, but QuPath reads no other
        torch.jit.save(torch.jit.trace(network, torch.zeros(2, 3, side, side)), str(temporary))
    write_json(folder / CONFIG_NAME, wsinfer_config(used, scaling, file_sha256(path)))
    return f"{path.name} for {used} in {folder}: {TORCHSCRIPT_NAME} and {CONFIG_NAME}, for WSInfer and QuPath"


def wsinfer_config(purpose: Purpose, scaling: Scaling, weights_sha256: str) -> dict[str, Any]:
    """What WSInfer must know of the network.

    Args:
        purpose: of the weights; patches are square.
        scaling: of pixels from 0 to 255 to what the network takes.
        weights_sha256: of the weights; no key of WSInfer's, which ignores it.

    Returns:
        The content of ``config.json``.
    """
    side = purpose.patch_size[0]
    std = 1 / (255 * scaling.factor)
    mean, std = round(-scaling.shift * std, 9), round(std, 9)
    return {
        "spec_version": "1.0",
        "architecture": "resnet18",
        "num_classes": len(CLASS_NAMES),
        "class_names": list(CLASS_NAMES),
        "patch_size_pixels": side,
        "spacing_um_px": purpose.mpp,
        "transform": [
            {"name": "Resize", "arguments": {"size": side}},
            {"name": "ToTensor"},
            {"name": "Normalize", "arguments": {"mean": [mean] * 3, "std": [std] * 3}},
        ],
        "weights_sha256": weights_sha256,
    }
