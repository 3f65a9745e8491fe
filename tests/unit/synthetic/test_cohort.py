from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import openslide
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from shapely.geometry import Point, Polygon, box
from skimage import color, draw, filters

from scripts.synthetic import cohort as synthetic
from scripts.synthetic.cohort import (
    Cohort,
    SyntheticSlide,
    sample_centers,
    synthetic_slide,
    write_cohort,
)
from scripts.synthetic.nuclei import KINDS, stamp_library
from scripts.synthetic.splines import smooth_noise, upsample
from scripts.synthetic.staining import draw_stain
from scripts.synthetic.tissue import nest_outline

SHAPE = (1501, 2203)


@pytest.fixture(scope="module")
def slide() -> SyntheticSlide:
    return synthetic_slide(SHAPE, 2, seed=5, num_pockets=1)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    output = tmp_path_factory.mktemp("cohort")
    return write_cohort(output, 4, 2, shape=(1301, 1603), seed=2, num_train_regions=22, num_valid_regions=10)


def full_mask(polygons: list[npt.NDArray[np.float64]], shape: tuple[int, int] = SHAPE) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    for polygon in polygons:
        mask |= draw.polygon2mask(shape, polygon)
    return mask


def test_synthetic_slide_is_deterministic(slide: SyntheticSlide) -> None:
    again = synthetic_slide(SHAPE, 2, seed=5, num_pockets=1)
    np.testing.assert_array_equal(again.image, slide.image)
    for one, other in zip(again.tumor + again.exclusion, slide.tumor + slide.exclusion, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(synthetic_slide(SHAPE, 2, seed=6).image, slide.image)


def test_synthetic_slide_form(slide: SyntheticSlide) -> None:
    assert slide.image.shape == (*SHAPE, 3)
    assert slide.image.dtype == np.uint8
    assert slide.tissue.shape == (94, 138)
    assert [polygon.shape for polygon in slide.tumor] == [(160, 2), (160, 2)]
    assert len(slide.exclusion) == 1
    assert all(polygon.dtype == np.float64 for polygon in slide.tumor + slide.exclusion)


@pytest.mark.parametrize("seed", range(15))
def test_synthetic_slide_lesions_lie_in_tissue_apart_and_off_the_diagonal(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "paint_slide", lambda *_: np.zeros((*SHAPE, 3), np.uint8))
    monkeypatch.setattr(synthetic, "make_layout", lambda *_: None)
    num_lesions = 1 + seed % 3
    slide = synthetic_slide(SHAPE, num_lesions, seed, num_pockets=num_lesions)
    assert len(slide.tumor) == num_lesions
    shapes = [Polygon(polygon) for polygon in slide.tumor]
    assert all(shape.is_valid for shape in shapes)
    for index, shape in enumerate(shapes):
        assert all(shape.distance(other) > 40 for other in shapes[:index])
        assert not shape.contains(Point(shape.centroid.y, shape.centroid.x))
        assert shape.contains(Polygon(slide.exclusion[index]))
    tissue = np.kron(slide.tissue, np.ones((16, 16), bool))[: SHAPE[0], : SHAPE[1]]
    assert tissue[full_mask(slide.tumor)].all()


def test_tissue_is_stained_and_glass_is_white(slide: SyntheticSlide) -> None:
    saturation = color.rgb2hsv(slide.image)[..., 1]
    inside = ndimage.distance_transform_edt(slide.tissue)
    outside = ndimage.distance_transform_edt(~slide.tissue)
    inside, outside = (np.kron(side, np.ones((16, 16)))[: SHAPE[0], : SHAPE[1]] for side in (inside, outside))
    assert 0.25 < slide.tissue.mean() < 0.75
    assert saturation[inside > 2].mean() > 0.25
    assert np.quantile(slide.image[outside > 2], 0.001) > 215
    assert 0.5 < slide.image[outside > 2].std() < 8
    found = saturation > filters.threshold_otsu(saturation)
    assert (found & (inside > 2)).sum() / found.sum() > 0.85
    edge = np.concatenate([slide.tissue[0], slide.tissue[-1], slide.tissue[:, 0], slide.tissue[:, -1]])
    assert edge.mean() < 0.1
    rows, cols = np.nonzero(slide.tissue)
    extent = (np.ptp(rows) + 1) * (np.ptp(cols) + 1)
    assert slide.tissue.sum() / extent < 0.93


def test_tumor_differs_from_normal(slide: SyntheticSlide) -> None:
    tumor = ndimage.binary_erosion(full_mask(slide.tumor) & ~full_mask(slide.exclusion), iterations=25)
    tissue = np.kron(ndimage.binary_erosion(slide.tissue, iterations=8), np.ones((16, 16), bool))
    normal = tissue[: SHAPE[0], : SHAPE[1]] & ~ndimage.binary_dilation(full_mask(slide.tumor), iterations=25)
    darkness = 255 - slide.image.mean(axis=2)
    very_dark = darkness > 140
    assert very_dark[normal].mean() > 2 * very_dark[tumor].mean()
    assert darkness[normal].std() > 1.3 * darkness[tumor].std()
    pocket = ndimage.binary_erosion(full_mask(slide.exclusion), iterations=20)
    assert very_dark[pocket].mean() > 1.5 * very_dark[tumor].mean()


def test_nuclei_have_the_sizes_of_their_kinds() -> None:
    library = stamp_library(0.243)

    def diameter_um(kind: str) -> float:
        opaque = [np.count_nonzero(stamp.keep < 0.5) for stamp in library[kind]]
        return float(2 * np.sqrt(np.mean(opaque) / np.pi) * 0.243)

    assert 5.5 < diameter_um("lymphocyte") < 7
    assert 7 < diameter_um("large") < 9
    assert 10.5 < diameter_um("tumor") < 14
    assert len(library["lymphocyte"]) == 8 * KINDS["lymphocyte"].num_stamps
    opaque_stain = {
        kind: np.mean([stamp.hematoxylin[stamp.keep < 0.3].mean() for stamp in library[kind]])
        for kind in ("lymphocyte", "tumor")
    }
    assert opaque_stain["lymphocyte"] > 1.5 * opaque_stain["tumor"]


def test_slides_differ_in_stain() -> None:
    stains = [draw_stain(np.random.default_rng(seed)) for seed in range(8)]
    assert np.ptp([stain.vectors for stain in stains], axis=0).min() > 0.03
    assert np.ptp([stain.white for stain in stains], axis=0).min() > 2
    for stain in stains:
        hematoxylin, eosin = stain.vectors
        assert hematoxylin[0] > 1.8 * eosin[0]  # hematoxylin takes red away, eosin lets it pass
        assert eosin[1] == eosin.max()


def test_synthetic_slide_refuses() -> None:
    with pytest.raises(ValueError, match="at least 600"):
        synthetic_slide((599, 700), 0, seed=0)
    with pytest.raises(ValueError, match="did not fit"):
        synthetic_slide((701, 903), 1, seed=0, lesion_radius_um=(200, 200))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**20), radius=st.floats(20, 2000))
