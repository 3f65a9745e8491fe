from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from scripts.report.embedding import highest_of_blocks, jpeg_uri, png_uri

NOISE = np.random.default_rng(0).integers(0, 256, (150, 220, 3), dtype=np.uint8)
RGBA = np.array([(0, 0, 0, 0), (255, 0, 0, 128), (0, 0, 255, 255)], dtype=np.uint8)


def decode(uri: str, kind: str) -> tuple[int, Image.Image]:
    head, _, text = uri.partition(",")
    assert head == f"data:image/{kind};base64"
    content = base64.b64decode(text, validate=True)
    return len(content), Image.open(io.BytesIO(content))


@pytest.mark.parametrize("max_bytes", [1_000_000, 20_000, 3_000])
def test_jpeg_stays_below_its_bound(max_bytes: int) -> None:
    size, picture = decode(jpeg_uri(NOISE, max_bytes), "jpeg")
    assert size <= max_bytes
    assert picture.width / picture.height == pytest.approx(220 / 150, rel=0.05)


def test_jpeg_with_room_keeps_its_pixels() -> None:
    smooth = np.broadcast_to(np.linspace(0, 255, 220)[:, None], (150, 220, 3)).astype(np.uint8)
    _, picture = decode(jpeg_uri(smooth, 50_000), "jpeg")
    assert np.abs(np.asarray(picture).astype(int) - smooth).max() < 12


def test_png_has_its_colors_and_transparency() -> None:
    indices = np.array([[0, 1, 2], [2, 0, 1]], dtype=np.uint8)
    _, picture = decode(png_uri(indices, RGBA, 5000), "png")
    assert np.array_equal(np.asarray(picture.convert("RGBA")), RGBA[indices])


def test_png_too_large_is_shrunk_and_keeps_the_highest() -> None:
    indices = np.random.default_rng(1).integers(0, 2, (256, 400), dtype=np.uint8)
    indices[128, 300] = 2
    size, picture = decode(png_uri(indices, RGBA, 3000), "png")
    assert size <= 3000
    assert picture.size == (200, 128)
    assert np.argwhere(np.asarray(picture) == 2).tolist() == [[64, 150]]


def test_highest_of_blocks_by_hand() -> None:
    values: npt.NDArray[np.uint8] = np.array([[1, 2, 9], [3, 0, 4], [5, 6, 7]], dtype=np.uint8)
    assert highest_of_blocks(values, 2).tolist() == [[3, 9], [6, 7]]
    assert highest_of_blocks(values, 1).tolist() == values.tolist()


@pytest.mark.parametrize("write", [lambda: jpeg_uri(NOISE, 1000), lambda: png_uri(NOISE[..., 0], RGBA, 1000)])
def test_bound_below_a_header_is_refused(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="max_bytes must be at least 2000"):
        write()
