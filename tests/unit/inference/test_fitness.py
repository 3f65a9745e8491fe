from __future__ import annotations

import pytest

from scripts.inference.fitness import with_notes
from scripts.inference.tile_plan import SlidePlan


def plan(num_positions: int, mpp: float, shape: tuple[int, int] = (301, 449)) -> SlidePlan:
    downsample = 1.0 if mpp < 0.3 else 0.243 / mpp
    return SlidePlan("folder/a.tif", shape, mpp, 64, downsample, (5, 8), "mask", "openslide", num_positions, 1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (plan(6, 0.25), []),
        (plan(6, 0.5), ["enlarged 2.06 times"]),
        (plan(0, 0.25), ["no tissue found, so its map is 0 everywhere: all pale"]),
        (plan(0, 0.5), ["enlarged 2.06 times", "no tissue found"]),
    ],
)
def test_notes_are_warnings_and_stay_with_the_plan(
    given: SlidePlan, expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    found = with_notes(given, 0.243, 224, "all pale")
    assert found._replace(notes=()) == given
    assert len(found.notes) == len(expected)
    assert all(note.startswith(start) for note, start in zip(found.notes, expected, strict=True))
    assert caplog.messages == [f"folder/a.tif: {note}" for note in found.notes]


@pytest.mark.parametrize(
    ("mpp", "shape", "is_small"),
    [(0.25, (224, 301), False), (0.25, (223, 301), True), (0.25, (301, 100), True), (0.5, (223, 110), False)],
)
def test_a_slide_smaller_than_a_patch_is_called_so(mpp: float, shape: tuple[int, int], is_small: bool) -> None:
    note = with_notes(plan(0, mpp, shape), 0.243, 224, "").notes[-1]
    assert (f"its {shape[0]} x {shape[1]} px are less than a patch" in note) == is_small
