"""Artifact masks as pictures, read back and refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.errors import InputError
from scripts.quality.classes import COLORS
from scripts.quality.files import (
    SUFFIX,
    check_artifacts_name,
    encode_artifacts,
    read_artifacts,
    with_artifacts,
    write_artifacts,
)

CLASSES = np.random.default_rng(0).integers(0, 6, (13, 29), dtype=np.uint8)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / f"a{SUFFIX}"
    write_artifacts(path, encode_artifacts(CLASSES))
    np.testing.assert_array_equal(read_artifacts(path, (13, 29)), CLASSES)
    with Image.open(path) as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), np.array(COLORS, dtype=np.uint8)[CLASSES])


@pytest.mark.parametrize("order", [(5, 4, 3, 2, 1, 0), (0, 3, 1, 5, 2, 4)])
def test_a_palette_in_another_order_shows_the_same_classes(tmp_path: Path, order: tuple[int, ...]) -> None:
    """As editors save it, which order colors by how often they are there."""
    picture = Image.fromarray(np.array(order, dtype=np.uint8)[CLASSES])
    picture.putpalette([value for index in np.argsort(order) for value in COLORS[index]])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_artifacts(tmp_path / "a.png", (13, 29)), CLASSES)


def test_colors_that_no_class_has_are_refused(tmp_path: Path) -> None:
    picture = Image.fromarray(CLASSES)
    picture.putpalette([value for color in (*COLORS[:5], (255, 0, 0)) for value in color])
    picture.save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: expected the colors of artifact classes, found \(255, 0, 0\)"):
        read_artifacts(tmp_path / "a.png", (13, 29))


def test_gray_masks_of_other_programs_are_read(tmp_path: Path) -> None:
    Image.fromarray(CLASSES).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_artifacts(tmp_path / "a.png", (13, 29)), CLASSES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such artifact mask"),
        (b"text", "not a readable artifact mask"),
        (encode_artifacts(CLASSES)[:-30], "not a readable artifact mask"),
        (np.zeros((29, 13), dtype=np.uint8), r"expected an artifact mask of shape \(rows, cols\) \(13, 29\)"),
        (np.full((13, 29), 255, dtype=np.uint8), "expected classes from 0 to 5, found 255"),
        (np.zeros((13, 29, 3), dtype=np.uint8), "expected 8 bits a pixel, found 'RGB'"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, content, message: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        Image.fromarray(content).save(path)
    with pytest.raises(InputError, match=message):
        read_artifacts(path, (13, 29))


def test_names_that_artifact_masks_have() -> None:
    check_artifacts_name("slides/artifacts.tif")
    with pytest.raises(InputError, match=r"a_Artifacts\.tif: expected a name that does not end in '_artifacts'"):
        check_artifacts_name("slides/a_Artifacts.tif")


def test_overlay_tints_what_is_found() -> None:
    picture = np.full((26, 58, 3), 200, dtype=np.uint8)
    tinted = with_artifacts(picture, CLASSES)
    is_found = CLASSES.repeat(2, axis=0).repeat(2, axis=1) > 0
    np.testing.assert_array_equal((tinted != picture).any(axis=2), is_found)
    assert with_artifacts(picture, np.zeros_like(CLASSES)) is picture
