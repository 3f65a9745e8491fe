"""Dense training: the network runs over pictures larger than a patch, as in dense inference, and on patches alone.

A patch on its own ends in zeros where a picture goes on, so that a network that has only seen patches gives other
logits in mode ``dense`` than in mode ``sliding``. Here it sees both, and their difference is part of the loss. Or it
follows a teacher, a network that sees the patches on their own: then it need not learn anew what tumor is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from monai.transforms import MapTransform
from torch.nn.functional import binary_cross_entropy_with_logits, pad, smooth_l1_loss

from ..errors import InputError
from ..network.modes import NETWORK_STRIDE
from ..network.network import AutocastInferer
from .augmentation import PrepareAugmented
from .jitter import SharpnessJitter
from .teaching import mean_of_given


class PrepareDense(PrepareAugmented):
    """As `augmentation.PrepareAugmented`, for pictures with a grid of labels; draws the patches to be run on their own.

    Labels of a smaller grid than the network's stand in its middle, and around them nothing is known.

    Args:
        label_size: (height, width) in pixels of the patch that a label stands for.
        num_alone: patches per picture that the network also sees on their own. Half of them, rounded up, have a label;
            the others may be any, since what a patch gives inside the picture and alone shall agree everywhere.
        teachers: weights of teachers; where one is not None, all of them may be any.
        arguments: see `augmentation.PrepareAugmented`; its ``patch_size`` is the picture's here.

    Raises:
        InputError: if ``num_alone`` is not a positive integer, or the pictures are no whole number of steps larger
            than patches.
    """

    def __init__(
        self,
        label_size: Sequence[int],
        num_alone: int = 1,
        teachers: Sequence[Any] = (),
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        if not isinstance(num_alone, int) or isinstance(num_alone, bool) or num_alone < 1:
            raise InputError(f"num_alone must be a positive integer of patches, but got {num_alone!r}")
        beyond = [side - patch for side, patch in zip(self.patch_size, label_size, strict=True)]
        if any(length < 0 or length % NETWORK_STRIDE for length in beyond):
            raise InputError(
                f"field_size must be patch_size, {list(label_size)}, and multiples of {NETWORK_STRIDE} pixels more, "
                f"but is {list(self.patch_size)}"
            )
        self.num_alone = num_alone
        taught = any(weights is not None for weights in teachers)
        self.num_labelled = 0 if taught else (num_alone + 1) // 2
        self.grid_shape = tuple(length // NETWORK_STRIDE + 1 for length in beyond)

    def __call__(  # type: ignore[override]
        self, batchdata: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[()], dict[str, torch.Tensor]]:
        """Return the pictures, (N, 1, rows, cols) float32 labels, NaN for unknown, and ``alone`` for the inferer."""
        pixels, label = super().__call__(batchdata, device, non_blocking, **kwargs)
        label = center_grid(label, (self.grid_shape[0], self.grid_shape[1]))
        known = (~label.isnan()).flatten(1).float().cpu()
        counts = ((known, self.num_labelled), (torch.ones_like(known), self.num_alone - self.num_labelled))
        drawn = [torch.multinomial(weights, count, replacement=True) for weights, count in counts if count]
        return pixels, label, (), {"alone": torch.cat(drawn, dim=1).to(label.device)}


def center_grid(label: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Put a grid of labels into the middle of a larger one.

    Args:
        label: (N, 1, r, c) float32.
        shape: (rows, cols).

    Returns:
        (N, 1, rows, cols) float32, NaN around the labels.

    Raises:
        InputError: if it has no middle for them.
    """
    margins = [wanted - side for wanted, side in zip(shape, label.shape[2:], strict=True)]
    if any(margin < 0 or margin % 2 for margin in margins):
        raise InputError(
            f"label: a grid of {tuple(label.shape[2:])} has no place in the middle of the network's, {shape}; "
            f"field_size and patch_size must differ by an even multiple of {NETWORK_STRIDE} pixels"
        )
    top, left = (margin // 2 for margin in margins)
    return pad(label, (left, left, top, top), value=torch.nan)


class DenseTrainingInferer(Inferer):
    """Runs the network over whole pictures, and over a few of their patches on their own.

    Batch normalization takes its running statistics and leaves them: those of a batch of pictures and of a batch of
    patches would differ for the reason that shall go. So the network must have been trained before.

    Args:
        patch_size: (height, width) of a patch in pixels.
        precision: see `network.network.resolve_precision`.
        teachers: see `teaching.mean_of_given`.
        teacher_turns: see `teaching.MeanOfNetworks`.
        jitter: see `teaching.TaughtInferer`.

    Raises:
        InputError: see `teaching.MeanOfNetworks`.
    """

    def __init__(
        self,
        patch_size: Sequence[int],
        precision: str = "auto",
        teachers: Sequence[torch.nn.Module | None] = (),
        teacher_turns: int = 0,
        jitter: SharpnessJitter | None = None,
    ) -> None:
        self.patch_size = (int(patch_size[0]), int(patch_size[1]))
        self.teacher = mean_of_given(teachers, teacher_turns)
        self.jitter = jitter
        self.forward = AutocastInferer(precision)

    def __call__(
        self, inputs: torch.Tensor, network: Any, *args: Any, alone: torch.Tensor, **kwargs: Any
    ) -> torch.Tensor:
        """Run the network.

        Args:
            inputs: (N, 3, h, w) float32 pictures.
            network: gives a logit every 32 pixels.
            args: passed on.
            alone: (N, K) int64 indices into the flat grid of logits: patches to run on their own.
            kwargs: passed on.

        Returns:
            (N, 2, rows, cols) float32 logits: of the positions inside their picture, and on their own, NaN where not
            asked for. With a teacher a third channel: its logits of the patches on their own.
        """
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        changed = inputs if self.jitter is None else self.jitter(inputs)
        inside = self.forward(changed, network, *args, **kwargs)
        patches = self._cut(changed, alone, inside.shape[3])
        found = [inside, _on_grid(self.forward(patches, network, *args, **kwargs), alone, inside)]
        if self.teacher is not None:
            patches = patches if changed is inputs else self._cut(inputs, alone, inside.shape[3])
            with torch.no_grad():
                found.append(_on_grid(self.forward(patches, self.teacher), alone, inside))
        return torch.cat(found, dim=1)

    def _cut(self, pictures: torch.Tensor, indices: torch.Tensor, num_cols: int) -> torch.Tensor:
        """The patches at (N, K) places of a grid with so many columns, (N * K, 3, h, w)."""
        height, width = self.patch_size
        patches = [
            picture[:, row : row + height, col : col + width]
            for picture, places in zip(pictures, indices.tolist(), strict=True)
            for row, col in ((i // num_cols * NETWORK_STRIDE, i % num_cols * NETWORK_STRIDE) for i in places)
        ]
        return torch.stack(patches)


def _on_grid(logits: torch.Tensor, indices: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Put the logits of single patches where they belong on a grid as large as another, NaN elsewhere."""
    empty = torch.full_like(grid, torch.nan).flatten(1)
    return empty.scatter(1, indices, logits.reshape(indices.shape)).reshape(grid.shape)


class DenseLoss(torch.nn.Module):
    """Binary cross entropy inside pictures and on patches alone, and the squared difference of their logits.

    With a teacher labels count nowhere: the loss is how far the logits of the patches that it saw, inside pictures and
    alone, are from its own (smooth L1, which outliers do not rule).

    Args:
        agreement: weight of the difference.
        pos_weight: see `handlers.class_weight`.

    Raises:
        InputError: if ``agreement`` is negative.
    """

    def __init__(self, agreement: float = 0.2, pos_weight: torch.Tensor | None = None) -> None:
        super().__init__()
        if not agreement >= 0:
            raise InputError(f"agreement must be at least 0, but got {agreement!r}")
        self.agreement = agreement
        self.pos_weight = pos_weight

    def forward(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compute the loss.

        Args:
            pred: (N, 2 or 3, rows, cols) of `DenseTrainingInferer`.
            label: (N, 1, rows, cols) of `PrepareDense`.

        Returns:
            () float32.
        """
        loss = pred.new_zeros(())
        inside, alone, teacher = pred[:, :1], pred[:, 1:2], pred[:, 2:]
        if teacher.shape[1]:
            seen = ~teacher.isnan()
            return sum((smooth_l1_loss(logits[seen], teacher[seen]) for logits in (inside, alone)), loss)
        for logits in (inside, alone):
            known = ~(label.isnan() | logits.isnan())
            loss = loss + binary_cross_entropy_with_logits(logits[known], label[known], pos_weight=self.pos_weight)
        both = ~alone.isnan()
        difference: torch.Tensor = (inside[both] - alone[both]).square().mean()
        return loss / 2 + self.agreement * difference


class TakeLabelledd(MapTransform):
    """From grids to (K, 1) predictions inside pictures and their labels, where these are known, for the metrics.

    Args:
        pred: key of (N, 2 or 3, rows, cols) predictions.
        label: key of (N, 1, rows, cols) labels.
    """

    def __init__(self, pred: str = "pred", label: str = "label") -> None:
        super().__init__([pred, label])
        self.pred, self.label = pred, label

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Take them."""
        label = data[self.label]
        known = ~label.isnan()
        return {**data, self.pred: data[self.pred][:, :1][known][:, None], self.label: label[known][:, None]}
