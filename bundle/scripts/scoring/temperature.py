"""The ``calibrate`` step: a temperature, and if asked for an offset, fitted on labelled patches.

Both are folded into the network's last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import bundle_root
from ..errors import InputError, counted
from ..files import make_output_dir
from ..network.network import load_checkpoint
from ..network.purpose import check_sidecar, write_weights
from .calibration import calibration_error, fit_temperature, fit_temperature_and_offset, log_loss
from .patch_logits import compute_patch_logits


class Calibrated(NamedTuple):
    """What was fitted.

    Attributes:
        temperature: by which logits were divided.
        offset: what was then added to them, in logits; 0 if none was fitted.
        num_patches: that it was fitted on.
        loss: log loss on them, before and after.
        error: expected calibration error on them, before and after.
    """

    temperature: float
    offset: float
    num_patches: int
    loss: tuple[float, float]
    error: tuple[float, float]

    def __str__(self) -> str:
        """One line for people."""
        offset = f", offset {self.offset:+.4f}" if self.offset else ""
        return (
            f"temperature {self.temperature:.4f}{offset} of {counted(self.num_patches, 'patch', 'patches')}: log loss "
            f"{self.loss[0]:.4f} to "
            f"{self.loss[1]:.4f}, expected calibration error {self.error[0]:.4f} to {self.error[1]:.4f} on these"
        )


def calibrate(
    output: str | Path,
    weights: str | Path | None = None,
    folders: Sequence[str | Path] = (),
    tables: Sequence[str | Path] = (),
    overlays: Sequence[str] = (),
    offset: bool = False,
) -> Calibrated:
    """Fit a temperature on validation patches and write weights that have it, and for what they are.

    Args:
        output: file of the weights to write, a plain state dict as before.
        weights: of the network; the bundle's own for these settings if None.
        folders: validation patches, see `training.patch_images.patch_datalist`.
        tables: see `training.patch_images.patch_datalist`.
        overlays: see `patch_logits.compute_patch_logits`.
        offset: also fit an offset, which moves 0.5; it holds for the share of tumor among these patches.

    Returns:
        The temperature, the offset, and what it did.

    Raises:
        InputError: if anything needed is missing, or the patches define no temperature, or ``output`` lies in the
            bundle's own ``models`` folder, or its folder cannot be made or written.
    """
    from scipy.special import expit

    path = Path(output)
    if path.resolve().parent == (Path(bundle_root()) / "models").resolve():
        raise InputError(f"output {path} lies among the shipped weights; choose another folder")
    check_sidecar(path)
    make_output_dir(path.parent)
    patches = compute_patch_logits(weights, folders, tables, overlays)
    temperature, added = (
        fit_temperature_and_offset(patches.logits, patches.is_tumor)
        if offset
        else (fit_temperature(patches.logits, patches.is_tumor), 0.0)
    )
    write_weights(path, fold_temperature(load_checkpoint(patches.weights), temperature, added), patches.purpose)
    before, after = patches.logits, patches.logits / temperature + added
    losses = tuple(log_loss(logits, patches.is_tumor) for logits in (before, after))
    errors = tuple(float(calibration_error(expit(logits), patches.is_tumor)[0]) for logits in (before, after))
    return Calibrated(temperature, added, len(before), (losses[0], losses[1]), (errors[0], errors[1]))


def fold_temperature(state: dict[str, Any], temperature: float, offset: float = 0.0) -> dict[str, Any]:
    """Divide the last layer's weight and bias, and with them the logits, by a temperature, and add an offset.

    The last layer is linear, so this is the same as changing what comes out of it, in training, inference and every
    export. Its two tensors become float32, since rounding them to float16 would change the temperature.

    Args:
        state: a state dict whose last weight and bias are those of the last layer, a convolution or a linear one.
        temperature: positive.
        offset: added to the logits after that.

    Returns:
        A new state dict; the other tensors are the same objects.

    Raises:
        InputError: if the state dict does not end so.
    """
    names = list(state)[-2:]
    layer = names[0].removesuffix(".weight") if names else ""
    if names != [f"{layer}.weight", f"{layer}.bias"] or state[names[0]].shape[:1] != state[names[1]].shape:
        raise InputError(
            f"weights: expected the last layer's weight and bias at the end of the state dict, found {names}; "
            "give the weights of a network that ends in a convolution"
        )
    weight, bias = names
    return {
        **state,
        weight: state[weight].float() / temperature,
        bias: state[bias].float() / temperature + offset,
    }