def test_nest_outline_is_simple_and_of_the_asked_size(seed: int, radius: float) -> None:
    center = np.array([3000.0, 5000.0])
    outline = nest_outline(np.random.default_rng(seed), center, radius)
    polygon = Polygon(outline)
    assert polygon.is_valid
    assert 0.8 * np.pi * radius**2 < polygon.area < 1.01 * np.pi * radius**2
    assert np.hypot(*(outline - center).T).max() <= 1.7 * radius + 1e-6


def test_upsample_of_a_block_is_that_part_of_the_whole() -> None:
    maps = np.random.default_rng(0).standard_normal((2, 23, 31), dtype=np.float32)
    whole = upsample(maps, (0, 92), (0, 124), 4)
    assert whole.shape == (2, 92, 124)
    np.testing.assert_array_equal(upsample(maps, (12, 39), (40, 121), 4), whole[:, 12:39, 40:121])
    with pytest.raises(ValueError, match="multiples of 4"):
        upsample(maps, (2, 39), (40, 121), 4)


def test_upsample_agrees_with_scipy() -> None:
    maps = np.random.default_rng(1).standard_normal((19, 27)).astype(np.float32)
    rows, cols = ((np.arange(length * 4) + 0.5) / 4 - 0.5 for length in maps.shape)
    points = np.meshgrid(rows, cols, indexing="ij")
    expected = ndimage.map_coordinates(maps, points, order=3, prefilter=False, mode="nearest")
    np.testing.assert_allclose(upsample(maps, (0, 76), (0, 108), 4), expected, atol=1e-5)


