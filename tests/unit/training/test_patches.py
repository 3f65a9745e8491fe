from __future__ import annotations

import functools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.bundle import ConfigParser
from monai.data import DataLoader

from helpers.ramp import coded_image, decode, ramp_position, write_coded, write_ramp
from scripts import bundle_root
from scripts.errors import InputError
from scripts.geometry import cell_centers
from scripts.labels.loclabel import loclabel_datalist
from scripts.slides.pyramid import write_pyramid
from scripts.training.patches import PatchWSIDataset

pytestmark = pytest.mark.slow  # in memory, not in time: its slides cost least in a process that has not grown yet

SHAPE = (1501, 2203)
CENTER = (731, 1207)


@pytest.fixture(scope="module")
def coded_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coded(tmp_path_factory.mktemp("coded") / "coded_001.tif", SHAPE)


@pytest.fixture(scope="module")
def padded_image() -> npt.NDArray[np.uint8]:
    """The pixels of that slide, with 40 of white around."""
    return np.pad(coded_image(SHAPE), ((40, 40), (40, 40), (0, 0)), constant_values=255)


@functools.cache
def validation(part: str) -> Any:
    """A part of validation in configs/train.json."""
    parser = ConfigParser()
    parser.read_config(Path(bundle_root()) / "configs" / "train.json")
    return parser.get_parsed_content(f"validate#{part}")


@pytest.fixture(scope="module")
def preprocessing() -> Any:
    """What the workers make of a region."""
    return validation("preprocessing")


def sample(slide: Path, location: tuple[float, float] = CENTER, label: Any = None) -> dict[str, Any]:
    label = np.zeros((1, 3, 3), dtype=np.float32) if label is None else label
    return {"image": str(slide), "location": location, "label": label}


def pixels_of(region: torch.Tensor) -> npt.NDArray[np.uint8]:
    """(3, h, w) to (h, w, 3)."""
    return np.asarray(torch.as_tensor(region)).transpose(1, 2, 0)


def patches_of(found: list[dict[str, Any]]) -> list[npt.NDArray[np.floating]]:
    """What the network sees, in pixels as they were before its intensity range."""
    batch = {key: torch.stack([torch.as_tensor(item[key]) for item in found]) for key in ("image", "label")}
    pixels, _ = validation("prepare_batch")(batch, torch.device("cpu"))
    return [(patch.numpy().transpose(1, 2, 0) + 1) * 127.5 for patch in pixels]


# --- the region -------------------------------------------------------------------------------------------------


def test_region_is_centered_on_its_location(coded_slide: Path) -> None:
    found = PatchWSIDataset([sample(coded_slide)])[0]
    assert found["image"].shape == (3, 768, 768)
    assert found["image"].dtype == torch.uint8
    positions = decode(pixels_of(found["image"]))
    assert tuple(positions[384, 384]) == CENTER
    assert tuple(positions[0, 0]) == (CENTER[0] - 384, CENTER[1] - 384)
    assert tuple(positions[-1, -1]) == (CENTER[0] + 383, CENTER[1] + 383)


@settings(max_examples=25)
@given(
    row=st.integers(0, SHAPE[0] - 1),
    col=st.integers(0, SHAPE[1] - 1),
    size=st.sampled_from([1, 32, 33]),
)
def test_region_is_the_same_cut_from_the_whole_image(
    coded_slide: Path, padded_image: npt.NDArray[np.uint8], row: int, col: int, size: int
) -> None:
    found = PatchWSIDataset([sample(coded_slide, (row, col))], region_size=size)[0]["image"]
    top, left = int(np.floor(row - size / 2)) + 40, int(np.floor(col - size / 2)) + 40
    np.testing.assert_array_equal(pixels_of(found), padded_image[top : top + size, left : left + size])


def test_region_is_white_beyond_the_edge(coded_slide: Path) -> None:
    found = pixels_of(PatchWSIDataset([sample(coded_slide, (10, SHAPE[1] - 7))])[0]["image"])
    assert (found[: 384 - 10] == 255).all()
    assert (found[:, 384 + 7 :] == 255).all()
    assert tuple(decode(found)[384 - 10, 384 + 6]) == (0, SHAPE[1] - 1)


@pytest.mark.parametrize("location", [(-1, 700), (700, -1), (SHAPE[0], 700), (700, SHAPE[1]), (1700, 1207)])
def test_location_outside_the_slide_is_refused(coded_slide: Path, location: tuple[int, int]) -> None:
    dataset = PatchWSIDataset([sample(coded_slide, location)])
    with pytest.raises(InputError, match=r"coded_001\.tif: the region centered at .* lies outside the slide"):
        dataset[0]


def test_swapped_location_is_refused(tmp_path: Path) -> None:
    slide = write_coded(tmp_path / "wide.tif", (401, 1203))
    assert PatchWSIDataset([sample(slide, (200, 1000))])[0]["image"].shape == (3, 768, 768)
    with pytest.raises(InputError, match="lies outside"):
        PatchWSIDataset([sample(slide, (1000, 200))])[0]


def test_slide_without_a_resolution_is_refused_unless_it_is_assumed(tmp_path: Path) -> None:
    slide = write_coded(tmp_path / "plain.tif", (401, 603), mpp=None)
    with pytest.raises(InputError, match=r"plain\.tif: the file states no resolution.*--assume_mpp"):
        PatchWSIDataset([sample(slide, (200, 300))])[0]
    found = PatchWSIDataset([sample(slide, (200, 300))], assume_mpp=0.25)[0]
    assert tuple(decode(pixels_of(found["image"]))[384, 384]) == (200, 300)


