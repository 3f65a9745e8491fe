from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from scripts.errors import InputError
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide
from scripts.synthetic import specimen
from scripts.synthetic.specimen import Part, find_metastasis, read_finding, strip_path, summary, write_views

STRIDE, MPP, SHAPE = 64, 0.25, (1910, 250)  # a map of 30 x 4, whose last row and column reach beyond


def made_map() -> npt.NDArray[np.float32]:
    """Rows 2 to 9 are metastasis but for three pixels; a speck lies elsewhere, the last three rows are no tissue."""
    prob_map = np.full((30, 4), 0.125, dtype=np.float32)
    prob_map[2:10] = 0.75
    prob_map[3, :2] = 0.25
    prob_map[9, 3] = 0.0
    prob_map[20, 1] = 0.625
    prob_map[5, 2] = 0.875
    prob_map[27:] = 0.0
    return prob_map


def write_map(folder: Path, prob_map: npt.NDArray[np.float32]) -> Path:
    folder.mkdir()
    path = folder / "strip.npy"
    np.save(path, prob_map)
    sidecar = {"slide": "strip.tif", "shape": list(SHAPE), "stride": STRIDE, "mpp": MPP}
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    return path


def test_the_largest_area_counts_as_found(tmp_path: Path) -> None:
    found = read_finding(write_map(tmp_path / "maps", made_map()))
    assert (found.begin_um, found.end_um) == (2 * 16.0, 10 * 16.0)
    assert found.inside == Part(num_positions=31, num_above=29, highest=0.875)
    assert found.outside == Part(num_positions=19 * 4, num_above=1, highest=0.625)
    assert found.num_detections == 2, "the speck lies more than 186 µm from the strongest"
    assert summary(found) == (
        "A metastasis was found: from 0.03 to 0.16 mm from the upper end of the strip, which is 0.48 mm long.\n"
        "Its highest probability is 0.875. There 29 of 31 positions are above 0.5.\n"
        "Elsewhere 1 of 76 positions is, with at most 0.62. Detections on the whole strip: 2."
    )


def test_an_area_at_the_lower_end_ends_with_the_strip(tmp_path: Path) -> None:
    found = read_finding(write_map(tmp_path / "maps", np.ascontiguousarray(made_map()[::-1])))
    assert found.end_um == (30 - 2) * 16.0
    whole = read_finding(write_map(tmp_path / "whole", np.ones((30, 4), dtype=np.float32)))
    assert (whole.begin_um, whole.end_um) == (0.0, 1910 * MPP)
    assert whole.outside == Part(0, 0, 0.0)


def test_nothing_found_is_said(tmp_path: Path) -> None:
    found = read_finding(write_map(tmp_path / "maps", np.full((30, 4), 0.375, dtype=np.float32)))
    assert (found.begin_um, found.end_um, found.inside) == (0, 0, Part(0, 0, 0.0))
    assert summary(found) == "No metastasis was found: no probability is above 0.5, the highest is 0.38."


def test_views_are_a_picture_and_a_page(tmp_path: Path) -> None:
    slide = tmp_path / "strip.tif"
    write_pyramid(slide, np.full((*SHAPE, 3), (220, 150, 190), dtype=np.uint8), MPP, (1, 4))
    path = write_map(tmp_path / "maps", made_map())
    picture, page = write_views(slide, read_finding(path), tmp_path / "out")
    with Image.open(picture) as opened:
        assert opened.format == "PNG"
        assert opened.width > 2 * opened.height
    text = page.read_text(encoding="utf-8")
    assert "by no pathologist" in text
    assert "strip.tif" in text


def test_inference_has_its_defaults_and_the_shipped_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def run(*arguments: object) -> None:
        calls.append(arguments)
        write_map(tmp_path / "maps", made_map())

    monkeypatch.setattr(specimen, "run_bundle", run)
    found = find_metastasis(tmp_path / "strip.tif", tmp_path / "maps")
    assert found.info.slide == "strip.tif"
    overrides = {"slides": [str(tmp_path / "strip.tif")], "output_dir": str(tmp_path / "maps")}
    assert calls == [("inference", "inference.json", overrides)]


def test_a_map_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"strip"):
        read_finding(tmp_path / "strip.npy")


# --- the strip itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["openslide", pytest.param("cucim", marks=pytest.mark.cucim)])
def test_the_strip_opens_with_each_backend(backend: str) -> None:
    with open_slide(strip_path(), backend) as slide:
        assert slide.backend == backend
        assert slide.shape == (4500, 500), "height x width: it stands upright"
        assert slide.downsamples == (1, 4)
        assert slide.mpp == pytest.approx(0.243, rel=1e-6)
        upper, lower = (slide.read_region((row, 0), (500, 500), 1) for row in (0, 4000))
    # pink tissue at the upper end, fat that is nearly white at the lower one
    assert upper.mean(axis=(0, 1)) == pytest.approx((210, 150, 200), abs=25)
    assert (lower.min(axis=-1) > 200).mean() > 0.3 > (upper.min(axis=-1) > 200).mean()


def test_the_strip_is_small_and_says_where_it_comes_from() -> None:
    assert strip_path().stat().st_size < 1_000_000
    text = " ".join(strip_path().with_name("README.md").read_text(encoding="utf-8").split())
    for words in ("256d591", "MIT", "CC0", "CAMELYON17", "No pathologist", "0.243", "quality 92"):
        assert words in text


def test_the_named_parts_cover_the_strip() -> None:
    with open_slide(strip_path()) as slide:
        length_um = slide.shape[0] * slide.require_mpp()
    ends = [0.0, *(end for _, _, end in specimen.PARTS)]
    assert [begin for _, begin, _ in specimen.PARTS] == ends[:-1]
    assert ends[-1] == pytest.approx(length_um)
