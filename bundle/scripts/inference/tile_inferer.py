"""What every mode of inference shares, and the plainest: each patch on its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from monai.inferers import Inferer
from monai.networks import eval_mode

from ..errors import InputError
from ..geometry import PATCH_SIZE
from ..network.activations import kept_tops
from ..network.eightfold import EightfoldRuntime
from ..network.forwards import DenseForward, PatchForward
from ..network.preprocessing import Scaling
from ..network.runtime import choose_precision, make_runtime, resolve_runtime
from ..network.transfers import send
from .tile_plan import SlidePlan, Tile, position_offsets
from .timing import Timing


class Work(NamedTuple):
    """What there is to compute of a tile.

    Attributes:
        image: (3, h, w) pixels.
        tile: the tile.
        plan: its plan.
        wanted: (N, 2) int64, (row, col) in the tile's block of the map, N at least 1.
    """

    image: torch.Tensor
    tile: Tile
    plan: SlidePlan
    wanted: npt.NDArray[np.int64]


class TileInferer(Inferer):
    """What the modes share: the network's arithmetic, and the form of what comes in and out.

    Args:
        patch_size: side of a patch in pixels that the model sees.
        batch_size: patches per forward pass; ``auto``: see `network.forwards.PatchForward`.
        precision: see `network.runtime.choose_precision`.
        runtime: see `network.runtime.resolve_runtime`.
        device: where the network and the pixels are.
        tta: average over the eight flips and turns, see `network.eightfold.EightfoldRuntime`.
        network: what will compute, which decides on the precision.

    Attributes:
        mode: the mode's name.
        settings: the mode asked for and how it computes, as values of JSON.

    Raises:
        InputError: if a setting is not as described.
    """

    mode = ""

    def __init__(
        self,
        patch_size: int = PATCH_SIZE,
        batch_size: int | str = "auto",
        precision: str = "auto",
        runtime: str = "auto",
        device: str | torch.device = "cpu",
        tta: bool = False,
        network: Any = None,
    ) -> None:
        is_whole = isinstance(batch_size, int) and not isinstance(batch_size, bool)
        if batch_size != "auto" and not (is_whole and int(batch_size) >= 1):
            raise InputError(f"batch_size must be a positive integer of patches or auto, but got {batch_size!r}")
        if not isinstance(tta, bool):
            raise InputError(f"tta must be true or false, but got {tta!r}")
        self.patch_size = patch_size
        self.batch_size = None if batch_size == "auto" else int(batch_size)
        self.device = torch.device(device)
        chosen = resolve_runtime(runtime, self.device)
        self.settings: dict[str, Any] = {
            "mode": self.mode,
            "runtime": chosen,
            "precision": choose_precision(precision, chosen, self.device, bool(kept_tops(network))),
            "refine_above": None,
            "refine_below": None,
            "tta": tta,
        }
        self._network: Any = None
        self._scaling: Scaling | None = None
        self._patches: PatchForward
        self._dense: DenseForward

    def __call__(
        self,
        inputs: Any,
        network: Any,
        *args: Any,
        tile: Tile | list[Tile],
        scaling: Scaling | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Compute the positions of a tile, or of several of one plan together.

        Args:
            inputs: (1, 3, h, w) pixels of the tile, uint8 with a scaling, else float32; its first patch starts at
                (0, 0). Of several tiles, a list.
            network: gives (N, 1, 1, 1) logits for (N, 3, patch_size, patch_size) pixels; made ready at the first tile,
                unless `warm_up` did.
            args: unused.
            tile: tells which positions to compute, their stride and downsample. Of several tiles, a list.
            scaling: what makes the network's input of the pixels; None if they are that.
            kwargs: unused.

        Returns:
            (tiles, 1, rows, cols) float32 logits on each tile's block of the map, of the most rows and columns; -inf,
            that is probability 0, where nothing was to be computed.

        Raises:
            InputError: if the network does not suit the mode or the runtime, or memory is too small for a patch.
        """
        images, tiles = ([inputs], [tile]) if isinstance(tile, Tile) else (inputs, tile)
        rows, cols = (max(tile.positions.shape[axis] for tile in tiles) for axis in range(2))
        logits = torch.full((len(tiles), 1, rows, cols), -torch.inf, device=images[0].device)
        works, numbers = [], []
        for number, (image, tile) in enumerate(zip(images, tiles, strict=True)):
            if tile.plan is not None and tile.positions.any():
                works.append(Work(torch.as_tensor(image)[0], tile, tile.plan, np.argwhere(tile.positions)))
                numbers.append(np.full(len(works[-1].wanted), number))
        if not works:
            return logits
        self._get_ready(network, scaling)
        with torch.no_grad():
            found = self.compute(works)
        places = np.column_stack([np.concatenate(numbers), np.concatenate([work.wanted for work in works])])
        of_tile, at_row, at_col = send(places, logits.device).unbind(dim=1)
        logits[of_tile, 0, at_row, at_col] = found
        return logits

    def warm_up(self, network: Any, scaling: Scaling | None) -> None:
        """Make the network of the first tile ready to compute, before that tile is there.

        Args:
            network: see `__call__`.
            scaling: see `__call__`.

        Raises:
            InputError: if the network does not suit the runtime.
        """
        self._get_ready(network, scaling)

    def compute(self, works: Sequence[Work]) -> torch.Tensor:
        """Compute logits of tiles: what each mode does in its way.

        Args:
            works: what there is to compute, at least one, all of one plan.

        Returns:
            (N,) float32 logits of all of them, one after the other.
        """
        raise NotImplementedError

    def report(self, path: str) -> dict[str, Any]:
        """Hand out, and forget, what was noted of a slide.

        Args:
            path: the slide's file, as in its tiles.

        Returns:
            ``mode``: how it was computed; ``agreement``: see `agreement.compare_logits`, or None;
            ``refined_positions``: how many were computed a second time, or None.
        """
        return {"mode": self.mode, "agreement": None, "refined_positions": None}

    def _get_ready(self, network: Any, scaling: Scaling | None) -> None:
        if network is not self._network or scaling != self._scaling:
            self._network, self._scaling = None, scaling
            self._make_ready(network)

    def _make_ready(self, network: Any) -> None:
        settings = self.settings["runtime"], self.device, self.settings["precision"]
        runtime = make_runtime(network, *settings, scaling=self._scaling, patch_size=self.patch_size)
        if self.settings["tta"]:
            runtime = EightfoldRuntime(runtime)
        self._patches = PatchForward(runtime, self.patch_size, self.batch_size)
        self._dense = DenseForward(runtime, self.patch_size)
        self._network = network

    def _slide(self, works: Sequence[Work], chosen: npt.NDArray[np.int64] | None = None) -> torch.Tensor:
        """Logits patch by patch, of all positions of the tiles or, in this order, of those with the numbers given."""
        corners, first = [], 0
        for work in works:
            offsets = position_offsets(int(work.wanted.max()) + 1, work.plan.stride, work.plan.downsample)
            wanted, last = work.wanted, first + len(work.wanted)
            if chosen is not None:
                wanted = wanted[chosen[(first <= chosen) & (chosen < last)] - first]
            corners.append(offsets[wanted])
            first = last
        return self._patches.together([work.image for work in works], corners)


class SlidingInferer(TileInferer):
    """Runs the network on every patch on its own, cut from pixels already decoded."""

    mode = "sliding"

    def compute(self, works: Sequence[Work]) -> torch.Tensor:
        """Compute logits; see `TileInferer.compute`."""
        return self._slide(works)


def warm_up(engine: Any, timing: Timing) -> None:
    """Let an evaluator's inferer make the network ready while another process plans the first slide.

    Where this is not possible, nothing is said: the first tile fails for the same reason, and a run may have none.

    Args:
        engine: a ``SupervisedEvaluator``, which prepares batches with `network.preprocessing.PrepareTile`.
        timing: where the time counts as computing.
    """
    timing.add("decode")
    with suppress(Exception), eval_mode(engine.network):
        engine.inferer.warm_up(engine.network, engine.prepare_batch.find_scaling())
    timing.add("compute")
