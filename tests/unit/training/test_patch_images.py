from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from monai.bundle import ConfigParser
from PIL import Image

from scripts import bundle_root
from scripts.errors import InputError
from scripts.training.patch_images import PatchImageDataset, patch_datalist


def write_picture(path: Path, shape: tuple[int, int], value: int | None = None) -> Path:
    """A ramp (red along rows, green along columns), or one value everywhere."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    pixels = np.stack([rows, cols, np.zeros(shape, dtype=int)], axis=-1).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels if value is None else np.full_like(pixels, value)).save(path)
    return path


def read(path: Path, label: float = 1.0, **arguments: Any) -> npt.NDArray[np.uint8]:
    found = PatchImageDataset([{"image": str(path), "label": label}], **arguments)[0]["image"]
    return np.asarray(found).transpose(1, 2, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five normal and three tumor patches in folders, and what does not count."""
    for name, count in (("0", 5), ("1", 3)):
        for index in range(count):
            write_picture(tmp_path / "pcam" / name / f"{index}.png", (96, 96), value=100)
    (tmp_path / "pcam" / "1" / "notes.txt").write_text("no picture")
    write_picture(tmp_path / "pcam" / "2" / "0.png", (96, 96))
    return tmp_path / "pcam"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    folder = tmp_path / "camelyon"
    for name in ("a", "b"):
        write_picture(folder / "patches" / f"{name}.png", (256, 256), value=50)
    (folder / "labels.csv").write_text("file,label\npatches/a.png,1\npatches/b.png,0\n")
    return folder / "labels.csv"


# --- lists ------------------------------------------------------------------------------------------------------


def test_datalist_of_folders_and_tables(folder: Path, table: Path) -> None:
    found = patch_datalist([folder], [table])
    assert len(found) == 10
    assert [item["label"] for item in found] == [0.0] * 5 + [1.0] * 3 + [1.0, 0.0]
    for item in found[:8]:
        assert Path(item["image"]).parent.name == str(int(item["label"]))
    assert [Path(item["image"]).stem for item in found[8:]] == ["a", "b"]
    assert all(Path(item["image"]).is_file() for item in found)


def test_datalist_of_strings(folder: Path, table: Path) -> None:
    assert patch_datalist([str(folder)], [str(table)]) == patch_datalist([folder], [table])


def test_datalist_limit_is_a_reproducible_choice(folder: Path) -> None:
    everything = patch_datalist([folder])
    chosen = patch_datalist([folder], limit=4, seed=1)
    assert chosen == patch_datalist([folder], limit=4, seed=1)
    assert len({item["image"] for item in chosen}) == 4
    assert len({item["image"] for item in patch_datalist([folder], limit=7)}) == 7, "none twice"
    assert all(item in everything for item in chosen)
    others = [patch_datalist([folder], limit=4, seed=seed) for seed in range(2, 6)]
    assert any(other != chosen for other in others)
    assert patch_datalist([folder], limit=8) == everything
    assert patch_datalist([folder], limit=99) == everything


def test_datalist_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"no labelled pictures: no folder and no table is given"):
        patch_datalist()


def test_each_folder_and_table_holds_pictures(folder: Path, table: Path) -> None:
    """One that is misspelled is not passed over in silence."""
    missing, empty = folder.parent / "pcamm", folder / "2"
    for odd in (missing, empty):
        with pytest.raises(InputError, match=f"{odd.name}: no pictures in subfolders 0 and 1"):
            patch_datalist([folder, odd], [table])
    header = table.parent / "header.csv"
    header.write_text("file,label\n")
    with pytest.raises(InputError, match=r"header\.csv: no pictures below its header"):
        patch_datalist([folder], [table, header])


@pytest.mark.parametrize("suffix", [".JPG", ".jpeg", ".PNG", ".tif", ".TIFF"])
def test_suffixes_of_pictures(tmp_path: Path, suffix: str) -> None:
    picture = write_picture(tmp_path / "1" / f"a{suffix}", (96, 96))
    assert patch_datalist(tmp_path) == [{"image": str(picture), "label": 1.0}]


@pytest.mark.parametrize(
    "content",
    [
        None,
        "path,label\na.png,1\n",
        "file,label\na.png,tumor\n",
        "file,label\na.png\n",
        "file,label\na.png,2\n",
        "label,file\n1\n",
        "\xff",
    ],
    ids=["missing", "other columns", "a word", "no label", "another number", "no file", "not UTF-8"],
)
def test_datalist_of_a_bad_table_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "labels.csv"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"labels\.csv: .*expected a CSV with the columns file and label"):
        patch_datalist(tables=[path])


def test_a_byte_order_mark_and_blanks_make_no_difference(table: Path) -> None:
    expected = patch_datalist(tables=table)
    for text in (
        "file,label\npatches/a.png,1\npatches/b.png,0\n",
        "file, label\r\npatches/a.png, 1\r\n\r\npatches/b.png,0",
    ):
        table.write_text(text, encoding="utf-8-sig")
        assert patch_datalist(tables=table) == expected


# --- pictures -----------------------------------------------------------------------------------------------------


