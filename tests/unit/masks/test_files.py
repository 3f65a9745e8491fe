"""Masks as files: written and read back, any picture mode, any TIFF level, and damaged files named."""

from __future__ import annotations

import pickle
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from scripts.errors import InputError
from scripts.masks import files as masks
from scripts.masks.files import check_alone, level_shapes, one_channel, read_level, read_mask_array, write_mask

MASK = np.zeros((63, 95), dtype=np.uint8)
MASK[19:26, 56:69] = 1
LEVELS = [np.kron(MASK, np.ones((4, 4), np.uint8))[1:], MASK, MASK[::2, ::2]]


def _png(path, array):
    Image.fromarray(array).save(path)
    return path


def _npy(path, array):
    np.save(path, array, allow_pickle=True)
    return path


def _pyramid(path, subifds=False):
    with tifffile.TiffWriter(path) as tiff:
        options = {"tile": (64, 64), "compression": "lzw"}
        tiff.write(LEVELS[0], subifds=len(LEVELS) - 1 if subifds else None, **options)
        for level in LEVELS[1:]:
            tiff.write(level, subfiletype=1, **options)
    return path


def test_write_mask_is_0_and_255(tmp_path):
    write_mask(tmp_path / "a.png", MASK == 1)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "L"
        assert picture.size == (95, 63)
    np.testing.assert_array_equal(read_mask_array(tmp_path / "a.png"), MASK * 255)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGB", "RGBA"])
def test_read_mask_array_of_picture_modes(tmp_path, mode):
    picture = Image.fromarray(MASK * np.uint8(255))
    if mode == "P":
        picture = Image.fromarray(MASK)
        picture.putpalette([0, 0, 0, 200, 30, 30])
    else:
        picture = picture.convert(mode)
    path = tmp_path / "a.png"
    picture.save(path)
    np.testing.assert_array_equal(one_channel(path, read_mask_array(path)) != 0, MASK == 1)


def _png_of_16_bits(path, samples, color_type):
    """A PNG as libpng writes it (PNG 1.2, 4.1): Pillow writes none of 16 bits with colors."""
    rows, cols = samples.shape[:2]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", cols, rows, 16, color_type, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


@pytest.mark.parametrize(("color_type", "num_samples"), [(2, 3), (4, 2), (6, 4)], ids=["RGB", "gray and alpha", "RGBA"])
@pytest.mark.parametrize("value", [1, 255])
def test_colors_of_16_bits_are_refused(tmp_path, color_type, num_samples, value):
    """Pillow makes 8 bits of them and drops the byte that holds the mask."""
    samples = np.repeat(MASK[..., None].astype(np.uint16) * value, num_samples, axis=2)
    if num_samples % 2 == 0:
        samples[..., -1] = 65535
    _png_of_16_bits(tmp_path / "a.png", samples, color_type)
    with pytest.raises(InputError, match=r"a\.png: expected a gray mask, found colors or transparency of 16 bits"):
        read_mask_array(tmp_path / "a.png")


def test_gray_of_16_bits_is_read(tmp_path):
    _png_of_16_bits(tmp_path / "a.png", MASK[..., None].astype(np.uint16), 0)
    np.testing.assert_array_equal(read_mask_array(tmp_path / "a.png"), MASK)


def test_a_png_of_several_pictures_is_refused(tmp_path):
    """The first may be empty, and the slide would count as normal."""
    pictures = [Image.fromarray(MASK * np.uint8(value)) for value in (0, 255)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:])
    with pytest.raises(InputError, match=r"a\.png: expected one mask, found 2 pictures; keep it alone"):
        read_mask_array(tmp_path / "a.png")


def test_transparency_beside_white_is_zero_stays(tmp_path):
    stored = np.stack([255 - MASK * np.uint8(255), np.full_like(MASK, 255)], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_level(tmp_path / "a.tif", 0)[..., 1], stored[..., 1])
    np.testing.assert_array_equal(_read(tmp_path / "a.tif"), MASK * 255)


def _with_palette(path, indices, *colors, **options):
    picture = Image.fromarray(indices.astype(np.uint8))
    picture.putpalette(np.array(colors, dtype=np.uint8).ravel().tolist())
    picture.save(path, **options)
    return path


def _read(path):
    array = read_level(path, 0) if path.suffix == ".tif" else read_mask_array(path)
    return one_channel(path, array)


