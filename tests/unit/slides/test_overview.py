"""What of an overview is not the slide's; see test_slide.py for its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.ramp import write_ramp
from scripts.errors import InputError
from scripts.slides import overview
from scripts.slides.overview import read_overview
from scripts.slides.slide import open_slide

SHAPE = (1216, 1600)


@pytest.mark.parametrize("stride", [1, 7, 40, 48, 64])
def test_an_overview_does_not_depend_on_its_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int) -> None:
    write_ramp(tmp_path / "a.tif", SHAPE)
    with open_slide(tmp_path / "a.tif") as slide:
        whole = read_overview(slide, stride)
        assert whole.shape == (*(-(-side // stride) for side in SHAPE), 3)
        monkeypatch.setattr(overview, "_BAND_PIXELS", 20_000)
        np.testing.assert_array_equal(read_overview(slide, stride), whole)


def test_an_overview_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ramp(tmp_path / "a.tif", SHAPE)
    monkeypatch.setattr(overview, "MAX_OVERVIEW_PIXELS", 1000)
    with (
        open_slide(tmp_path / "a.tif") as slide,
        pytest.raises(InputError, match=r"a\.tif: its 1216 x 1600 pixels make an overview of 76 x 100 at stride 16"),
    ):
        read_overview(slide, 16)
