"""From the pixels of a tile to a grid of logits: one inferer per mode."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError, counted
from ..geometry import PATCH_SIZE
from ..network.exported import OnnxNetwork
from ..network.modes import check_mode, dense_step, resolve_mode
from ..network.preprocessing import Scaling
from ..network.transfers import send
from .agreement import Agreement, is_beyond_limits
from .screening import ScreenSettings
from .tile_inferer import SlidingInferer, TileInferer, Work
from .tile_plan import Tile

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
    way_out = "--mode sliding"

    def __init__(self, num_checks: int = 64, **arguments: Any) -> None:
        super().__init__(**arguments)
        if not isinstance(num_checks, int) or isinstance(num_checks, bool) or num_checks < 0:
            raise InputError(f"num_checks must be an integer of at least 0 positions, but got {num_checks!r}")
        self.num_checks = num_checks
        self.refine_above, self.refine_below = 1.0, 1.0
        self._agreements: dict[str, Agreement] = {}
        self._num_refined: dict[str, int] = {}

    def compute(self, works: Sequence[Work]) -> torch.Tensor:
        """Compute logits; see `TileInferer.compute`."""
        plan, path = works[0].plan, works[0].tile.path
        step = dense_step(plan.stride, plan.downsample)
        if step is None:
            resolve_mode(self.mode, plan.stride, plan.downsample)  # says why
            raise AssertionError("a mode without a step is refused")
        grids = self._dense.together([work.image for work in works])
        places = (send(work.wanted * step, work.image.device).unbind(dim=1) for work in works)
        found = torch.cat([grid[rows, cols] for grid, (rows, cols) in zip(grids, places, strict=True)])

        agreement = self._agreements.setdefault(path, Agreement(self.num_checks))
        firsts = np.cumsum([0, *(len(work.wanted) for work in works[:-1])])
        checked = np.concatenate(
            [agreement.choose(work.tile) + first for work, first in zip(works, firsts, strict=True)]
        )
        refined = self._to_refine(found)
        again = np.union1d(checked, refined)
        sliding = torch.full_like(found, torch.nan)
        sliding[send(again, found.device)] = self._slide(works, again)
        if len(refined):
            replaced = send(refined, found.device)
            found[replaced] = sliding[replaced]
        compared = send(checked, found.device)
        agreement.add(found[compared], sliding[compared])
        self._num_refined[path] = self._num_refined.get(path, 0) + len(refined)
        return found

    def _to_refine(self, found: torch.Tensor) -> npt.NDArray[np.int64]:
        """Which logits to compute a second time; the only look at them here that waits for the device."""
        if self.refine_above >= 1:
            return np.zeros(0, dtype=np.int64)
        probabilities = found.sigmoid()
        wanted = (probabilities > self.refine_above) & (probabilities <= self.refine_below)
        return np.flatnonzero(wanted.cpu().numpy())

    def report(self, path: str) -> dict[str, Any]:
        """Hand out what was noted of a slide, and warn if the modes do not agree; see `TileInferer.report`."""
        agreement = self._agreements.pop(path, None)
        num_refined = self._num_refined.pop(path, 0)
        found = agreement.report() if agreement is not None else None
        if found is not None and is_beyond_limits(found):
            logger.warning(
                "%s: mode %s does not agree with sliding on %s (probabilities differ by up to %.2f, %.0f %% "
                "cross 0.5); give %s",
                Path(path).name,
                self.mode,
                counted(found["num_checks"], "position"),
                found["largest_difference"],
                100 * found["crossings"],
                self.way_out,
            )
        refined = num_refined if self.settings["refine_above"] is not None else None
        return {"mode": self.mode, "agreement": found, "refined_positions": refined}


class RefinedInferer(DenseInferer):
    """As `DenseInferer`, then as `SlidingInferer` wherever the probability found lies between two limits.

    Args:
        refine_above: the lower limit, a probability. Weights that were trained on patches only, such as a fine-tuned
            network's, need a lower one than the shipped (docs/benchmarks.md).
        refine_below: the upper limit, a probability. Above it `SlidingInferer` finds tumor as well, and nearly the same
            probability. 1 is no limit.
        arguments: see `DenseInferer`.

    Raises:
        InputError: if a setting is not as described.
    """

    mode = "refined"

    def __init__(self, refine_above: float = 0.2, refine_below: float = 0.95, **arguments: Any) -> None:
        super().__init__(**arguments)
        for name, limit in (("refine_above", refine_above), ("refine_below", refine_below)):
            if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 <= limit <= 1:
                raise InputError(f"{name} must be a probability from 0 to 1, but got {limit!r}")
        if refine_below < refine_above:
            raise InputError(
                f"refine_below must be at least refine_above, {refine_above}, but is {refine_below}; give a "
                "--refine_below up to 1, or --mode dense to compute nothing again"
            )
        self.refine_above, self.refine_below = float(refine_above), float(refine_below)
        self.settings |= {"refine_above": self.refine_above, "refine_below": self.refine_below}


class AutoInferer(RefinedInferer):
    """As `RefinedInferer` where the stride and the network permit it, else as `SlidingInferer`."""

    mode = "auto"

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._modes: dict[str, str] = {}

    def compute(self, works: Sequence[Work]) -> torch.Tensor:
        """Compute logits; see `TileInferer.compute`."""
        plan = works[0].plan
        mode = resolve_mode("auto", plan.stride, plan.downsample) if self._is_dense else "sliding"
        self._modes[plan.path] = mode
        return self._slide(works) if mode == "sliding" else super().compute(works)

    def report(self, path: str) -> dict[str, Any]:
        """Hand out what was noted of a slide; of one without foreground the mode stays ``auto``."""
        mode = self._modes.pop(path, self.mode)
        report = super().report(path)
        return {**report, "mode": mode, "refined_positions": report["refined_positions"] if mode == "refined" else None}

    def _make_ready(self, network: Any) -> None:
        super()._make_ready(network)
        self._is_dense = self._dense.is_possible(self.device)


class ScreenInferer(DenseInferer):
    """As `DenseInferer` where the stride permits it, else as `SlidingInferer`: the first look of `CascadeInferer`.

    Args:
        is_dense: false computes each patch on its own everywhere.
        arguments: see `DenseInferer`.
    """

    mode = "dense (screen)"
    way_out = "--screen_dense false"

    def __init__(self, is_dense: bool = True, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.is_dense = is_dense
        self._modes: dict[str, str] = {}

    def compute(self, works: Sequence[Work]) -> torch.Tensor:
        """Compute logits; see `TileInferer.compute`."""
        plan = works[0].plan
        mode = "dense" if self.is_dense and dense_step(plan.stride, plan.downsample) is not None else "sliding"
        self._modes[plan.path] = mode
        return self._slide(works) if mode == "sliding" else super().compute(works)

    def report(self, path: str) -> dict[str, Any]:
        """Hand out what was noted of a slide, under the keys of a sidecar."""
        return {"screen_mode": self._modes.pop(path, None), "screen_agreement": super().report(path)["agreement"]}


class CascadeInferer(AutoInferer):
    """The screen over all foreground, then as `AutoInferer` where it passed positions on.

    Args:
        screen: how slides are screened.
        screen_network: what screens them, on the device.
        arguments: see `RefinedInferer`.

    Raises:
        InputError: if a setting is not as described, or the screen's network cannot be computed beside the other.
    """

    mode = "cascade"

    def __init__(self, screen: ScreenSettings, screen_network: Any, **arguments: Any) -> None:
        super().__init__(**arguments)
        if self.settings["runtime"] == "onnxruntime" and not isinstance(screen_network, OnnxNetwork):
            raise InputError(
                "mode cascade: runtime onnxruntime computes ONNX files, but the screen is none; give another --mode, "
                "or an overlay with a screen_network of scripts.network.exported.OnnxNetwork"
            )
        of_screen = {key: value for key, value in arguments.items() if key not in ("refine_above", "refine_below")}
        of_screen |= {"patch_size": screen.patch_size, "network": screen_network}
        self.screen = ScreenInferer(screen.is_dense, **of_screen)
        self.screen_network = screen_network.eval()
        self.settings |= {
            "screen_mpp": screen.mpp,
            "screen_patch_size": screen.patch_size,
            "screen_above": screen.above,
            "screen_margin_um": screen.margin_um,
            "screen_dense": screen.is_dense,
            "screen_precision": self.screen.settings["precision"],
        }

    def __call__(
        self,
        inputs: Any,
        network: Any,
        *args: Any,
        tile: Tile | list[Tile],
        scaling: Scaling | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Compute the positions of tiles, of a screen with the screen's network; see `TileInferer.__call__`."""
        plan = tile.plan if isinstance(tile, Tile) else tile[0].plan
        if plan is not None and plan.look is not None:
            return self.screen(inputs, self.screen_network, tile=tile, scaling=scaling)
        return super().__call__(inputs, network, tile=tile, scaling=scaling)

    def warm_up(self, network: Any, scaling: Scaling | None) -> None:
        """Make the screen's network ready, which computes first; see `TileInferer.warm_up`."""
        self.screen.warm_up(self.screen_network, scaling)

    def report(self, path: str) -> dict[str, Any]:
        """Hand out what was noted of a slide; ``look_mode`` is null if the screen passed nothing on."""
        found = super().report(path)
        look_mode = None if found["mode"] == self.mode else found["mode"]
        return {**found, "mode": self.mode, "look_mode": look_mode, **self.screen.report(path)}


