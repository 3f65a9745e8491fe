"""Whether a map computed tile by tile agrees with the one computed patch by patch, on a sample of positions."""

from __future__ import annotations

import math
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import torch

from ..network.transfers import Copy, bring_back
from .tile_plan import Tile

MAX_CROSSINGS = 0.05
"""Share of checked positions that may lie on another side of probability 0.5. docs/benchmarks.md says what the shipped
weights reach on a mosaic of real patches, in modes dense and refined."""

MAX_DIFFERENCE = 0.5
"""Largest difference of probability among the checked positions."""


class Agreement:
    """Collects, over the tiles of one slide, logits of a map and those of `sliding` at the same positions.

    Args:
        num_checks: positions to check on the slide, at most.
    """

    def __init__(self, num_checks: int) -> None:
        self.num_checks = num_checks
        self._num_seen = 0
        self._logits: list[Copy] = []

    def choose(self, tile: Tile) -> npt.NDArray[np.int64]:
        """Choose positions of the next tile, as many as its share of the slide's foreground asks for.

        Args:
            tile: with its plan.

        Returns:
            (K,) int64, ascending, into ``np.argwhere(tile.positions)``; always the same for the same tiles in order.
        """
        if tile.plan is None:
            return np.zeros(0, dtype=np.int64)
        count = int(tile.positions.sum())
        total = max(tile.plan.num_positions, self._num_seen + count)
        wanted = min(self.num_checks, total)
        due = wanted * (self._num_seen + count) // total - wanted * self._num_seen // total
        self._num_seen += count
        rng = np.random.default_rng([crc32(tile.path.encode()), *tile.map_location])
        return np.sort(rng.choice(count, size=min(due, count), replace=False)).astype(np.int64)

    def add(self, of_map: torch.Tensor, sliding: torch.Tensor) -> None:
        """Take in logits of the chosen positions; nothing waits here for the device that computes them.

        Args:
            of_map: (K,) floating, what the map holds.
            sliding: (K,) floating, what `sliding` gives.
        """
        if len(of_map):
            self._logits.append(bring_back(torch.stack([of_map, sliding])))

    def report(self) -> dict[str, Any] | None:
        """What `compare_logits` finds, or None if nothing was checked."""
        if not self._logits:
            return None
        of_map, sliding = torch.cat([copy.take() for copy in self._logits], dim=1).double().numpy()
        return compare_logits(of_map, sliding)


def compare_logits(of_map: npt.NDArray[np.float64], sliding: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Compare logits at the same positions.

    Args:
        of_map: (K,) float64, K at least 1.
        sliding: (K,) float64.

    Returns:
        ``num_checks``: K; ``logit_correlation``: Pearson's, or None where one of both does not vary;
        ``largest_difference`` of probability; ``crossings``: share on different sides of probability 0.5.
    """
    varies = len(of_map) > 1 and np.ptp(of_map) > 0 and np.ptp(sliding) > 0
    correlation = float(np.corrcoef(of_map, sliding)[0, 1]) if varies else math.nan
    difference = np.abs(_sigmoid(of_map) - _sigmoid(sliding))
    return {
        "num_checks": len(of_map),
        "logit_correlation": round(correlation, 6) if math.isfinite(correlation) else None,
        "largest_difference": round(float(difference.max()), 6),
        "crossings": round(float(((of_map > 0) != (sliding > 0)).mean()), 6),
    }


def is_beyond_limits(report: dict[str, Any]) -> bool:
    """Whether a report of `compare_logits` says that the map should be computed patch by patch."""
    return bool(report["crossings"] > MAX_CROSSINGS or report["largest_difference"] > MAX_DIFFERENCE)


def _sigmoid(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    probabilities: npt.NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * logits))
    return probabilities