def test_missing_slide_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.tif: no such slide"):
        PatchWSIDataset([sample(tmp_path / "gone.tif")])[0]


def test_data_stay_as_they_were(coded_slide: Path) -> None:
    data = [sample(coded_slide)]
    before = pickle.dumps(data)
    PatchWSIDataset(data)[0]
    assert pickle.dumps(data) == before


def test_metadata_tell_where_the_region_is(coded_slide: Path) -> None:
    meta = PatchWSIDataset([sample(coded_slide)])[0]["image"].meta
    assert meta["path"] == str(coded_slide)
    assert tuple(meta["location"]) == CENTER
    assert tuple(meta["size"]) == (768, 768)


# --- the nine patches of the config --------------------------------------------------------------------------------


def test_patch_centers_are_the_labelled_cell_centers(coded_slide: Path, preprocessing: Any) -> None:
    found = PatchWSIDataset([sample(coded_slide)], transform=preprocessing)[0]
    assert len(found) == 9
    centers = []
    for patch in patches_of(found):
        assert patch.shape == (224, 224, 3)
        positions = decode(np.rint(patch).astype(np.uint8))
        assert (np.diff(positions[:, 0, 0]) == 1).all(), "pixels of level 0 as they are"
        centers.append(positions[0, 0] + 112)
    offsets = np.reshape(centers, (3, 3, 2)) - CENTER
    np.testing.assert_array_equal(offsets[..., 0], [[-256] * 3, [0] * 3, [256] * 3])
    np.testing.assert_array_equal(offsets[..., 1], [[-256, 0, 256]] * 3)
    np.testing.assert_array_equal(np.reshape(centers, (3, 3, 2)), cell_centers(CENTER))


@pytest.mark.parametrize("mpp", [0.5, 0.121, 0.3])
def test_patch_centers_on_a_resampled_slide(tmp_path: Path, preprocessing: Any, mpp: float) -> None:
    downsample = 0.243 / mpp
    shape, center = (2003, 2601), (1002, 1503)
    slide = write_ramp(tmp_path / "ramp.tif", shape, mpp)
    found = PatchWSIDataset([sample(slide, center)], transform=preprocessing)[0]
    centers = np.reshape([ramp_position(patch, shape) for patch in patches_of(found)], (3, 3, 2))
    # the mean of a patch whose ramp is rounded to 10 px steps is exact to a small part of a step
    np.testing.assert_allclose(centers, cell_centers(center, cell_size=256 * downsample), atol=0.2)


def test_region_within_a_tenth_of_the_resolution_is_level_0(tmp_path: Path) -> None:
    slide = write_coded(tmp_path / "coded.tif", (901, 1203), mpp=0.2265)
    found = PatchWSIDataset([sample(slide, (455, 603))])[0]
    assert tuple(decode(pixels_of(found["image"]))[384, 384]) == (455, 603)


@pytest.mark.parametrize(("row", "col"), [(0, 2), (2, 0), (1, 2), (0, 1)])
def test_labels_belong_to_their_patches(tmp_path: Path, preprocessing: Any, row: int, col: int) -> None:
    image = np.full((*SHAPE, 3), 230, dtype=np.uint8)
    (top, left), half = np.asarray(CENTER) + (np.asarray((row, col)) - 1) * 256, 100
    image[top - half : top + half, left - half : left + half] = 20  # the tumor
    write_pyramid(tmp_path / "tumor_007.tif", image, 0.243, compression="zlib")
    labels = ["0"] * 9
    labels[col * 3 + row] = "1"  # the file goes column by column
    (tmp_path / "labels.csv").write_text(f"tumor_007,{CENTER[1]},{CENTER[0]},{','.join(labels)}\n")

    data = loclabel_datalist(tmp_path / "labels.csv", tmp_path)
    found = PatchWSIDataset(data, transform=preprocessing)[0]
    dark = [bool(patch.mean() < 128) for patch in patches_of(found)]
    assert sum(dark) == 1
    assert dark.index(True) == row * 3 + col
    assert [item["label"].shape for item in found] == [(1, 1, 1)] * 9
    assert [bool(item["label"].item()) for item in found] == dark


def test_patches_are_in_the_range_of_the_metadata(coded_slide: Path, preprocessing: Any) -> None:
    found = PatchWSIDataset([sample(coded_slide)], transform=preprocessing)[0]
    values = torch.from_numpy(np.stack(patches_of(found))) / 127.5 - 1
    assert values.dtype == torch.float32
    assert (values.min(), values.max()) == (-1, 1)


# --- workers -----------------------------------------------------------------------------------------------------


def test_forked_workers_open_slides_of_their_own(coded_slide: Path, preprocessing: Any) -> None:
    locations = [(600 + 10 * index, 900 + 20 * index) for index in range(5)]
    dataset = PatchWSIDataset([sample(coded_slide, location) for location in locations], transform=preprocessing)
    expected = [torch.stack([torch.as_tensor(item["image"]) for item in dataset[index]]) for index in range(5)]
    loader = DataLoader(dataset, batch_size=1, num_workers=2, multiprocessing_context="fork")
    for _ in range(2):
        for batch, patches in zip(loader, expected, strict=True):
            torch.testing.assert_close(torch.as_tensor(batch["image"]), patches, rtol=0, atol=0)
            assert batch["label"].shape == (9, 1, 1, 1)


def test_dataset_travels_to_another_process(coded_slide: Path) -> None:
    dataset = PatchWSIDataset([sample(coded_slide)])
    expected = dataset[0]["image"]
    found = pickle.loads(pickle.dumps(dataset))[0]["image"]
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=0, atol=0)
