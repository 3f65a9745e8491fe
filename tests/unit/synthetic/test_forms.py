from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import pytest

from scripts.synthetic.forms import FORMS, write_slide

VENDORS = {"philips": "philips", "aperio": "aperio", "generic": "generic-tiff"}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_states_its_vendor_and_the_resolution(tmp_path: Path, form: str) -> None:
    image = np.full((601, 903, 3), 243, dtype=np.uint8)
    image[:400, :500] = (190, 120, 170)
    path = tmp_path / ("a.svs" if form == "aperio" else "a.tif")
    write_slide(path, image, 0.3, form)
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == VENDORS[form]
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.3)
        assert slide.dimensions == ((1024, 1024) if form == "philips" else (903, 601))
        alpha = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., 3]
    assert (alpha[:512, :512] == 255).all()
    assert (alpha[512:].max(), alpha[:, 512:].max()) == ((0, 0) if form == "philips" else (255, 255))


def test_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="form must be one of philips, aperio, generic, but got 'svs'"):
        write_slide(tmp_path / "a.tif", np.zeros((300, 300, 3), dtype=np.uint8), 0.25, "svs")
