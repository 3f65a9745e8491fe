"""From the pixels of a tile to a grid of logits: one inferer per mode."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError
from ..geometry import PATCH_SIZE
from ..network.forwards import send
from ..network.modes import check_mode, dense_step, resolve_mode
from .agreement import Agreement, is_beyond_limits
from .tile_inferer import SlidingInferer, TileInferer
from .tile_plan import SlidePlan, Tile

logger = logging.getLogger(__name__)


class DenseInferer(TileInferer):
    """Runs the network once over the tile, and on a few patches on their own, to see whether both agree.

    A patch on its own ends in zeros, one inside a tile in what is around it: logits differ.

    Args:
        num_checks: positions per slide to check, at most; 0 checks none.
        arguments: see `TileInferer`.

    Raises:
        InputError: if a setting is not as described.
    """

    mode = "dense"

    def __init__(self, num_checks: int = 64, **arguments: Any) -> None:
        super().__init__(**arguments)
        if not isinstance(num_checks, int) or isinstance(num_checks, bool) or num_checks < 0:
            raise InputError(f"num_checks must be an integer of at least 0 positions, but got {num_checks!r}")
        self.num_checks = num_checks
        self.refine_above = 1.0
        self._agreements: dict[str, Agreement] = {}
        self._num_refined: dict[str, int] = {}

    def compute(self, image: torch.Tensor, tile: Tile, plan: SlidePlan, wanted: npt.NDArray[np.int64]) -> torch.Tensor:
        """Compute logits; see `TileInferer.compute`."""
        step = dense_step(plan.stride, plan.downsample)
        if step is None:
            resolve_mode(self.mode, plan.stride, plan.downsample)  # says why
            raise AssertionError("a mode without a step is refused")
        rows, cols = send(wanted * step, image.device).unbind(dim=1)
        found = self._dense(image)[rows, cols]

        agreement = self._agreements.setdefault(tile.path, Agreement(self.num_checks))
        checked, refined = agreement.choose(tile), self._to_refine(found)
        again = np.union1d(checked, refined)
        sliding = torch.full_like(found, torch.nan)
        sliding[send(again, found.device)] = self._slide(image, plan, wanted[again])
        if len(refined):
            replaced = send(refined, found.device)
            found[replaced] = sliding[replaced]
        compared = send(checked, found.device)
        agreement.add(found[compared], sliding[compared])
        self._num_refined[tile.path] = self._num_refined.get(tile.path, 0) + len(refined)
        return found

    def _to_refine(self, found: torch.Tensor) -> npt.NDArray[np.int64]:
        """Which logits to compute a second time; the only look at them here that waits for the device."""
        if self.refine_above >= 1:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero((found.sigmoid() > self.refine_above).cpu().numpy())

    def report(self, path: str) -> dict[str, Any]:
        """Hand out what was noted of a slide, and warn if the modes do not agree; see `TileInferer.report`."""
        agreement = self._agreements.pop(path, None)
        num_refined = self._num_refined.pop(path, 0)
        found = agreement.report() if agreement is not None else None
        if found is not None and is_beyond_limits(found):
            logger.warning(
                "%s: mode %s does not agree with sliding on %d positions (probabilities differ by up to %.2f, %.0f %% "
                "cross 0.5); give --mode sliding",
                Path(path).name,
                self.mode,
                found["num_checks"],
                found["largest_difference"],
                100 * found["crossings"],
            )
        refined = num_refined if self.settings["refine_above"] is not None else None
        return {"mode": self.mode, "agreement": found, "refined_positions": refined}


class RefinedInferer(DenseInferer):
    """As `DenseInferer`, then as `SlidingInferer` wherever the probability found exceeds a limit.

    Args:
        refine_above: the limit, a probability. Weights that were trained on patches only, such as a fine-tuned
            network's, need a lower one than the shipped (docs/benchmarks.md).
        arguments: see `DenseInferer`.

    Raises:
        InputError: if a setting is not as described.
    """

    mode = "refined"

    def __init__(self, refine_above: float = 0.2, **arguments: Any) -> None:
        super().__init__(**arguments)
        if isinstance(refine_above, bool) or not isinstance(refine_above, (int, float)) or not 0 <= refine_above <= 1:
            raise InputError(f"refine_above must be a probability from 0 to 1, but got {refine_above!r}")
        self.refine_above = float(refine_above)
        self.settings["refine_above"] = self.refine_above


class AutoInferer(RefinedInferer):
    """As `RefinedInferer` where the stride and the network permit it, else as `SlidingInferer`."""

    mode = "auto"

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._modes: dict[str, str] = {}

    def compute(self, image: torch.Tensor, tile: Tile, plan: SlidePlan, wanted: npt.NDArray[np.int64]) -> torch.Tensor:
        """Compute logits; see `TileInferer.compute`."""
        mode = resolve_mode("auto", plan.stride, plan.downsample) if self._is_dense else "sliding"
        self._modes[tile.path] = mode
        if mode == "sliding":
            return self._slide(image, plan, wanted)
        return super().compute(image, tile, plan, wanted)

    def report(self, path: str) -> dict[str, Any]:
        """Hand out what was noted of a slide; of one without foreground the mode stays ``auto``."""
        mode = self._modes.pop(path, self.mode)
        report = super().report(path)
        return {**report, "mode": mode, "refined_positions": report["refined_positions"] if mode == "refined" else None}

    def _make_ready(self, network: Any) -> None:
        super()._make_ready(network)
        self._is_dense = self._dense.is_possible(self.device)


def make_inferer(
    mode: str = "auto",
    refine_above: float = 0.2,
    num_checks: int = 64,
    patch_size: int = PATCH_SIZE,
    batch_size: int = 64,
    precision: str = "auto",
    runtime: str = "auto",
    device: str | torch.device = "cpu",
    tta: bool = False,
) -> TileInferer:
    """Make the inferer of a mode.

    Args:
        mode: one of `network.modes.MODES`.
        refine_above: see `RefinedInferer`; of no effect in modes dense and sliding.
        num_checks: see `DenseInferer`; of no effect in mode sliding.
        patch_size: see `TileInferer`, as all that follow.
        batch_size: patches per forward pass.
        precision: of the arithmetic.
        runtime: what computes.
        device: where.
        tta: average over flips and turns.

    Raises:
        InputError: if a setting is not as described.
    """
    shared: dict[str, Any] = {
        "patch_size": patch_size,
        "batch_size": batch_size,
        "precision": precision,
        "runtime": runtime,
        "device": device,
        "tta": tta,
    }
    if check_mode(mode) == "sliding":
        return SlidingInferer(**shared)
    if mode == "dense":
        return DenseInferer(num_checks=num_checks, **shared)
    kind = RefinedInferer if mode == "refined" else AutoInferer
    return kind(refine_above=refine_above, num_checks=num_checks, **shared)