def test_picture_at_the_models_resolution_is_taken_as_it_is(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", (256, 256))
    np.testing.assert_array_equal(read(path), np.asarray(Image.open(path)))


def test_larger_picture_is_cropped_around_its_center(tmp_path: Path) -> None:
    pixels = read(write_picture(tmp_path / "a.png", (210, 250)), size=200)
    np.testing.assert_array_equal(pixels[:, 0, 0], np.arange(5, 205))
    np.testing.assert_array_equal(pixels[0, :, 1], np.arange(25, 225))


def test_coarse_picture_is_enlarged_around_its_center(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", (96, 96))
    pixels = read(path).astype(float)
    assert pixels.shape == (256, 256, 3)
    # four pixels for one, and the center stays where it is: (96 - 1) / 2 between the middle pixels
    expected = 47.5 + (np.arange(256) - 127.5) / 4
    np.testing.assert_allclose(pixels[:, 128, 0], expected, atol=0.51)
    np.testing.assert_allclose(pixels[128, :, 1], expected, atol=0.51)


def test_coarse_picture_agrees_with_cropping_56_and_enlarging_to_224(tmp_path: Path) -> None:
    # what PatchCamelyon's patches need for a network of 224 px; inside, away from the crop's own border
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(coarse).save(tmp_path / "a.png")
    by_hand = Image.fromarray(coarse[20:76, 20:76]).resize((224, 224), Image.Resampling.BICUBIC)
    found = read(tmp_path / "a.png")[16:240, 16:240]
    np.testing.assert_array_equal(found[8:-8, 8:-8], np.asarray(by_hand)[8:-8, 8:-8])


def test_label_and_types(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", (256, 256))
    found = PatchImageDataset([{"image": str(path), "label": 1.0}])[0]
    assert (found["image"].dtype, found["image"].shape) == (torch.uint8, (3, 256, 256))
    assert (found["label"].dtype, found["label"].shape) == (torch.float32, (1, 1, 1))
    assert found["label"].item() == 1


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_pictures_of_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    Image.new("RGB", (256, 256), (90, 90, 90)).convert(mode).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").shape == (256, 256, 3)


@pytest.mark.parametrize("shape", [(200, 256), (256, 200), (96, 60)])
def test_small_picture_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = write_picture(tmp_path / "a.png", shape)
    with pytest.raises(InputError, match=r"a\.png: a patch must have at least (64|256) px a side, but has"):
        read(path)


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_unreadable_picture_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.jpg: not a readable picture"):
        read(path)


def test_truncated_picture_is_refused(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", (256, 256))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"a\.png: not a readable picture"):
        read(path)


def test_the_overlays_preprocessing_gives_the_networks_patches(folder: Path, table: Path) -> None:
    configs = Path(bundle_root()) / "configs"
    parser = ConfigParser()
    parser.read_config([configs / "train.json", configs / "train_patches.json"])
    parser.update({"validation_folders": [str(folder)], "validation_tables": [str(table)]})
    dataset = parser.get_parsed_content("validate#dataset")
    assert len(dataset) == 10
    prepare = parser.get_parsed_content("validate#prepare_batch")
    (batch,) = list(parser.get_parsed_content("validate#dataloader"))
    image, label = prepare(batch, torch.device("cpu"))
    assert image.shape == (10, 3, 224, 224)
    assert label.shape == (10, 1, 1, 1)
    for index in (0, 9):
        expected = (100 if index == 0 else 50) / 127.5 - 1
        torch.testing.assert_close(image[index], torch.full((3, 224, 224), expected), rtol=0, atol=1e-6)


def test_tables_may_count_several_times(folder: Path, table: Path) -> None:
    found = patch_datalist([folder], [table], table_repeats=3)
    assert len(found) == 8 + 3 * 2
    assert found[8:10] == found[10:12] == found[12:14]


@pytest.mark.parametrize("cache", [None, "cpu"])
def test_batches_hold_the_patches_asked_for(tmp_path: Path, cache: str | None) -> None:
    paths = [write_picture(tmp_path / f"{value}.png", (96, 96), value) for value in (10, 20, 30)]
    data = [{"image": str(path), "label": float(index == 1)} for index, path in enumerate(paths)]
    dataset = PatchImageDataset(data, size=64, coarse_factor=1, cache=cache)
    batch = dataset.__getitems__([2, 1, 1])
    assert batch["image"].shape == (3, 3, 64, 64)
    assert batch["image"].dtype == torch.uint8
    assert batch["image"][:, 0, 5, 5].tolist() == [30, 20, 20]
    assert batch["label"].flatten().tolist() == [0, 1, 1]
    for index in range(3):
        assert dataset[index]["image"].equal(dataset.__getitems__([index])["image"][0])
    if cache:
        for path in paths:
            path.unlink()
        assert dataset[0]["image"].max() == 10, "read once"


def test_a_cache_names_the_picture_that_cannot_be_read(tmp_path: Path) -> None:
    data = [{"image": str(tmp_path / "none.png"), "label": 0.0}]
    with pytest.raises(InputError, match=r"none\.png: not a readable picture"):
        PatchImageDataset(data, cache="cpu")


def test_the_screening_model_sees_patches_at_10x_as_they_are(folder: Path) -> None:
    configs = Path(bundle_root()) / "configs"
    parser = ConfigParser()
    parser.read_config([configs / "train.json", configs / "train_patches.json", configs / "train_10x.json"])
    parser.update({"train_folders": [str(folder)], "validation_folders": [str(folder)]})
    parser.update({"device": torch.device("cpu")})
    write_picture(folder / "0" / "0.png", (96, 96))
    pixels = parser.get_parsed_content("train#dataset")[0]["image"]
    np.testing.assert_array_equal(pixels[0, :, 0], np.arange(96))
    network = parser.get_parsed_content("network")
    assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 1, 1, 1)
