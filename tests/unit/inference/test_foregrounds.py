"""Foregrounds for inference, computed and read, with the artifacts that are known of them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.drawn_artifacts import INKS, add_ink, disk, draw_slide, stroke
from scripts.errors import InputError
from scripts.inference.foregrounds import compute_foreground, read_foreground
from scripts.inference.freshness import reading_settings
from scripts.inference.tiles import TileDataset
from scripts.masks.foreground import ForegroundSettings
from scripts.masks.foreground_folder import write_foregrounds
from scripts.quality.classes import Artifact
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide

SHAPE = (331, 463)
STRIDE = 8
PEN = stroke(SHAPE, (60, 120), (280, 300), 24)


@pytest.fixture(scope="module")
def slide_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "a.tif"
    small = add_ink(draw_slide(SHAPE, disk(SHAPE, (170, 250), (90, 120))), PEN, INKS["blue"])
    write_pyramid(path, small.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1), 2.0, (1, 4), quality=95)
    return path


@pytest.mark.parametrize("skip", [(), (Artifact.PEN,)])
def test_read_is_what_was_computed(slide_path: Path, tmp_path: Path, skip: tuple[Artifact, ...]) -> None:
    write_foregrounds(slide_path, tmp_path, STRIDE)
    with open_slide(slide_path) as slide:
        computed = compute_foreground(slide, STRIDE, ForegroundSettings(), skip)
        read = read_foreground(slide, STRIDE, tmp_path, skip)
    assert (read.mask != computed.mask).mean() < 0.001  # specks that remain
    assert read.quality["artifacts"] == computed.quality["artifacts"]
    assert (computed.source, read.source) == ("Otsu on saturation", "a.png")
    assert read.notes == computed.notes
    assert "it is left out" if skip else "is flagged" in computed.notes[0]
    for found in (computed, read):
        assert found.artifacts is not None
        classes = np.asarray(Image.open(io.BytesIO(found.artifacts)))
        assert (classes[PEN] == Artifact.PEN).mean() > 0.97
        assert (found.mask & (classes == Artifact.PEN)).any() == (not skip)


def test_masks_without_artifact_masks(slide_path: Path, tmp_path: Path) -> None:
    write_foregrounds(slide_path, tmp_path, STRIDE)
    (tmp_path / "a_artifacts.png").unlink()
    with open_slide(slide_path) as slide:
        found = read_foreground(slide, STRIDE, tmp_path, ())
        assert (found.artifacts, found.quality["artifacts"], found.notes) == (None, None, ())
        with pytest.raises(InputError, match=r"a_artifacts\.png: no such artifact mask, which --skip_artifacts needs"):
            read_foreground(slide, STRIDE, tmp_path, [Artifact.PEN])


def test_maps_are_outdated_where_artifacts_changed(slide_path: Path, tmp_path: Path) -> None:
    write_foregrounds(slide_path, tmp_path, STRIDE)

    def settings(skip: str = "") -> dict[str, object]:
        return reading_settings(TileDataset([], STRIDE, foreground_dir=tmp_path, skip_artifacts=skip), slide_path)

    first = settings()
    assert settings("pen")["skip_artifacts"] == ["pen"] != first["skip_artifacts"]
    Image.new("L", SHAPE[::-1]).save(tmp_path / "a_artifacts.png")
    assert settings()["foreground"] != first["foreground"]
