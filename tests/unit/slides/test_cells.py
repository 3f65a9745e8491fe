from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.ramp import coded_image
from scripts.errors import InputError
from scripts.slides.cells import CellReader, Part, cell_range, kept_cells
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import Slide, open_slide

SHAPE = (1501, 2203)
LEVELS = (1, 4, 16)


@pytest.fixture(scope="module")
def slide_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cells") / "coded.tif"
    write_pyramid(path, coded_image(SHAPE), 0.243, downsamples=LEVELS, compression="zlib")
    return path


@pytest.fixture(params=["cucim", "openslide"])
def slide(request: pytest.FixtureRequest, slide_path: Path) -> Any:
    if request.param == "cucim":
        pytest.importorskip("cucim")
    with open_slide(slide_path, request.param) as opened:
        yield opened


class Watched:
    """A slide's pixels, which notes the cells that are decoded."""

    def __init__(self, slide: Slide, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded: Counter[tuple[int, int, int]] = Counter()
        read = slide._pixels.read

        def note(location: tuple[int, int], size: tuple[int, int], level: int) -> npt.NDArray[np.uint8]:
            part = Part(level, location, size)
            rows, cols = cell_range(part, slide.cell_shapes[level], slide.level_shapes[level])
            for row in range(rows.start, rows.stop):
                for col in range(cols.start, cols.stop):
                    self.decoded[level, row, col] += 1
            return read(location, size, level)

        monkeypatch.setattr(slide._pixels, "read", note)


def tiles_of(shape: tuple[int, int], side: int, overlap: int) -> list[Part]:
    """Overlapping parts row by row, a third of them left out; some reach beyond the slide."""
    step = side - overlap
    places = [(row, col) for row in range(-overlap, shape[0], step) for col in range(-overlap, shape[1], step)]
    return [Part(0, place, (side, side)) for index, place in enumerate(places) if index % 3 != 1]


# --- which cells ------------------------------------------------------------------------------------------------------


@given(
    location=st.tuples(st.integers(-300, 900), st.integers(-300, 900)),
    size=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    cell=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    full=st.tuples(st.integers(1, 800), st.integers(1, 800)),
)
def test_cells_of_a_part_are_those_that_it_touches(
    location: tuple[int, int], size: tuple[int, int], cell: tuple[int, int], full: tuple[int, int]
) -> None:
    found = cell_range(Part(0, location, size), cell, full)
    for axis in range(2):
        pixels = range(max(location[axis], 0), min(location[axis] + size[axis], full[axis]))
        expected = sorted({pixel // cell[axis] for pixel in pixels})
        assert list(range(found[axis].start, found[axis].stop)) == expected


@pytest.mark.parametrize("num_readers", [1, 2, 3])
def test_kept_is_what_a_later_part_of_the_same_reader_needs(num_readers: int) -> None:
    parts, cell, full = tiles_of((900, 1300), 400, 90), (128, 96), (900, 1300)
    found = kept_cells(parts, cell, full, 1, num_readers)
    for index, part in enumerate(parts):
        rows, cols = cell_range(part, cell, full)
        later = [other for step, other in enumerate(parts) if step > index and (step - index) % num_readers == 0]
        needed = set()
        for other in later:
            other_rows, other_cols = cell_range(other, cell, full)
            needed |= {
                (row, col)
                for row in range(other_rows.start, other_rows.stop)
                for col in range(other_cols.start, other_cols.stop)
            }
        expected = [
            [(row, col) in needed for col in range(cols.start, cols.stop)] for row in range(rows.start, rows.stop)
        ]
        np.testing.assert_array_equal(found[index], np.array(expected, dtype=bool).reshape(found[index].shape))


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "overlap"), [(608, 160), (300, 44), (1000, 600)])
def test_pixels_are_the_slides_and_each_cell_is_decoded_once(
    slide: Slide, slide_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, overlap: int
) -> None:
    parts = tiles_of(SHAPE, side, overlap)
    keep = kept_cells(parts, slide.cell_shapes[0], SHAPE)
    with open_slide(slide_path) as judge:
        expected = [judge.read_level(part.location, part.size, 0) for part in parts]
    watched, reader = Watched(slide, monkeypatch), CellReader(slide)
    for part, kept, pixels in zip(parts, keep, expected, strict=True):
        np.testing.assert_array_equal(reader.read(part, kept), pixels)
    touched = {
        (0, row, col)
        for part in parts
        for rows, cols in [cell_range(part, slide.cell_shapes[0], SHAPE)]
        for row in range(rows.start, rows.stop)
        for col in range(cols.start, cols.stop)
    }
    assert watched.decoded == Counter(touched), "once each, and no others"
    assert reader.num_decoded == len(touched)
    assert not reader._cells, "nothing is kept at the end"


def test_other_levels_are_read_alike(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", coded_image((2080, 3104)), 0.243, downsamples=(1, 4, 16), compression="zlib")
    parts = [Part(1, (-5, 100), (200, 300)), Part(1, (100, 250), (300, 400))]
    with open_slide(tmp_path / "a.tif") as slide:
        reader = CellReader(slide)
        keep = kept_cells(parts, slide.cell_shapes[1], slide.level_shapes[1])
        for part, kept in zip(parts, keep, strict=True):
            np.testing.assert_array_equal(reader.read(part, kept), slide.read_level(part.location, part.size, 1))


def test_beyond_its_limit_the_oldest_cells_go_and_are_decoded_again(slide: Slide) -> None:
    parts = tiles_of(SHAPE, 608, 160)
    keep = kept_cells(parts, slide.cell_shapes[0], SHAPE)
    small = CellReader(slide, max_bytes=3 * 256 * 256 * 3)
    for part, kept in zip(parts, keep, strict=True):
        np.testing.assert_array_equal(small.read(part, kept), slide.read_level(part.location, part.size, 0))
        assert small._bytes <= small.max_bytes
        assert small._bytes == sum(cell.nbytes for cell in small._cells.values())
    whole = CellReader(slide)
    for part, kept in zip(parts, keep, strict=True):
        whole.read(part, kept)
    assert small.num_decoded > whole.num_decoded


def test_a_part_outside_the_slide_is_white(slide: Slide) -> None:
    part = Part(0, (-500, -400), (100, 120))
    (kept,) = kept_cells([part], slide.cell_shapes[0], SHAPE)
    assert (CellReader(slide).read(part, kept) == 255).all()


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tif"
    image = np.random.default_rng(0).integers(0, 256, (801, 903, 3), dtype=np.uint8)
    write_pyramid(path, image, 0.243, downsamples=(1,), compression="jpeg")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = b"\xff\xd9" * 10_000
    path.write_bytes(content)
    with open_slide(path, "openslide") as slide:
        part = Part(0, (0, 0), (801, 903))
        (kept,) = kept_cells([part], slide.cell_shapes[0], slide.shape)
        with pytest.raises(InputError, match=r"damaged\.tif: the tiles at level 0 .* cannot be decoded"):
            CellReader(slide).read(part, kept)