BLACK, WHITE, RED, GREEN = (0, 0, 0), (255, 255, 255), (200, 30, 30), (30, 200, 30)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_of_grays_is_what_a_viewer_shows(tmp_path, suffix, bits):
    options = {"bits": bits} if suffix == ".png" else {}
    path = _with_palette(tmp_path / f"a{suffix}", 1 - MASK, WHITE, BLACK, **options)
    np.testing.assert_array_equal(_read(path), MASK * 255)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_palette_of_colors_holds_classes_if_it_begins_with_black(tmp_path, suffix):
    classes = MASK + (np.arange(95) > 40)
    path = _with_palette(tmp_path / f"a{suffix}", classes, BLACK, GREEN, RED, WHITE, BLACK)  # the last two are not used
    np.testing.assert_array_equal(_read(path), classes)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("colors", [(WHITE, RED), (RED, BLACK), (BLACK, RED, BLACK)])
def test_other_palettes_of_colors_are_refused(tmp_path, suffix, colors):
    path = _with_palette(tmp_path / f"a{suffix}", np.arange(63 * 95).reshape(63, 95) % len(colors), *colors)
    with pytest.raises(InputError, match=r"expected a gray mask, found a palette"):
        _read(path)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
def test_white_is_zero_is_turned_over_at_each_level(tmp_path, dtype):
    path = tmp_path / "a.tif"
    largest = 1 if dtype is bool else np.iinfo(dtype).max
    with tifffile.TiffWriter(path) as tiff:
        for level, array in enumerate(LEVELS):
            stored = (1 - array).astype(dtype) * dtype(largest)
            tiff.write(stored, photometric="miniswhite", tile=(64, 64), subfiletype=int(level > 0))
    for level, array in enumerate(LEVELS):
        found = read_level(path, level)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, array.astype(dtype) * dtype(largest))