def make_inferer(
    mode: str = "auto",
    refine_above: float = 0.2,
    refine_below: float = 0.95,
    num_checks: int = 64,
    patch_size: int = PATCH_SIZE,
    batch_size: int | str = "auto",
    precision: str = "auto",
    runtime: str = "auto",
    device: str | torch.device = "cpu",
    tta: bool = False,
    screen: ScreenSettings | None = None,
    screen_network: Any = None,
    network: Any = None,
) -> TileInferer:
    """Make the inferer of a mode.

    Args:
        mode: one of `network.modes.MODES`.
        refine_above: see `RefinedInferer`; of no effect in modes dense and sliding.
        refine_below: likewise.
        num_checks: see `DenseInferer`; of no effect in mode sliding.
        patch_size: see `TileInferer`, as all that follow.
        batch_size: patches per forward pass, or ``auto``.
        precision: of the arithmetic.
        runtime: what computes.
        device: where.
        tta: average over flips and turns.
        screen: see `CascadeInferer`; of no effect in other modes.
        screen_network: see `CascadeInferer`.
        network: see `TileInferer`.

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
        "network": network,
    }
    limits: dict[str, Any] = {"refine_above": refine_above, "refine_below": refine_below}
    if check_mode(mode) == "sliding":
        return SlidingInferer(**shared)
    if mode == "dense":
        return DenseInferer(num_checks=num_checks, **shared)
    if mode == "cascade":
        if screen is None:
            raise InputError("mode cascade needs a screen; give --mode cascade to the whole config, not to inferer")
        return CascadeInferer(screen, screen_network, **limits, num_checks=num_checks, **shared)
    kind = RefinedInferer if mode == "refined" else AutoInferer
    return kind(**limits, num_checks=num_checks, **shared)
