"""A slow judge of containment, in exact fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Vertices = Sequence[tuple[float, float]]


def slow_inside(rings: Sequence[Vertices], row: float, col: float) -> bool:
    """Even-odd rule over rings of (row, col); upper and left sides in, lower and right ones out."""
    num_right = 0
    for ring in rings:
        for (r0, c0), (r1, c1) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if (r0 <= row) != (r1 <= row):
                num_right += col < c0 + Fraction(c1 - c0) * (Fraction(row) - r0) / Fraction(r1 - r0)
    return num_right % 2 == 1
