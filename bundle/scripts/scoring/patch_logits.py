"""The network's logits on labelled patch pictures, as ``train_patches.json`` validates it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .. import bundle_root
from ..errors import InputError
from ..network.purpose import Purpose, make_purpose, read_purpose
from ..workflow import check_configs, find_overlays


class PatchLogits(NamedTuple):
    """What a network says of labelled patches.

    Attributes:
        files: of the patches.
        is_tumor: (N,) bool, their labels.
        logits: (N,) float64, computed in float32.
        weights: file of the network's weights.
        purpose: what the weights are for, or None if that is not known.
        settings: what they were used for here.
    """

    files: list[str]
    is_tumor: npt.NDArray[np.bool_]
    logits: npt.NDArray[np.float64]
    weights: Path
    purpose: Purpose | None
    settings: Purpose


def compute_patch_logits(
    weights: str | Path | None = None,
    folders: Sequence[str | Path] = (),
    tables: Sequence[str | Path] = (),
    overlays: Sequence[str] = (),
    eightfold: bool = False,
) -> PatchLogits:
    """Run the network of ``train.json`` and ``train_patches.json`` on labelled patches, in float32.

    Args:
        weights: of the network; the bundle's own for these settings if None.
        folders: see `training.patch_images.patch_datalist`.
        tables: see `training.patch_images.patch_datalist`.
        overlays: config files laid over the two.
        eightfold: whether a patch's logit is the mean over its eight orientations, see `eightfold`.

    Returns:
        The logits, in the order of the list.

    Raises:
        InputError: if weights, patches or overlays are missing or damaged, or the weights for other patches.
    """
    import torch
    from monai.bundle import ConfigParser
    from tqdm import tqdm

    from ..network.eightfold import EightfoldRuntime
    from ..network.network import prepare_network
    from ..network.runtime import Runtime, TorchRuntime

    configs = find_overlays(["train.json", "train_patches.json", *overlays])
    check_configs(configs, {})
    config = ConfigParser(ConfigParser.load_config_files(configs))
    config["validation_folders"], config["validation_tables"] = list(map(str, folders)), list(map(str, tables))
    config["batch_size"] = 64
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = make_purpose(config.get_parsed_content("mpp"), config.get_parsed_content("patch_size"))
    path = _shipped_weights(settings) if weights is None else Path(weights)
    network = config.get_parsed_content("network_def")
    prepare_network(network, device, path, settings.mpp, settings.patch_size, base="train.json")
    network.eval()
    prepare = config.get_parsed_content("validate#prepare_batch")
    loader = config.get_parsed_content("validate#dataloader")
    runtime: Runtime = TorchRuntime(network, "float32")
    if eightfold:
        runtime = EightfoldRuntime(runtime)
    logits, labels = [], []
    for batch in tqdm(loader, desc="patches", unit="batch"):
        patches, label = prepare(batch, device)
        logits.append(runtime(patches).flatten().cpu().numpy())
        labels.append(label.flatten().cpu().numpy() > 0.5)
    files = [str(sample["image"]) for sample in config.get_parsed_content("validate#datalist")]
    return PatchLogits(
        files, np.concatenate(labels), np.concatenate(logits).astype(np.float64), path, read_purpose(path), settings
    )


def _shipped_weights(settings: Purpose) -> Path:
    for path in sorted((Path(bundle_root()) / "models").glob("*.pt")):
        purpose = read_purpose(path)
        if purpose is not None and purpose.fits(settings):
            return path
    raise InputError(f"weights: none of the shipped ones is for {settings}; give --weights FILE")