def test_smooth_noise_has_unit_variation() -> None:
    noise = smooth_noise(np.random.default_rng(0), (801, 607), 7.3)
    assert noise.shape == (801, 607)
    assert abs(noise.mean()) < 0.05
    assert 0.93 < noise.std() < 1.07


def test_sample_centers_lie_where_asked(slide: SyntheticSlide) -> None:
    tumor = full_mask(slide.tumor) & ~full_mask(slide.exclusion)
    for is_tumor in (True, False):
        centers = sample_centers(np.random.default_rng(0), slide, is_tumor, 150)
        assert centers.shape == (150, 2)
        assert len(np.unique(centers, axis=0)) == 150
        assert (tumor[tuple(centers.T)] == is_tumor).all()
        assert slide.tissue[tuple(centers.T // 16)].all()
        assert (centers >= 384).all()
        assert (centers + 384 <= SHAPE).all()
    with pytest.raises(ValueError, match="must have room for"):
        sample_centers(np.random.default_rng(0), slide, True, 100_000)


def test_write_cohort_layout(cohort: Cohort) -> None:
    assert [path.name for path in cohort.training] == [
        "tumor_001.tif", "normal_001.tif", "tumor_002.tif", "normal_002.tif"
    ]  # fmt: skip
    assert [path.name for path in cohort.testing] == ["test_001.tif", "test_002.tif"]
    assert {path.parent.name for path in cohort.training} == {"training"}
    assert {path.parent.name for path in cohort.testing} == {"testing"}
    counts = {
        path.stem: len(ElementTree.parse(path).findall(".//Annotation")) for path in cohort.annotations_dir.iterdir()
    }
    assert counts == {"tumor_001": 3, "tumor_002": 2, "test_001": 3, "test_002": 0}
    for path in cohort.training + cohort.testing:
        with openslide.OpenSlide(path) as slide:
            assert slide.properties["openslide.vendor"] == "philips"
            assert slide.dimensions == (2048, 1536)
            assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.243)
            assert slide.level_count == 3


def tumor_at(annotations_dir: Path, stem: str, x: int, y: int) -> bool:
    if stem.startswith("normal"):
        return False
    root = ElementTree.parse(annotations_dir / f"{stem}.xml")
    held = {"_0": False, "_2": False}
    for annotation in root.iterfind(".//Annotation"):
        corners = [(float(c.attrib["X"]), float(c.attrib["Y"])) for c in annotation.iterfind(".//Coordinate")]
        held[annotation.attrib["PartOfGroup"]] |= Polygon(corners).contains(Point(x, y))
    return held["_0"] and not held["_2"]


def test_write_cohort_coords_are_balanced_and_in_range(cohort: Cohort) -> None:
    names = {}
    for path, count in ((cohort.train_coords, 22), (cohort.valid_coords, 10)):
        rows = [line.split(",") for line in path.read_text().splitlines()]
        assert len(rows) == count
        assert sum(tumor_at(cohort.annotations_dir, stem, int(x), int(y)) for stem, x, y in rows) == count // 2
        for _, x, y in rows:
            assert box(0, 0, 1603, 1301).contains(box(int(x) - 384, int(y) - 384, int(x) + 384, int(y) + 384))
        names[path.stem] = {stem for stem, _, _ in rows}
    assert names == {"train": {"tumor_001", "normal_001"}, "valid": {"tumor_002", "normal_002"}}


def test_write_cohort_of_two_training_slides_has_other_places_for_validation(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path, 2, 0, shape=(1301, 1203), num_train_regions=12, num_valid_regions=8)
    train, valid = (set(path.read_text().splitlines()) for path in (cohort.train_coords, cohort.valid_coords))
    assert [len(train), len(valid), len(train & valid)] == [12, 8, 0]
    assert cohort.testing == []
    with pytest.raises(ValueError, match="num_train"):
        write_cohort(tmp_path, 1)
