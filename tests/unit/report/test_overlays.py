from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from shapely import Polygon
from shapely.ops import unary_union

from scripts.maps.palette import heat_palette
from scripts.report.overlays import (
    HEAT_BYTES,
    OUTLINE_BYTES,
    SIDE,
    Layer,
    heat_layer,
    outline_path,
    scale_bar,
    tissue_layer,
)

SLIDE, STRIDE = (1000, 1710), 32  # (32, 54) on the map


def pixels(layer: Layer):  # type: ignore[no-untyped-def]
    content = base64.b64decode(layer.uri.partition(",")[2])
    assert len(content) <= HEAT_BYTES
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def polygons(path: str) -> list[Polygon]:
    rings = [re.findall(r"([\d.]+) ([\d.]+)", ring) for ring in path.split("Z")[:-1]]
    return [Polygon([(float(x), float(y)) for x, y in ring]) for ring in rings]


def test_heat_layer_is_transparent_outside_and_strong_where_probable() -> None:
    prob_map = np.zeros((32, 54), dtype=np.float32)
    prob_map[10, 20:30] = np.linspace(0.001, 1, 10)
    layer = heat_layer(prob_map, STRIDE, SLIDE)
    found = pixels(layer)
    assert layer.is_coarse
    assert (np.diff(found[10, 20:30, 3].astype(int)) >= 0).all()
    assert found[10, 20, 3] > 0, "no probability vanishes"
    assert found[10, 29, 3] == 255
    assert np.count_nonzero(found[:, :, 3]) == 10


def test_layer_spans_the_map_beyond_the_slides_edge() -> None:
    layer = heat_layer(np.ones((32, 54), dtype=np.float32), STRIDE, SLIDE)
    height, width = pixels(layer).shape[:2]
    assert layer.height * SLIDE[0] / height == pytest.approx(STRIDE)
    assert layer.width * SLIDE[1] / width == pytest.approx(STRIDE)


def test_large_map_is_shrunk_and_keeps_what_is_small() -> None:
    slide_shape = (3001 * 8, 1999 * 8)
    prob_map = np.random.default_rng(0).uniform(0, 0.4, (3001, 1999)).astype(np.float32)
    prob_map[2000, 1000] = 1.0
    layer = heat_layer(prob_map, 8, slide_shape)
    found = pixels(layer)
    assert max(found.shape) <= SIDE + 4
    assert not layer.is_coarse or max(found.shape) < SIDE // 2
    row, col = np.argwhere((found[:, :, :3] == heat_palette(64)[-1, :3]).all(axis=-1)).tolist()[0]
    unit = layer.height * slide_shape[0] / found.shape[0] / 8
    assert (row, col) == (int(2000 / unit), int(1000 / unit))


def test_tissue_layer_shows_where_the_map_has_values() -> None:
    prob_map = np.zeros((32, 54), dtype=np.float32)
    prob_map[3:9, 5:50] = 0.01
    assert np.array_equal(pixels(tissue_layer(prob_map, STRIDE, SLIDE))[:32, :54, 3] > 0, prob_map > 0)


def test_outline_path_by_hand() -> None:
    mask = np.zeros((32, 54), dtype=bool)
    mask[10:20, 30:45] = True
    (found,) = polygons(outline_path(mask, STRIDE, SLIDE) or "")
    scale = 1000 / SLIDE[1] * STRIDE
    assert found.bounds == pytest.approx([30 * scale, 10 * scale, 45 * scale, 20 * scale], abs=0.06)


def test_outline_path_has_holes_and_the_slides_edge() -> None:
    mask = np.zeros((32, 54), dtype=bool)
    mask[0:20, 0:20] = True
    mask[5:15, 5:15] = False
    outer, hole = sorted(polygons(outline_path(mask, STRIDE, SLIDE) or ""), key=lambda ring: -ring.area)
    assert outer.bounds[:2] == pytest.approx((0, 0), abs=0.06)
    assert outer.contains(hole)
    area = unary_union([outer]).area - hole.area
    assert area == pytest.approx(mask.sum() * (1000 / SLIDE[1] * STRIDE) ** 2, rel=0.03)


def test_outline_path_is_bounded() -> None:
    mask = np.random.default_rng(0).uniform(size=(170, 130)) > 0.5
    assert 0 < len(outline_path(mask, 8, (1360, 1040)) or "") <= OUTLINE_BYTES
    assert outline_path(np.zeros((5, 7), dtype=bool), 8, (40, 56)) is None


@pytest.mark.parametrize(
    ("width_um", "label"), [(54.4, "10 µm"), (218, "50 µm"), (23_000, "5 mm"), (4_000, "1 mm"), (3_999, "500 µm")]
)
def test_scale_bar_is_round(width_um: float, label: str) -> None:
    bar = scale_bar(width_um)
    assert bar.label == label
    number, unit = label.split()
    assert bar.share * width_um == pytest.approx(float(number) * {"µm": 1, "mm": 1000}[unit])
    assert bar.share <= 0.25
