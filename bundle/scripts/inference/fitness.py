"""What is to be said of a slide before its map is made: that it has no tissue, or is smaller than a patch."""

from __future__ import annotations

from ..slides.slide import Slide


def tissue_notes(slide: Slide, num_positions: int, patch_side: float, why_empty: str) -> list[str]:
    """What to say of a slide without tissue, whose map would else look like that of normal tissue.

    Args:
        slide: the slide.
        num_positions: map pixels inside the foreground.
        patch_side: side of the patch that the network sees, in level-0 pixels.
        why_empty: why the foreground is empty.

    Returns:
        A sentence, or none if there is tissue.
    """
    if num_positions:
        return []
    height, width = slide.shape
    small = f"; its {height} x {width} px are less than a patch" if min(slide.shape) < round(patch_side) else ""
    return [f"no tissue found, so its map is 0 everywhere: {why_empty}{small}"]
