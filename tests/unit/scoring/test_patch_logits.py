"""Logits of labelled patches: in the order of their files, by the network and the weights that are given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.made_patches import write_patches
from helpers.networks import TinyNetwork
from scripts.errors import InputError
from scripts.network.network import load_weights
from scripts.scoring.patch_logits import compute_patch_logits


def test_logits_are_those_of_each_picture(tmp_path):
    folder, overlay, weights = write_patches(tmp_path, 6)
    found = compute_patch_logits(weights, [folder], overlays=[str(overlay)])
    assert [file.split("/")[-2:] for file in found.files] == [
        *(["0", f"00{index}.png"] for index in (0, 2, 4)),
        *(["1", f"00{index}.png"] for index in (1, 3, 5)),
    ]
    assert found.is_tumor.tolist() == [False] * 3 + [True] * 3
    assert found.weights == weights
    network = load_weights(TinyNetwork(), weights).eval()
    for file, logit in zip(found.files, found.logits, strict=True):
        with Image.open(file) as picture:  # the central 24 px, enlarged four times
            pixels = np.asarray(picture.resize((96, 96), Image.Resampling.BICUBIC, box=(20, 20, 44, 44)))
        image = torch.tensor(pixels.transpose(2, 0, 1)[None].copy()) / 127.5 - 1
        with torch.inference_mode():
            assert logit == pytest.approx(float(network(image)), rel=1e-6)


def test_eightfold_is_the_mean_over_turned_and_mirrored_pictures(tmp_path):
    folder, overlay, weights = write_patches(tmp_path, 4)
    torch.manual_seed(1)
    network = TinyNetwork().eval()
    torch.save(network.state_dict(), weights)
    found = compute_patch_logits(weights, [folder], overlays=[str(overlay)], eightfold=True)
    for file, logit in zip(found.files, found.logits, strict=True):
        with Image.open(file) as picture:
            pixels = np.asarray(picture.resize((96, 96), Image.Resampling.BICUBIC, box=(20, 20, 44, 44)))
        seen = [np.rot90(side, turns) for side in (pixels, pixels[:, ::-1]) for turns in range(4)]
        images = torch.tensor(np.stack(seen).transpose(0, 3, 1, 2).copy()) / 127.5 - 1
        with torch.inference_mode():
            logits = network(images)
        assert logits.std() > 1e-4, "the network tells them apart"
        assert logit == pytest.approx(float(logits.mean()), abs=1e-5)


def test_without_patches_is_an_error(tmp_path):
    _, overlay, weights = write_patches(tmp_path, 2)
    with pytest.raises((InputError, RuntimeError)) as error:
        compute_patch_logits(weights, [tmp_path / "none"], overlays=[str(overlay)])
    assert "none: no pictures in subfolders 0 and 1" in str(error.value.__cause__ or error.value)
