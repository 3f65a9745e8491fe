"""Inference as on a GPU, computed on this machine's processors: copies go ahead, results come late."""

from __future__ import annotations

import pytest
import torch

from scripts.network.transfers import Copy, DeviceFeed


class Ahead(DeviceFeed):
    """Copies tiles as to a GPU, whose memory is this machine's."""

    is_ahead = True

    def __init__(self) -> None:
        super().__init__()
        self.most_together = 3
        self.num_entered = self.num_sent = 0

    def enter(self) -> None:
        """Count the threads."""
        self.num_entered += 1

    def send(self, pixels: torch.Tensor) -> Copy:
        """Count the tiles."""
        self.num_sent += 1
        return Copy(pixels.clone())


class Late(Copy):
    """Results that are done only when they are waited for.

    Args:
        values: the results.
        waited: where the first number of each is noted once it was waited for.
    """

    def __init__(self, values: torch.Tensor, waited: list[float]) -> None:
        super().__init__(values)
        self.waited = waited

    def is_done(self) -> bool:
        """Never by itself."""
        return False

    def take(self) -> torch.Tensor:
        """Wait."""
        self.waited.append(float(self.values.flatten()[0]))
        return self.values


def feed_ahead(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    """Let loaders of tiles feed ahead."""
    feed = Ahead()
    monkeypatch.setattr("scripts.inference.tile_loader.make_feed", lambda device: feed)
    return feed


def come_late(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let results come back late; the list grows with each that was waited for."""
    waited: list[float] = []
    monkeypatch.setattr("scripts.inference.handlers.bring_back", lambda values: Late(values, waited))
    return waited