def test_white_is_zero_of_pillow(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(MASK * np.uint8(255)).convert("1").save(path, tiffinfo={262: 0})
    with Image.open(path) as shown:
        np.testing.assert_array_equal(_read(path), np.asarray(shown))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_transparency_that_may_be_the_mask_is_refused(tmp_path, mode):
    """White or black all over, and transparent where there is no tumor."""
    for value in (0, 255):
        path = tmp_path / "a.png"
        if mode == "P":
            _with_palette(path, MASK, (value,) * 3, (value,) * 3, transparency=0)
        else:
            shown = np.full((*MASK.shape, len(mode)), value, dtype=np.uint8)
            shown[..., -1] = MASK * 255
            _png(path, shown)
        with pytest.raises(InputError, match="transparent pixels"):
            _read(path)


def test_transparent_pixels_may_be_0_beside_tumor_or_everywhere(tmp_path):
    for mask in (MASK, MASK * 0):
        path = _png(tmp_path / "a.png", np.stack([mask * np.uint8(255)] * 4, axis=-1))
        np.testing.assert_array_equal(_read(path), mask * 255)


def test_read_level_refuses_other_photometrics(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([MASK * 255] * 4, axis=-1), photometric="separated")
    with pytest.raises(InputError, match="gray mask"):
        _read(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_read_mask_array_of_numpy_types(tmp_path, dtype):
    found = read_mask_array(_npy(tmp_path / "a.npy", MASK.astype(dtype)))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, MASK.astype(dtype))


def test_read_mask_array_refuses_other_dimensions_and_pickles(tmp_path):
    with pytest.raises(InputError, match="rows, cols"):
        read_mask_array(_npy(tmp_path / "a.npy", MASK[None]))
    with pytest.raises(InputError, match="not a readable numpy array"):
        read_mask_array(_npy(tmp_path / "a.npy", np.array([{}], dtype=object)))
    (tmp_path / "a.npy").write_bytes(pickle.dumps(MASK))
    with pytest.raises(InputError, match="not a readable numpy array"):
        read_mask_array(tmp_path / "a.npy")


@pytest.mark.parametrize("subifds", [False, True], ids=["pages", "subifds"])
def test_read_level_is_that_of_level_shapes(tmp_path, subifds):
    path = _pyramid(tmp_path / "a.tif", subifds)
    assert level_shapes(path) == [(251, 380), (63, 95), (32, 48)]
    for level, expected in enumerate(LEVELS):
        np.testing.assert_array_equal(read_level(path, level), expected)


def test_nothing_larger_than_the_limit_is_decoded(tmp_path, monkeypatch):
    path = _pyramid(tmp_path / "a.tif")
    monkeypatch.setattr(masks, "MAX_MASK_PIXELS", 63 * 95 - 1)
    assert read_level(path, 2).shape == (32, 48)
    for read in (
        lambda: read_level(path, 1),
        lambda: read_mask_array(_png(tmp_path / "a.png", MASK)),
        lambda: read_mask_array(_npy(tmp_path / "a.npy", MASK)),
    ):
        with pytest.raises(InputError, match=r"at most 5,984 pixels, found 63 x 95"):
            read()


@pytest.mark.parametrize("shape", [(3, 5, 3), (3, 5, 7), (2, 3, 5, 1), (4,)])
def test_one_channel_refuses_colors_and_other_forms(tmp_path, shape):
    with pytest.raises(InputError, match="expected a gray mask"):
        one_channel(tmp_path / "a", np.arange(np.prod(shape)).reshape(shape))


def test_one_channel_drops_alpha_and_repetitions(tmp_path):
    gray = np.arange(15).reshape(3, 5)
    for channels in ([gray], [gray, gray + 1], [gray] * 3, [gray, gray, gray, gray + 1]):
        np.testing.assert_array_equal(one_channel(tmp_path / "a", np.stack(channels, axis=-1)), gray)
    assert one_channel(tmp_path / "a", gray) is gray


@pytest.mark.parametrize("suffix", [".png", ".npy", ".tif"])
def test_damaged_files_are_named(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".png":
        _png(whole, np.random.default_rng(0).integers(0, 2, (63, 95), dtype=np.uint8))
    elif suffix == ".npy":
        np.save(whole, MASK)
    else:
        _pyramid(whole)
    read = read_mask_array if suffix != ".tif" else lambda path: [read_level(path, 0) for _ in level_shapes(path)]
    for size in (0, 11, whole.stat().st_size * 2 // 5):
        path = tmp_path / f"damaged{suffix}"
        path.write_bytes(whole.read_bytes()[:size])
        with pytest.raises(InputError, match=f"damaged{suffix}"):
            read(path)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_mask_that_is_to_be_turned_is_refused(tmp_path, orientation):
    """Programs disagree on TIFF's and Exif's Orientation: Pillow and tifffile leave it, viewers turn."""
    tifffile.imwrite(tmp_path / "a.tif", MASK, metadata=None, extratags=[(274, 3, 1, orientation, True)])
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(MASK).save(tmp_path / "a.png", exif=exif)
    for name in ("a.tif", "a.png"):
        with pytest.raises(InputError, match=rf"{name}: its tag Orientation is {orientation}, .* write it upright"):
            _read(tmp_path / name)


def test_a_mask_that_says_it_is_upright_is_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", MASK, metadata=None, extratags=[(274, 3, 1, 1, True)])
    np.testing.assert_array_equal(_read(tmp_path / "a.tif"), MASK)


@pytest.mark.parametrize(
    ("planes", "options"),
    [
        (["no", "yes"], {}),
        (["yes", "yes", "no"], {}),
        (["yes", "no"], {"ome": True, "metadata": {"axes": "CYX"}}),
        (["no", "yes"], {"imagej": True, "metadata": {"axes": "ZYX"}}),
    ],
    ids=["pages", "the third page", "channels of an OME-TIFF", "planes of ImageJ"],
)
def test_one_of_several_pictures_is_no_mask(tmp_path, planes, options):
    """The first was taken, and a slide whose first page is empty counted as normal."""
    kinds = {"yes": MASK, "no": MASK * 0}
    stack = np.stack([kinds[plane] for plane in planes])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **{"metadata": None, **options})
    level_shapes(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif: expected one mask, found \d pictures of 63 x 95, of"):
        check_alone(tmp_path / "a.tif", 0)


def test_levels_and_pictures_that_are_alike_are_one_mask(tmp_path):
    for subifds in (False, True):
        path = _pyramid(tmp_path / "a.tif", subifds)
        for level in range(len(LEVELS)):
            check_alone(path, level)
    tifffile.imwrite(tmp_path / "b.tif", np.stack([MASK] * 3), photometric="minisblack")
    check_alone(tmp_path / "b.tif", 0)
