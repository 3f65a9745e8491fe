"""Temperatures folded into weights: the network's logits are divided and moved, whatever reads the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.handlers import CheckpointLoader

from helpers.made_patches import write_patches
from helpers.networks import TinyNetwork
from scripts import bundle_root
from scripts.errors import InputError
from scripts.network.network import load_checkpoint, load_weights
from scripts.network.purpose import make_purpose, read_purpose, write_weights
from scripts.scoring.calibration import fit_temperature, fit_temperature_and_offset
from scripts.scoring.patch_logits import compute_patch_logits
from scripts.scoring.temperature import calibrate, fold_temperature


def test_calibrated_weights_divide_the_logits(tmp_path):
    folder, overlay, weights = write_patches(tmp_path, 40)
    output = tmp_path / "calibrated.pt"
    found = calibrate(output, weights, [folder], overlays=[str(overlay)])
    before = compute_patch_logits(weights, [folder], overlays=[str(overlay)])
    after = compute_patch_logits(output, [folder], overlays=[str(overlay)])
    assert found.temperature == fit_temperature(before.logits, before.is_tumor)
    assert abs(found.temperature - 1) > 0.05
    np.testing.assert_allclose(after.logits * found.temperature, before.logits, rtol=1e-5, atol=1e-5)
    assert fit_temperature(after.logits, after.is_tumor) == pytest.approx(1, abs=1e-3)
    assert found.num_patches == 40
    assert found.loss[1] < found.loss[0]
    assert str(found).startswith(f"temperature {found.temperature:.4f} of 40 patches: log loss ")


def test_an_offset_is_added_to_the_logits_if_asked_for(tmp_path):
    folder, overlay, weights = write_patches(tmp_path, 40)
    output = tmp_path / "calibrated.pt"
    found = calibrate(output, weights, [folder], overlays=[str(overlay)], offset=True)
    before = compute_patch_logits(weights, [folder], overlays=[str(overlay)])
    after = compute_patch_logits(output, [folder], overlays=[str(overlay)])
    assert (found.temperature, found.offset) == fit_temperature_and_offset(before.logits, before.is_tumor)
    assert abs(found.offset) > 0.05
    np.testing.assert_allclose((after.logits - found.offset) * found.temperature, before.logits, rtol=1e-5, atol=1e-5)
    assert found.loss[1] < calibrate(output, weights, [folder], overlays=[str(overlay)]).loss[1]
    assert f", offset {found.offset:+.4f} of 40 patches" in str(found)


def test_calibrated_weights_are_a_plain_state_dict_that_monai_loads(tmp_path):
    _, _, weights = write_patches(tmp_path, 2)
    state = fold_temperature(load_checkpoint(weights), 2.0)
    torch.save(state, tmp_path / "half.pt")
    by_us, by_monai = load_weights(TinyNetwork(), tmp_path / "half.pt"), TinyNetwork()
    trainer = Engine(lambda *_: None)
    CheckpointLoader(str(tmp_path / "half.pt"), {"model": by_monai}, strict=True)(trainer)
    before = load_weights(TinyNetwork(), weights)
    assert state.keys() == before.state_dict().keys()
    pixels = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.inference_mode():
        expected = before.eval()(pixels) / 2
        for network in (by_us.eval(), by_monai.eval()):
            torch.testing.assert_close(network(pixels), expected)


def test_the_shipped_weights_end_in_their_last_layer():
    state = load_checkpoint(f"{bundle_root()}/models/model.pt")
    folded = fold_temperature(state, 4.0)
    changed = [name for name in state if folded[name] is not state[name]]
    assert changed == ["fc.weight", "fc.bias"]
    assert folded["fc.weight"].dtype == torch.float32
    torch.testing.assert_close(folded["fc.weight"] * 4, state["fc.weight"].float())


@pytest.mark.parametrize(
    "state", [{}, {"a.bias": torch.zeros(1)}, {"a.weight": torch.zeros(2, 3), "a.bias": torch.zeros(3)}]
)
def test_other_weights_are_refused(state):
    with pytest.raises(InputError, match="expected the last layer's weight and bias"):
        fold_temperature(state, 2.0)


def test_the_shipped_weights_are_never_replaced():
    with pytest.raises(InputError, match="lies among the shipped weights"):
        calibrate(f"{bundle_root()}/models/other.pt")


def test_the_folder_of_calibrated_weights_is_made(tmp_path):
    folder, overlay, weights = write_patches(tmp_path, 40)
    calibrate(tmp_path / "new" / "folder" / "calibrated.pt", weights, [folder], overlays=[str(overlay)])
    load_weights(TinyNetwork(), tmp_path / "new" / "folder" / "calibrated.pt")


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed():
    with pytest.raises(InputError, match="/proc/none: cannot be written"):
        calibrate("/proc/none/calibrated.pt", "there is no such file")


def test_calibrated_weights_say_what_they_are_for(tmp_path):
    folder, overlay, weights = write_patches(tmp_path, 40)
    calibrate(tmp_path / "unknown.pt", weights, [folder], overlays=[str(overlay)])
    assert read_purpose(tmp_path / "unknown.pt") is None
    write_weights(weights, torch.load(weights), make_purpose(0.243, 96, {"folders": ["pcam"]}))
    calibrate(tmp_path / "known.pt", weights, [folder], overlays=[str(overlay)])
    assert read_purpose(tmp_path / "known.pt") == make_purpose(0.243, 96, {"folders": ["pcam"]})
