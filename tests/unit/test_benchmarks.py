"""The benchmarks' slides, pages and samples of memory. Patches here are synthetic."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from scripts.errors import InputError
from scripts.slides.pyramid import downsample_image
from scripts.slides.slide import open_slide
from scripts.synthetic.forms import write_slide

ROOT = Path(__file__).parents[2]
SHAPE = (1728, 2368)  # 6.75 x 9.25 cells


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def _patches() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Smooth patches, which JPEG keeps well; each has a color of its own and its upper left darker."""
    colors = np.array([(200, 120, 180), (150, 90, 160), (120, 60, 140), (90, 40, 110), (170, 60, 60)], dtype=np.float64)
    shade = 1 - 0.3 * np.add.outer(np.arange(256)[::-1], np.arange(256)[::-1]) / 510
    return (colors[:, None, None] * shade[..., None]).astype(np.uint8), np.array([False, False, False, True, True])


def _layout(tissue: float = 0.4, tumor: float = 0.25, shape: tuple[int, int] = SHAPE) -> npt.NDArray[np.int64]:
    from slides import make_layout

    found: npt.NDArray[np.int64] = make_layout(shape, _patches()[1], tissue, tumor, num_blobs=2, seed=1)
    return found


def _painted(images: npt.NDArray[np.uint8], layout: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """The slide, painted patch by patch, with the cells that reach beyond its edge."""
    image = np.full((layout.shape[0] * 256, layout.shape[1] * 256, 3), 243, dtype=np.uint8)
    for row, col in np.ndindex(layout.shape):
        if layout[row, col] >= 0:
            image[256 * row : 256 * row + 256, 256 * col : 256 * col + 256] = images[layout[row, col]]
    return image


@pytest.mark.parametrize("backend", ["openslide", pytest.param("cucim", marks=pytest.mark.cucim)])
def test_mosaic_shows_the_layout_at_every_level(tmp_path: Path, backend: str) -> None:
    from slides import write_mosaic

    images, _ = _patches()
    layout = _layout()
    write_mosaic(tmp_path / "mosaic.tif", images, layout, SHAPE, quality=95)
    expected = _painted(images, layout)
    with open_slide(tmp_path / "mosaic.tif", backend) as slide:
        assert slide.backend == backend
        assert slide.vendor == "philips"
        assert slide.shape == tuple(-(-side // 512) * 512 for side in SHAPE)
        assert slide.downsamples == (1, 2, 4, 8, 16, 32, 64)
        assert slide.mpp == pytest.approx(0.243, rel=1e-5)
        for downsample in (1.0, 4.0, 16.0):
            side = tuple(int(length // downsample) for length in SHAPE)
            found = slide.read_region((0.0, 0.0), (side[0], side[1]), downsample).astype(int)
            wanted = downsample_image(expected, int(downsample))[: side[0], : side[1]].copy()
            for row, col in np.ndindex(*(-(-length // 512) for length in side)):
                tile = wanted[512 * row : 512 * row + 512, 512 * col : 512 * col + 512]
                if (tile == 243).all():
                    tile[:] = 255  # not stored
            assert np.abs(found - wanted).mean() < 2
            assert (np.abs(found - wanted).max(axis=-1) > 24).mean() < 0.02  # JPEG, at the seams


def test_layout_has_the_shares_asked_for_and_a_margin() -> None:
    _, is_tumor = _patches()
    layout = _layout()
    assert layout.shape == (7, 10)
    is_tissue = layout >= 0
    assert is_tissue.sum() == round(0.4 * 6 * 9)
    assert is_tumor[layout[is_tissue]].sum() == round(0.25 * is_tissue.sum())
    assert not is_tissue[[0, 5, 6]].any()
    assert not is_tissue[:, [0, 8, 9]].any()


def test_less_tissue_is_a_part_of_more() -> None:
    shape = (6400, 8192)
    half, whole = _layout(0.3, 0.0, shape), _layout(0.6, 0.0, shape)
    assert (whole >= 0).sum() == 2 * (half >= 0).sum()
    assert np.array_equal(whole[half >= 0], half[half >= 0])


def test_layout_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at most the 28 allowed cells"):
        _layout(0.9)


def test_huge_slide_has_its_levels(tmp_path: Path) -> None:
    from slides import write_mosaic

    shape, images = (30_011, 20_001), _patches()[0]
    layout = _layout(0.02, 0.1, shape)
    write_mosaic(tmp_path / "huge.tif", images, layout, shape)
    with open_slide(tmp_path / "huge.tif") as slide:
        assert slide.level_shapes[:3] == ((30_208, 20_480), (15_104, 10_240), (7552, 5120))
        assert slide.level_shapes[-1] == (472, 320)
        overview = slide.read_overview(64)
    is_tissue = np.kron(layout >= 0, np.ones((4, 4), dtype=bool))[: overview.shape[0], : overview.shape[1]]
    is_tissue = np.pad(is_tissue, [(0, got - made) for got, made in zip(overview.shape, is_tissue.shape, strict=False)])
    assert ((overview.min(axis=-1) < 225) == is_tissue).mean() > 0.995


def test_block_of_a_page_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    from report import replace_block

    page = tmp_path / "page.md"
    page.write_text("# A\n<!-- begin b -->\nold\n<!-- end b -->\ntail\n", encoding="utf-8")
    for content in ("new\n", "| µ |\n"):
        replace_block(page, "b", content)
    assert page.read_text(encoding="utf-8") == "# A\n<!-- begin b -->\n| µ |\n<!-- end b -->\ntail\n"
    with pytest.raises(InputError, match="expected the lines '<!-- begin c -->'"):
        replace_block(page, "c", "new")


def test_compare_counts_crossings_and_common_detections_inside_the_mask() -> None:
    from comparison import compare

    first = np.zeros((40, 60))
    first[5, 9], first[30, 50], first[39, 0] = 0.9, 0.8, 0.99
    second = first.copy()
    second[30, 50], second[30, 20], second[39, 0] = 0.4, 0.7, 0.0
    mask = np.ones_like(first, dtype=bool)
    mask[39] = False
    assert compare(first, second, mask) == ["7.0e-01", f"{100 * 2 / (39 * 60):.2f} %", "2 and 2", "1"]


def test_memory_counts_children_and_shared_pages_once() -> None:
    from memory import tree_memory

    code = """
import os, sys
block = bytearray(os.urandom(1 << 20) * 64)
if os.fork() == 0:
    sys.stdin.read(); os._exit(0)
print("ready", flush=True); sys.stdin.read(); os.wait()
"""
    process: subprocess.Popen[Any]
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = tree_memory(process.pid)
        process.communicate(b"")
    assert found.num_processes == 2
    assert found.rss > 2 * (64 << 20)
    assert 64 << 20 < found.pss < 100 << 20


def test_split_keeps_back_a_quarter_of_each_class() -> None:
    from split_table import split_rows

    rows = [{"file": str(index), "label": "1" if index % 9 == 0 else "0"} for index in range(90)]
    splits = split_rows(rows)
    assert [sum(row["label"] == "1" for row in splits[name]) for name in ("train.csv", "valid.csv")] == [7, 3]
    assert sorted(row["file"] for part in splits.values() for row in part) == sorted(row["file"] for row in rows)


# --- the plan of many slides -----------------------------------------------------------------------------------------


def test_plan_multiplies_what_it_is_given(tmp_path: Path) -> None:
    from plan import parse, plan_rows

    figures = ["--mm2_per_second", "0.5", "--mm2_per_slide", "49.5", "--seconds_per_slide", "1", "--gb_per_slide", "2"]
    rows = {row[0]: row[1:] for row in plan_rows(parse([*figures, "--days", "1", "--price_hour", "3"]))}
    assert rows["storage of slides, TB"] == ["20.0", "2,000.0"]
    assert rows["computing, hours of one worker"] == ["278", "27,778"]  # 100 s a slide
    assert rows["such workers for 1 days"] == ["12", "1,157"]
    assert rows["transfer meanwhile, Gbit/s in all"] == ["1.85", "185.19"]
    assert rows["price of computing"] == ["833", "83,333"]

    run = tmp_path / "run.json"
    run.write_text('{"mm2_per_second": 0.25, "tissue_mm2": 60.0, "slides_done": [{}, {}, {}]}')
    arguments = parse(["--run", str(run)])
    assert (arguments.mm2_per_second, arguments.mm2_per_slide) == (0.25, 20.0)


def test_a_training_curve_is_read_from_events_and_from_what_was_printed(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter
    from training_curves import main, read_curve

    expected = {1: 0.75, 2: 0.875, 4: 0.8125}
    with SummaryWriter(str(tmp_path / "run")) as writer:
        for epoch, value in expected.items():
            writer.add_scalar("val_auc", value, epoch)
    lines = [
        f"INFO - Epoch[{epoch}] Metrics -- val_accuracy: 0.7 val_auc: {value}" for epoch, value in expected.items()
    ]
    others = ["training: [1/2]", "Epoch[7] Complete, val_auc: 0.9", "Epoch[8] Metrics -- train_accuracy: 0.9"]
    (tmp_path / "printed.log").write_text("\r".join([*others, *lines, "val_auc best value: 0.9 at epoch: 2"]))
    assert read_curve(tmp_path / "run") == expected
    assert read_curve(tmp_path / "printed.log") == expected
    (tmp_path / "empty.log").write_text("nothing")
    with pytest.raises(ValueError, match=r"empty\.log: expected epochs with val_auc"):
        read_curve(tmp_path / "empty.log")
    main([str(tmp_path / "run"), str(tmp_path / "printed.log"), "--output", str(tmp_path / "curves.png")])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_stopwatch_tells_steps_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    import stopwatch
    from ignite.engine import Engine

    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "monotonic", lambda: now[0])

    def batches() -> Any:
        for _ in range(4):
            now[0] += 0.25  # reading
            yield None

    def step(engine: Engine, batch: Any) -> None:
        now[0] += 1.0

    engine = Engine(step)
    watch = stopwatch.Stopwatch(skipped=1)
    watch.attach(engine)
    engine.run(batches(), epoch_length=4)
    steps, seconds, waited = watch.result()
    assert (steps, seconds, waited) == (3, pytest.approx(3.75), pytest.approx(0.75))


def _stripes(side: int = 96, period: int = 12) -> Image.Image:
    """Stripes across, of a color that no stain has alone."""
    light = (np.arange(side) // (period // 2) % 2)[None, :, None] * [90, 60, 40] + [140, 90, 150]
    return Image.fromarray(np.repeat(light, side, axis=0).astype(np.uint8))


def test_a_change_keeps_a_patch_its_size_and_does_what_it_is_called() -> None:
    from robustness import CHANGES

    patch = _stripes()
    changed = {name: change(patch) for name, change in CHANGES.items()}
    assert {image.size for image in changed.values()} == {(96, 96)}
    assert changed["as they are"] == patch
    largest = {name: np.abs(np.diff(np.asarray(image)[48, :, 0].astype(int))).max() for name, image in changed.items()}
    steps = [largest[f"blurred by a Gaussian of {sigma} px"] for sigma in ("1", "0.5")]
    steps += [largest["as they are"], largest["sharpened (unsharp mask, 1 px, 100 %)"]]
    assert steps == sorted(set(steps))
    assert np.abs(np.asarray(changed["JPEG of quality 30"]).astype(int) - np.asarray(patch)).max() > 18
    stained = np.asarray(changed["stains jittered by 0.4"]).astype(int) - np.asarray(patch)
    assert np.abs(stained.mean(axis=(0, 1))).max() > 3
    edges = np.flatnonzero(np.diff((np.asarray(changed["10 % larger"])[48, :, 0] > 185).astype(int)))
    assert np.mean(np.diff(edges)) == pytest.approx(6 * 1.1, abs=0.15)


def test_a_patch_at_40x_lies_in_the_middle_of_its_mirrored_one() -> None:
    from robustness import reduced

    patch = np.kron(np.arange(64 * 64, dtype=np.int64).reshape(64, 64) % 251, np.ones((4, 4))).astype(np.uint8)
    found = np.asarray(reduced(Image.fromarray(np.repeat(patch[..., None], 3, axis=2))))
    assert found.shape == (96, 96, 3)
    assert np.array_equal(found[16:80, 16:80, 1], patch[::4, ::4])
    assert np.array_equal(found[:16], found[16:32][::-1])
    assert np.array_equal(found[:, 80:], found[:, 64:80][:, ::-1])


def test_changed_patches_keep_their_labels(tmp_path: Path) -> None:
    from robustness import listed, write_changed

    (tmp_path / "changed").mkdir()
    for label in (0, 1):
        (tmp_path / str(label)).mkdir()
        _stripes(period=12 + 4 * label).save(tmp_path / str(label) / f"p{label}.png")
    files = listed([str(tmp_path)], [])
    table = write_changed(lambda image: image.transpose(Image.Transpose.ROTATE_90), files, tmp_path / "changed")
    for (path, label), (source, wanted) in zip(listed([], [str(table)]), files, strict=True):
        assert label == wanted
        assert np.array_equal(np.asarray(Image.open(path)), np.rot90(np.asarray(Image.open(source))))


@pytest.mark.cucim
def test_readers_are_compared_in_turns(tmp_path: Path) -> None:
    from reading import measure, paint, read_regions, read_tiles

    images, layout = _patches()[0], _layout(shape=(2048, 2560))
    image = paint(images, layout)
    np.testing.assert_array_equal(image, _painted(images, layout))
    write_slide(tmp_path / "a.tif", image, 0.243)
    for read in (read_regions, read_tiles):
        rates, ratio = measure(read, tmp_path / "a.tif", num_regions=2, num_rounds=2)
        assert set(rates) == {"cucim", "openslide"}
        assert min(*rates.values(), ratio) > 0


# --- the cascade ----------------------------------------------------------------------------------------------------


def test_a_limit_loses_as_many_tumor_patches_as_allowed_and_no_more() -> None:
    from cascade import limit_for

    tumor = np.random.default_rng(3).random(1000) ** 6
    for lost in (0.0, 0.01, 0.2):
        limit = limit_for(tumor, lost)
        assert np.mean(tumor <= limit) <= lost
        assert np.mean(tumor <= 1.02 * limit + 1e-5) >= lost, "a larger limit of three digits would lose more"


def test_tumor_counts_in_the_middle_of_a_patch() -> None:
    from cascade import middle_tumor

    mask = np.zeros((160, 192), dtype=bool)
    mask[70, 100] = True  # row 64 to 95 is the middle of the second patch, column 96 to 127 that of the third
    found = middle_tumor(mask)
    assert found.shape == (3, 4)
    assert np.argwhere(found).tolist() == [[1, 2]]


def test_a_detection_is_lost_if_none_is_near() -> None:
    from cascade import NMS_RADIUS, num_lost

    assert num_lost({(10, 10), (50, 50)}, {(10, 10 + NMS_RADIUS), (50, 51 + NMS_RADIUS)}) == 1
    assert num_lost(set(), {(1, 1)}) == 0


def test_a_large_slide_has_bands_of_pictures_beside_their_mirror_images_and_one_square_of_tumor() -> None:
    from large_slide import cut, lay_out

    shape, tumor = (20_500, 30_000), np.arange(512, 524)
    layout = lay_out(shape, 2, tumor, 0.2, seed=1)
    assert layout.shape == (81, 118)
    squares = layout[:80, :112].reshape(10, 8, 14, 8).swapaxes(1, 2).reshape(-1, 64)
    tissue = squares[squares[:, 0] >= 0]
    assert len(tissue) == round(0.2 * 140)
    is_tumor = tissue[:, 0] >= 512
    assert is_tumor.sum() == 1
    assert {tuple(square - square[0]) for square in tissue[~is_tumor]} == {tuple(range(64))}
    assert (np.diff(tissue[~is_tumor][:, 0] // 256) >= 0).all(), "a band of each picture"
    assert abs((tissue[:, 0] < 256).sum() - 14) <= 1

    image = np.random.default_rng(0).integers(0, 256, (2048, 2048, 3), dtype=np.uint8)
    patches = cut(image)
    np.testing.assert_array_equal(patches[8 * 3 + 5], image[768:1024, 1280:1536])
    rows = np.concatenate([layout[:80, :112][row : row + 1] for row in range(80)])
    beside = [(rows[:, 7::8][:, :-1], rows[:, 8::8], (slice(None), -1), (slice(None), 0))]
    beside.append((rows[7::8][:-1], rows[8::8], (-1, slice(None)), (0, slice(None))))
    num_seams = 0
    for first, second, end, start in beside:
        same = (first >= 0) & (second >= 0) & (first < 512) & (second < 512) & (first // 256 == second // 256)
        for one, other in zip(first[same] % 256, second[same] % 256, strict=True):
            np.testing.assert_array_equal(patches[one][end], patches[other][start])
            num_seams += 1
    assert num_seams > 100


def test_each_patch_is_judged_by_what_was_fitted_on_the_other_half() -> None:
    import calibration

    halves: list[set[float]] = []

    def fit(logits: npt.NDArray[np.float64], is_tumor: npt.NDArray[np.bool_]) -> tuple[float, float]:
        assert ((logits > 50) == is_tumor).all(), "labels stay with their patches"
        halves.append(set(logits))
        return 2.0, 1000.0 * len(halves)

    logits = np.arange(1.0, 102.0)
    changed = calibration.judged_on_the_other_half(fit, logits, logits > 50, np.random.default_rng(0))
    first, second = halves
    assert first | second == set(logits)
    assert not first & second
    assert abs(len(first) - len(second)) == 1
    offsets = np.array([2000.0 if logit in first else 1000.0 for logit in logits])
    np.testing.assert_array_equal(changed, logits / 2 + offsets)


def test_right_probabilities_have_the_error_of_chance() -> None:
    import calibration

    rng = np.random.default_rng(0)
    few, many = (calibration.error_of_right_probabilities(rng.normal(0, 2, size), 20, rng) for size in (100, 10_000))
    assert many < 0.012 < 0.05 < few


def test_streams_are_compared_with_one_tile_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import streams
    from inference import Run

    from scripts.network import runtime, transfers

    class Pipeline:
        def __init__(self, overrides: dict[str, str]) -> None:
            assert overrides == {"mode": "dense"}
            self.num_streams = runtime.count_streams(4)

        def run(self, slide: Path, foreground_dir: Path | None) -> Run:
            assert transfers.count_streams(4) == self.num_streams
            return Run({1: 3.0, 2: 2.0}[self.num_streams], 1, np.full((1, 1), 0.25 * self.num_streams), {}, None)

    monkeypatch.setattr(streams, "Pipeline", Pipeline)
    table = streams.measure(["dense"], Path("a.tif"), 3, 0)
    assert [cell.strip() for cell in table.splitlines()[-1].split("|")[1:-1]] == [
        *("dense", "alone", "3.00", "2.00", "0.67", "1.00 and 1.00", "0.2")
    ]
