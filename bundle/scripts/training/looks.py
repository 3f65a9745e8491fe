"""What the patches of a training look like, for the sidecar of its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ignite.engine import Engine, Events

from ..quality.appearance import measure_ranges
from .checkpoints import TrainingCheckpoints
from .patch_images import PatchImageDataset

_SIDE = 256
"""Of a larger training patch the middle is measured."""

_COUNT = 300
"""Patches of a training that are measured, which takes a second or two."""

_NUM_INPUTS = 32
"""Of them, as the network sees them, its highest activations are measured when its weights are saved."""


class TrainingLooks:
    """Ignite handler that measures the first patches of a training, before they are augmented.

    What it finds becomes part of what the checkpoints say of the weights. Too few patches leave that as it is. The
    checkpoints also get the first patches after augmentation, as the network saw them.

    Args:
        checkpoints: where the purpose of the weights is.
        rank: which of the processes that train together this is; the first measures its own patches.
    """

    def __init__(self, checkpoints: TrainingCheckpoints, rank: int = 0) -> None:
        self.checkpoints = checkpoints
        self.rank = rank
        self._kinds: dict[bool, list[npt.NDArray[np.uint8]]] = {False: [], True: []}
        self._is_done = False

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        if self.rank == 0:
            self._listening = self.checkpoints.parts["network"].register_forward_pre_hook(self._keep_input)
            engine.add_event_handler(Events.ITERATION_STARTED, self)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.finish)

    def __call__(self, engine: Engine) -> None:
        """Keep patches of the batch, until there are enough."""
        if self._is_done:
            return
        batch = engine.state.batch
        images = torch.as_tensor(batch["image"])
        flags = batch.get("is_enlarged", torch.zeros(len(images), dtype=torch.bool))
        for image, is_enlarged in zip(images, flags, strict=True):
            if sum(map(len, self._kinds.values())) < _COUNT:
                self._kinds[bool(is_enlarged)].append(patch_pixels(image))
            else:
                self.finish(engine)
                return

    def finish(self, engine: Engine) -> None:
        """Measure the patches, also at the end of an epoch of fewer."""
        if self._is_done:
            return
        self._is_done = True
        self._listening.remove()
        ranges = measure_ranges(self._kinds[False], self._kinds[True])
        self._kinds = {False: [], True: []}
        if ranges:
            self.checkpoints.purpose = self.checkpoints.purpose._replace(appearance=ranges)

    def _keep_input(self, _: Any, inputs: tuple[Any, ...]) -> None:
        kept = self.checkpoints.inputs
        missing = _NUM_INPUTS - sum(map(len, kept))
        if missing > 0:
            kept.append(torch.as_tensor(inputs[0])[:missing].detach().cpu().float())


def patch_pixels(image: torch.Tensor) -> npt.NDArray[np.uint8]:
    """The middle of a training patch, (3, h, w) of 0 to 255, as (rows, cols, 3) uint8."""
    top, left = (max(0, (length - _SIDE) // 2) for length in image.shape[1:])
    middle = image[:, top : top + _SIDE, left : left + _SIDE]
    return middle.permute(1, 2, 0).float().round().clamp(0, 255).to(device="cpu", dtype=torch.uint8).numpy()


def measure_pictures(dataset: PatchImageDataset, count: int, seed: int = 0) -> dict[str, list[float]]:
    """Measure a random choice of patch pictures.

    Args:
        dataset: the pictures.
        count: how many are measured, at most, of those at the model's resolution, and of those that are enlarged.
        seed: of the choice.

    Returns:
        See `quality.appearance.measure_ranges`.

    Raises:
        InputError: if a picture cannot be read.
    """
    kinds: dict[bool, list[npt.NDArray[np.uint8]]] = {False: [], True: []}
    for index in np.random.default_rng(seed).permutation(len(dataset)):
        sample = dataset[int(index)]
        kind = kinds[bool(sample["is_enlarged"])]
        if len(kind) < count:
            kind.append(patch_pixels(sample["image"]))
        elif dataset.coarse_factor == 1:  # there is no other kind
            break
    return measure_ranges(kinds[False], kinds[True])
