"""Logits of labelled patches: in the order of their files, by the network and the weights that are given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.made_patches import write_patches
from helpers.networks import TinyNetwork
from scripts import bundle_root
from scripts.errors import InputError
from scripts.network.network import load_weights
from scripts.network.purpose import make_purpose, write_weights
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


def test_weights_for_other_patches_are_refused(tmp_path):
    folder, overlay, weights = write_patches(tmp_path, 2)
    state = torch.load(weights)
    write_weights(weights, state, make_purpose(0.243, 96))
    found = compute_patch_logits(weights, [folder], overlays=[str(overlay)])
    assert found.purpose == found.settings == make_purpose(0.243, [96, 96])
    write_weights(weights, state, make_purpose(0.972, 96))
    with pytest.raises(InputError, match=r"tiny\.pt: trained at 0\.972 µm .* add --config_file train_10x\.json"):
        compute_patch_logits(weights, [folder], overlays=[str(overlay)])


@pytest.mark.parametrize(
    ("overlays", "way_out"),
    [([], "add --config_file train_10x.json"), (["train_10x.json"], "leave --config_file train_10x.json out")],
)
def test_shipped_weights_are_refused_for_the_other_settings(tmp_path, overlays, way_out):
    folder, _, _ = write_patches(tmp_path, 2)
    weights = f"{bundle_root()}/models/{'model.pt' if overlays else 'model_10x.pt'}"
    with pytest.raises(InputError) as error:
        compute_patch_logits(weights, [folder], overlays=overlays)
    assert str(error.value).endswith(way_out)


@pytest.mark.parametrize(("overlays", "name"), [([], "model.pt"), (["train_10x.json"], "model_10x.pt")])
def test_the_shipped_weights_that_fit_are_the_default(tmp_path, overlays, name):
    write_patches(tmp_path, 2)
    for path in (tmp_path / "patches").glob("?/*"):
        with Image.open(path) as picture:
            picture.resize((96, 96)).save(path)
    assert compute_patch_logits(None, [tmp_path / "patches"], overlays=overlays).weights.name == name


def test_without_shipped_weights_that_fit_some_must_be_given(tmp_path):
    folder, overlay, _ = write_patches(tmp_path, 2)
    with pytest.raises(InputError, match=r"weights: none of the shipped ones is for 0\.243 µm per pixel"):
        compute_patch_logits(None, [folder], overlays=[str(overlay)])
