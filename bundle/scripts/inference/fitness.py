"""What people must know of a slide before they trust its map: that it has no tissue, was enlarged, or has artifacts."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..slides.enlargement import enlargement_notes
from .tile_plan import SlidePlan

logger = logging.getLogger(__name__)


def with_notes(
    plan: SlidePlan, model_mpp: float, patch_size: int, why_empty: str, of_artifacts: Sequence[str] = ()
) -> SlidePlan:
    """A plan with its notes, each of which is a warning too.

    The map of a slide without tissue would else look like that of normal tissue.

    Args:
        plan: of the slide.
        model_mpp: µm per pixel that the model was trained at.
        patch_size: side of the patch that the network sees.
        why_empty: why the foreground would be empty.
        of_artifacts: what else is to be known, a sentence each.
    """
    notes = [*enlargement_notes(plan.mpp, model_mpp), *of_artifacts]
    if not plan.num_positions:
        height, width = plan.shape
        is_small = min(plan.shape) < round(patch_size * plan.downsample)
        small = f"; its {height} x {width} px are less than a patch" if is_small else ""
        notes.append(f"no tissue found, so its map is 0 everywhere: {why_empty}{small}")
    for note in notes:
        logger.warning("%s: %s", plan.path, note)
    return plan._replace(notes=tuple(notes))
