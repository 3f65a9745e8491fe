from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from ignite.engine import Engine, Events

from helpers.ahead import come_late
from scripts.errors import InputError
from scripts.inference.handlers import ProbabilityMapWriter
from scripts.inference.slide_queue import SlideQueue
from scripts.inference.tile_inferer import SlidingInferer
from scripts.inference.tile_plan import SlidePlan, Tile
from scripts.inference.tile_sampler import TileSampler
from scripts.inference.tiles import TileDataset
from scripts.masks.foreground import ForegroundSettings
from scripts.network.preprocessing import PrepareTile, Scaling

SIDECAR_KEYS = {
    *("slide", "shape", "stride", "mpp", "model_downsample", "mask", "backend", "num_positions", "num_tiles", "notes"),
    *("max_probability", "seconds", "mode", "agreement", "refined_positions", "weights", "weights_sha256", "versions"),
    *(
        "slide_bytes",
        "slide_modified",
        "mode_asked",
        "runtime",
        "precision",
        "refine_above",
        "refine_below",
        "tta",
        "model_mpp",
    ),
    *("weights_purpose", "patch_size", "tile_size", "reader", "assume_mpp", "foreground", "bundle_version"),
    *("bounds_origin", "bounds_shape", "cucim_fault", "artifacts", "sharpness", "skip_artifacts", "appearance"),
}
INFERER = SlidingInferer(precision="float32")


def make_plan(path: str, num_tiles: int, num_positions: int = 6) -> SlidePlan:
    return SlidePlan(path, (301, 449), 0.25, 64, 1.0, (5, 8), "Otsu on saturation", "cucim", num_positions, num_tiles)


def make_tile(path: str, location: tuple[int, int], positions: Any, num_tiles: int = 1) -> Tile:
    return Tile(path, make_plan(path, num_tiles), location, np.array(positions, dtype=bool))


def pred(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)[None, None]


@pytest.fixture
def sampler() -> TileSampler:
    return TileSampler(TileDataset([{"image": "data/a.tif"}, {"image": "data/b.svs"}]))


@pytest.fixture
def writer(tmp_path: Path, sampler: TileSampler) -> ProbabilityMapWriter:
    weights = tmp_path / "weights" / "model.pt"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    return ProbabilityMapWriter(tmp_path / "maps", sampler, INFERER, weights)


def run(writer: ProbabilityMapWriter, items: list[tuple[Tile, torch.Tensor | None]]) -> None:
    """Run an engine over tiles and the network's outputs for them."""

    def step(engine: Engine, item: tuple[Tile, torch.Tensor | None]) -> dict[str, Any]:
        engine.state.batch = {"tile": item[0]}
        return {"pred": torch.empty(1, 1, 0, 0) if item[1] is None else item[1]}

    engine = Engine(step)
    writer.attach(engine)
    engine.run(item for item in items)  # of unknown length, as a loader of tiles


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def read_map(folder: Path, name: str) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    return np.load(folder / f"{name}.npy"), json.loads((folder / f"{name}.json").read_text())


ONE_TILE = (make_tile("data/a.tif", (1, 2), [[1, 0, 1], [1, 1, 1]]), pred([[0.25, 0.9, 0.5], [0.125, 1.0, 0.75]]))

ONE_TILE_OF_B = (make_tile("data/b.svs", (0, 0), [[1]]), pred([[0.5]]))


def test_map_holds_the_probabilities_where_they_belong(tmp_path: Path, writer: ProbabilityMapWriter) -> None:
    run(writer, [ONE_TILE])
    prob_map, _ = read_map(tmp_path / "maps", "a")
    expected = np.zeros((5, 8), dtype=np.float32)
    expected[1, 2:5] = (0.25, 0, 0.5)  # zero where nothing was asked for, whatever came
    expected[2, 2:5] = (0.125, 1.0, 0.75)
    assert prob_map.dtype == np.float32
    np.testing.assert_array_equal(prob_map, expected)


def test_sidecar_says_what_the_map_is(tmp_path: Path, writer: ProbabilityMapWriter) -> None:
    run(writer, [ONE_TILE])
    _, sidecar = read_map(tmp_path / "maps", "a")
    assert sidecar.keys() == SIDECAR_KEYS
    assert sidecar["slide"] == "a.tif"
    assert sidecar["shape"] == [301, 449]
    assert (sidecar["stride"], sidecar["mpp"], sidecar["model_downsample"]) == (64, 0.25, 1.0)
    assert (sidecar["mask"], sidecar["backend"]) == ("Otsu on saturation", "cucim")
    assert (sidecar["num_positions"], sidecar["num_tiles"], sidecar["max_probability"]) == (6, 1, 1.0)
    assert sidecar["mode"] == "sliding"
    assert sidecar["weights"] == "model.pt"
    assert sidecar["weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert sidecar["seconds"] >= 0
    assert {"pathology_tumor_detection", "monai", "torch", "numpy", "openslide-python"} <= sidecar["versions"].keys()
    assert sidecar["versions"]["torch"].startswith(torch.__version__.partition("+")[0])


def test_the_network_is_made_ready_while_the_first_slide_is_planned(
    writer: ProbabilityMapWriter, sampler: TileSampler
) -> None:
    found: list[Any] = []
    engine: Any = Engine(lambda engine, item: None)
    engine.network = torch.nn.Identity()
    engine.inferer = SimpleNamespace(warm_up=lambda *arguments: found.append(arguments))
    engine.prepare_batch = PrepareTile(lambda sample: {"image": sample["image"] * 2.0})
    writer.attach(engine)
    engine.fire_event(Events.STARTED)
    assert sampler.meanwhile is not None
    sampler.meanwhile()
    assert found == [(engine.network, Scaling(2.0, 0.0))]


def test_tiles_of_slides_may_come_in_any_order(tmp_path: Path, writer: ProbabilityMapWriter) -> None:
    items = [
        (make_tile("data/a.tif", (4, 6), [[1]], 2), pred([[0.5]])),
        (make_tile("data/b.svs", (0, 1), [[1], [1]], 2), pred([[0.25], [0.375]])),
        (make_tile("data/a.tif", (0, 0), [[1, 1]], 2), pred([[0.125, 0.75]])),
        (make_tile("data/b.svs", (3, 7), [[1]], 2), pred([[0.875]])),
    ]
    run(writer, items)
    first, _ = read_map(tmp_path / "maps", "a")
    second, _ = read_map(tmp_path / "maps", "b")
    assert (first[4, 6], first[0, 0], first[0, 1], first.sum()) == (0.5, 0.125, 0.75, 1.375)
    assert (second[0, 1], second[1, 1], second[3, 7], second.sum()) == (0.25, 0.375, 0.875, 1.5)


def test_map_is_written_when_its_last_tile_is_in(tmp_path: Path, writer: ProbabilityMapWriter) -> None:
    seen: list[bool] = []

    def step(engine: Engine, item: tuple[Tile, torch.Tensor]) -> dict[str, Any]:
        seen.append((tmp_path / "maps" / "a.npy").exists())
        engine.state.batch = {"tile": item[0]}
        return {"pred": item[1]}

    engine = Engine(step)
    writer.attach(engine)
    tiles = [(make_tile("data/a.tif", (row, 0), [[1]], 3), pred([[0.5]])) for row in range(3)]
    engine.run([*tiles, (make_tile("data/b.svs", (0, 0), [[1]]), pred([[0.5]]))])
    assert seen == [False, False, False, True]
    assert not writer._maps, "nothing is kept"


def test_results_that_come_late_are_taken_in_their_order(
    tmp_path: Path, writer: ProbabilityMapWriter, sampler: TileSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = come_late(monkeypatch)
    items = [(make_tile("data/a.tif", (row, 0), [[1]], 4), pred([[row / 8]])) for row in range(4)]
    seen = []

    def step(engine: Engine, item: tuple[Tile, torch.Tensor]) -> dict[str, Any]:
        seen.append(len(waited))
        engine.state.batch = {"tile": item[0]}
        return {"pred": item[1]}

    engine = Engine(step)
    writer.attach(engine)
    engine.run(items)
    assert seen == [0, 0, 0, 1], "two iterations behind"
    assert waited == [0, 1 / 8, 2 / 8, 3 / 8]
    prob_map, _ = read_map(tmp_path / "maps", "a")
    assert prob_map[:, 0].tolist() == [0, 1 / 8, 2 / 8, 3 / 8, 0]
    assert sampler.settle == writer.settle


def test_late_results_of_a_slide_that_failed_are_left(
    tmp_path: Path, writer: ProbabilityMapWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    come_late(monkeypatch)
    first = make_tile("data/a.tif", (0, 0), [[1]], 3)
    damaged = first._replace(positions=np.zeros((0, 0), dtype=bool), error="data/a.tif: cannot be decoded")
    run(writer, [(first, pred([[float("nan")]])), (first, pred([[0.5]])), (damaged, None), ONE_TILE_OF_B])
    assert files_of(tmp_path / "maps") == ["b.json", "b.npy", "run.json"]
    assert list(writer.failed) == ["data/a.tif"]
    assert "NaN" in writer.failed["data/a.tif"], "what came first"


def test_tiles_that_come_together_go_where_they_belong(tmp_path: Path, writer: ProbabilityMapWriter) -> None:
    tiles = [make_tile("data/a.tif", (1, 2), [[1, 0, 1]], 3), make_tile("data/a.tif", (2, 0), [[1], [1]], 3)]
    values = torch.zeros(2, 1, 2, 3)
    values[0, 0, 0] = torch.tensor([0.25, 0.5, 0.75])
    values[1, 0, :, 0] = torch.tensor([0.125, 0.375])
    run(writer, [(tiles, values), (make_tile("data/a.tif", (0, 0), [[1]], 3), pred([[1.0]]))])  # type: ignore[list-item]
    prob_map, _ = read_map(tmp_path / "maps", "a")
    expected = np.zeros((5, 8), dtype=np.float32)
    expected[1, 2:5] = (0.25, 0, 0.75)
    expected[2:4, 0] = (0.125, 0.375)
    expected[0, 0] = 1
    np.testing.assert_array_equal(prob_map, expected)


def test_blank_slide_gives_zeros(tmp_path: Path, writer: ProbabilityMapWriter) -> None:
    plan = make_plan("data/a.tif", 1, 0)
    run(writer, [(Tile("data/a.tif", plan, (0, 0), np.zeros((0, 0), dtype=bool)), None)])
    prob_map, sidecar = read_map(tmp_path / "maps", "a")
    assert prob_map.shape == (5, 8)
    assert not prob_map.any()
    assert (sidecar["num_positions"], sidecar["max_probability"]) == (0, 0)


def test_slides_without_tissue_are_named_at_the_end_of_each_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slides = [tmp_path / f"{name}.tif" for name in "ab"]
    for slide in slides:
        slide.write_bytes(b"pixels")
    for resumed in (False, True):
        dataset = TileDataset([{"image": str(slide)} for slide in slides])
        writer = ProbabilityMapWriter(tmp_path / "maps", TileSampler(dataset), INFERER)
        nothing = np.zeros((0, 0), dtype=bool)
        tiles = [
            (make_tile(str(slides[0]), (0, 0), [[1]]), pred([[0.5]])),
            (
                Tile(str(slides[1]), make_plan(str(slides[1]), 1, 0)._replace(notes=("no tissue",)), (0, 0), nothing),
                None,
            ),
        ]
        caplog.clear()
        run(writer, [] if resumed else tiles)
        writer.finish()
        assert caplog.messages[-1] == "no tissue found on 1 of 2 slides, so 0 everywhere in the map: b.tif"
        summary = json.loads((tmp_path / "maps" / "run.json").read_text())
        assert summary["slides_without_tissue"] == [str(slides[1])]
        assert len(summary["slides_skipped"]) == (2 if resumed else 0)
    assert read_map(tmp_path / "maps", "b")[1]["notes"] == ["no tissue"]


def test_slides_that_were_read_slower_are_counted_by_reason(
    tmp_path: Path, writer: ProbabilityMapWriter, caplog: pytest.LogCaptureFixture
) -> None:
    plans = {name: make_plan(f"data/{name}", 1, 0) for name in ("a.tif", "b.svs")}
    plans["a.tif"] = plans["a.tif"]._replace(backend="openslide", cucim_fault="an odd compression")
    nothing = np.zeros((0, 0), dtype=bool)
    run(writer, [(Tile(plan.path, plan, (0, 0), nothing), None) for plan in plans.values()])
    caplog.clear()
    writer.finish()
    assert (
        "1 slide was read by OpenSlide, several times slower than by cuCIM: an odd compression: a.tif"
        in caplog.messages
    )
    summary = json.loads((tmp_path / "maps" / "run.json").read_text())
    assert summary["slides_without_cucim"] == {"an odd compression": ["data/a.tif"]}
    assert [entry["cucim_fault"] for entry in summary["slides_done"]] == ["an odd compression", None]
    sidecars = [read_map(tmp_path / "maps", name)[1]["cucim_fault"] for name in "ab"]
    assert sidecars == ["an odd compression", None]


def test_run_summary(tmp_path: Path, writer: ProbabilityMapWriter) -> None:
    run(writer, [ONE_TILE, (Tile("data/b.svs", None, (0, 0), np.zeros((0, 0), dtype=bool), "b.svs: broken"), None)])
    summary = json.loads((tmp_path / "maps" / "run.json").read_text())
    (done,) = summary["slides_done"]
    assert (done["slide"], done["num_positions"]) == ("data/a.tif", 6)
    assert summary["slides_failed"] == [{"slide": "data/b.svs", "reason": "b.svs: broken"}]
    assert summary["seconds"] >= 0
    assert summary["weights"] == "model.pt"
    assert "versions" in summary
    assert summary["slides_skipped"] == []
    assert summary["tiles"] == 1
    assert summary["tissue_mm2"] == pytest.approx(5 * (64 * 0.25 / 1000) ** 2, abs=1e-3), "five positions"
    assert set(summary["seconds_in"]) == {"decode", "compute", "write"}
    assert sum(summary["seconds_in"].values()) <= summary["seconds"] + 0.01
    assert summary["bound_by"] in summary["seconds_in"]
    assert (summary["mode"], summary["runtime"], summary["precision"]) == ("sliding", "openvino", "float32")


# --- failures ------------------------------------------------------------------------------------------------------


def test_failed_slide_is_set_aside_and_the_rest_is_done(
    tmp_path: Path, writer: ProbabilityMapWriter, sampler: TileSampler, caplog: pytest.LogCaptureFixture
) -> None:
    failed = Tile("data/b.svs", None, (0, 0), np.zeros((0, 0), dtype=bool), "data/b.svs: no such slide")
    with caplog.at_level(logging.ERROR):
        run(writer, [(failed, None), ONE_TILE])
    assert files_of(tmp_path / "maps") == ["a.json", "a.npy", "run.json"]
    assert [record.getMessage() for record in caplog.records] == ["data/b.svs: no such slide"]
    assert sampler.skip == {"data/b.svs"}
    with pytest.raises(InputError, match=r"1 of 2 slides failed, the others are done .*; first: data/b\.svs: no such"):
        writer.finish()


def test_finish_without_failures_is_silent(writer: ProbabilityMapWriter) -> None:
    run(writer, [ONE_TILE])
    writer.finish()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_output_that_is_no_number_sets_the_slide_aside(
    tmp_path: Path, writer: ProbabilityMapWriter, sampler: TileSampler, value: float
) -> None:
    items = [
        (make_tile("data/a.tif", (0, 0), [[1, 1]], 2), pred([[0.5, value]])),
        (make_tile("data/a.tif", (1, 0), [[1, 1]], 2), pred([[0.5, 0.5]])),  # was on its way already
        (make_tile("data/b.svs", (0, 0), [[1]]), pred([[0.5]])),
    ]
    run(writer, items)
    assert not (tmp_path / "maps" / "a.npy").exists()
    assert (tmp_path / "maps" / "b.npy").exists()
    assert sampler.skip == {"data/a.tif"}
    with pytest.raises(InputError, match="the network gave NaN; check the weights and the precision"):
        writer.finish()


def test_slide_that_fails_halfway_leaves_nothing(tmp_path: Path, writer: ProbabilityMapWriter) -> None:
    first = make_tile("data/a.tif", (0, 0), [[1]], 3)
    damaged = first._replace(positions=np.zeros((0, 0), dtype=bool), error="data/a.tif: cannot be decoded")
    run(writer, [(first, pred([[0.5]])), (damaged, None), (first, pred([[0.5]]))])
    assert files_of(tmp_path / "maps") == ["run.json"]
    assert not writer._maps
    summary = json.loads((tmp_path / "maps" / "run.json").read_text())
    assert summary["slides_done"] == []
    assert len(summary["slides_failed"]) == 1


def test_full_disk_leaves_nothing_half_written(
    tmp_path: Path, writer: ProbabilityMapWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def fail(path: Path, content: bytes) -> None:
        write(path, bytes(content)[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(InputError, match=r"a\.npy: cannot be written \(No space left on device\)"):
        run(writer, [ONE_TILE])
    assert files_of(tmp_path / "maps") == ["run.json"]
    assert json.loads((tmp_path / "maps" / "run.json").read_text())["slides_done"] == []


def test_output_that_is_a_file_is_refused_at_once(tmp_path: Path, sampler: TileSampler) -> None:
    (tmp_path / "maps").write_text("in the way")
    with pytest.raises(InputError, match="maps: cannot be written"):
        ProbabilityMapWriter(tmp_path / "maps", sampler, INFERER)


def test_missing_weights_are_refused_at_once(tmp_path: Path, sampler: TileSampler) -> None:
    with pytest.raises(InputError, match=r"gone\.pt: no such file of weights"):
        ProbabilityMapWriter(tmp_path / "maps", sampler, INFERER, tmp_path / "gone.pt")


def test_weights_that_are_a_folder_are_refused(tmp_path: Path, sampler: TileSampler) -> None:
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        ProbabilityMapWriter(tmp_path / "maps", sampler, INFERER, tmp_path)


def test_without_weights_there_is_no_hash(tmp_path: Path, sampler: TileSampler) -> None:
    run(ProbabilityMapWriter(tmp_path / "maps", sampler, INFERER), [ONE_TILE])
    _, sidecar = read_map(tmp_path / "maps", "a")
    assert sidecar["weights"] is None
    assert sidecar["weights_sha256"] is None


@pytest.mark.parametrize("name", ["run.tif", "a" * 245 + ".tif", ".hidden.tif"])
def test_a_slide_whose_name_cannot_be_kept_is_set_aside_before_it_is_computed(tmp_path: Path, name: str) -> None:
    dataset = TileDataset([{"image": f"data/{name}"}, {"image": "data/b.svs"}])
    for _ in range(2):
        writer = ProbabilityMapWriter(tmp_path / "maps", TileSampler(dataset), INFERER, resume=False)
        run(writer, [(make_tile("data/b.svs", (0, 0), [[1]]), pred([[0.5]]))])
        assert files_of(tmp_path / "maps") == ["b.json", "b.npy", "run.json"]
        (failed,) = json.loads((tmp_path / "maps" / "run.json").read_text())["slides_failed"]
        assert failed["slide"] == f"data/{name}"
        assert failed["reason"].endswith("; rename it")
        with pytest.raises(InputError, match="1 of 2 slides failed"):
            writer.finish()


# --- runs after runs -------------------------------------------------------------------------------------------------


def make_writer(folder: Path, slide: Path, **settings: Any) -> ProbabilityMapWriter:
    dataset = TileDataset([{"image": str(slide)}], **settings)
    return ProbabilityMapWriter(folder, TileSampler(dataset), INFERER)


def test_a_map_that_is_up_to_date_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    slide = tmp_path / "a.tif"
    slide.write_bytes(b"slide")
    run(make_writer(tmp_path / "maps", slide), [(make_tile(str(slide), (0, 0), [[1]]), pred([[0.5]]))])
    before = (tmp_path / "maps" / "a.npy").stat().st_mtime_ns

    second = make_writer(tmp_path / "maps", slide)
    with caplog.at_level(logging.INFO):
        run(second, [])
    assert "1 of 1 slide is done already" in caplog.text
    assert f"0 slides done, 1 up to date, 0 failed; maps in {tmp_path / 'maps'}" in caplog.text
    assert list(second.sampler) == [], "not even opened: it is no slide"
    assert (tmp_path / "maps" / "a.npy").stat().st_mtime_ns == before
    summary = json.loads((tmp_path / "maps" / "run.json").read_text())
    assert summary["slides_skipped"] == [str(slide)]
    assert summary["bound_by"] is None
    second.finish()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"stride": 128}, "stride was 64, is 128"),
        ({"tile_size": 1024}, "tile_size was 2048, is 1024"),
        ({"assume_mpp": 0.5}, "assume_mpp was null, is 0.5"),
        ({"foreground": ForegroundSettings(min_contrast=0.1)}, "foreground was"),
    ],
    ids=["stride", "tile_size", "assume_mpp", "foreground"],
)
def test_other_settings_compute_again_and_say_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], reason: str
) -> None:
    slide = tmp_path / "a.tif"
    slide.write_bytes(b"slide")
    run(make_writer(tmp_path / "maps", slide), [(make_tile(str(slide), (0, 0), [[1]]), pred([[0.5]]))])
    second = make_writer(tmp_path / "maps", slide, **settings)
    with caplog.at_level(logging.WARNING):
        run(second, [])
    assert f"a.tif: computed again: {reason}" in caplog.text
    assert second.skipped == []


@pytest.mark.parametrize(
    ("before", "after", "remark"),
    [
        ({}, {}, "; the map that is there stays"),
        ({"assume_mpp": 0.25}, {}, "; the map that is there stays, it was made with --assume_mpp 0.25"),
        (
            {"assume_mpp": 0.25},
            {"assume_mpp": 0.5},
            "; the map that is there stays, it was made with --assume_mpp 0.25",
        ),
        ({"assume_mpp": 0.25}, {"assume_mpp": 0.25}, "; the map that is there stays"),
        ({}, {"assume_mpp": 0.25}, "; the map that is there stays"),
    ],
)
def test_a_slide_that_fails_keeps_its_older_map(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], remark: str
) -> None:
    slide = tmp_path / "a.tif"
    slide.write_bytes(b"slide")
    run(make_writer(tmp_path / "maps", slide, **before), [(make_tile(str(slide), (0, 0), [[1]]), pred([[0.5]]))])
    made = [(tmp_path / "maps" / name).read_bytes() for name in ("a.npy", "a.json")]
    slide.write_bytes(b"another slide")
    broken = Tile(str(slide), None, (0, 0), np.zeros((0, 0), dtype=bool), "a.tif: broken")
    run(make_writer(tmp_path / "maps", slide, **after), [(broken, None)])
    assert [(tmp_path / "maps" / name).read_bytes() for name in ("a.npy", "a.json")] == made
    (failed,) = json.loads((tmp_path / "maps" / "run.json").read_text())["slides_failed"]
    assert failed["reason"] == f"a.tif: broken{remark}"


def test_a_failure_is_listed_until_it_is_mended(tmp_path: Path) -> None:
    def failed() -> list[str]:
        summary = json.loads((tmp_path / "maps" / "run.json").read_text())
        return [entry["slide"] for entry in summary["slides_failed"]]

    slides = [str(tmp_path / name) for name in ("a.tif", "b.tif")]
    for slide in slides:
        Path(slide).write_bytes(b"slide")
    broken = Tile(slides[0], None, (0, 0), np.zeros((0, 0), dtype=bool), "a.tif: broken")
    run(make_writer(tmp_path / "maps", Path(slides[0])), [(broken, None)])
    run(make_writer(tmp_path / "maps", Path(slides[1])), [(make_tile(slides[1], (0, 0), [[1]]), pred([[0.5]]))])
    assert failed() == [slides[0]], "neither done nor given"
    run(make_writer(tmp_path / "maps", Path(slides[1])), [])
    assert failed() == [slides[0]]
    run(make_writer(tmp_path / "maps", Path(slides[0])), [])
    assert failed() == [slides[0]], "given, but the run ended before"
    run(make_writer(tmp_path / "maps", Path(slides[0])), [(make_tile(slides[0], (0, 0), [[1]]), pred([[0.5]]))])
    assert failed() == []


def test_without_resume_all_is_computed(tmp_path: Path) -> None:
    slide = tmp_path / "a.tif"
    slide.write_bytes(b"slide")
    run(make_writer(tmp_path / "maps", slide), [(make_tile(str(slide), (0, 0), [[1]]), pred([[0.5]]))])
    dataset = TileDataset([{"image": str(slide)}])
    writer = ProbabilityMapWriter(tmp_path / "maps", TileSampler(dataset), INFERER, resume=False)
    run(writer, [])
    assert writer.skipped == []


def test_an_error_in_the_run_is_passed_on_and_what_is_done_is_noted(tmp_path: Path, sampler: TileSampler) -> None:
    writer = ProbabilityMapWriter(tmp_path / "maps", sampler, INFERER)

    def step(engine: Engine, item: Any) -> dict[str, Any]:
        if item is None:
            raise ZeroDivisionError("in the network")
        engine.state.batch = {"tile": item[0]}
        return {"pred": item[1]}

    engine = Engine(step)
    writer.attach(engine)
    with pytest.raises(ZeroDivisionError, match="in the network"):
        engine.run([ONE_TILE, None])
    summary = json.loads((tmp_path / "maps" / "run.json").read_text())
    assert [done["slide"] for done in summary["slides_done"]] == ["data/a.tif"]
    ProbabilityMapWriter(tmp_path / "maps", sampler, INFERER).results.lock(seconds=0)


# --- several processes ------------------------------------------------------------------------------------------------


class TwoProcesses(SlideQueue):
    """A queue of two processes; the other one finishes when it is asked for the third time."""

    num_ranks = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.opened: list[str] = []
        self.told: list[tuple[dict[str, Any], bool]] = []
        self.num_asked = 0

    def open(self, paths: Sequence[str]) -> None:
        self.opened = list(paths)

    def tell(self, part: dict[str, Any], is_last: bool = False) -> None:
        self.told.append((json.loads(json.dumps(part)), is_last))

    def others(self) -> list[dict[str, Any]]:
        if self.num_asked < 3:
            return []
        counts = {"seconds_in": {"decode": 5.0, "compute": 1.0, "write": 0.0}, "tiles": 7, "mm2": 2.0}
        done = [{"slide": "data/b.svs", "num_positions": 3, "seconds": 4.0}]
        return [{"done": done, "failed": {"data/c.tif": "c: broken"}, "timing": counts}]

    def is_finished(self) -> bool:
        self.num_asked += 1
        return self.num_asked > 3


def shared_writer(tmp_path: Path, rank: int) -> tuple[ProbabilityMapWriter, TwoProcesses]:
    queue = TwoProcesses(rank)
    dataset = TileDataset([{"image": f"data/{name}"} for name in ("a.tif", "b.svs", "c.tif")])
    return ProbabilityMapWriter(tmp_path / "maps", TileSampler(dataset, queue), INFERER), queue


def test_the_first_process_sums_up_what_all_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.inference.handlers._WAIT_SECONDS", 0.0)
    writer, queue = shared_writer(tmp_path, rank=0)
    run(writer, [ONE_TILE])
    assert queue.opened == ["data/a.tif", "data/b.svs", "data/c.tif"]
    summary = json.loads((tmp_path / "maps" / "run.json").read_text())
    assert summary["processes"] == 2
    assert [slide["slide"] for slide in summary["slides_done"]] == ["data/a.tif", "data/b.svs"]
    assert summary["slides_failed"] == [{"slide": "data/c.tif", "reason": "c: broken"}]
    assert summary["tiles"] == 8
    with pytest.raises(InputError, match=r"1 of 3 slides failed, the others are done .* first: c: broken"):
        writer.finish()


def test_another_process_leaves_the_folder_to_the_first(tmp_path: Path) -> None:
    first, _ = shared_writer(tmp_path, rank=0)
    first.results.lock()
    writer, queue = shared_writer(tmp_path, rank=1)
    run(writer, [ONE_TILE, (make_tile("data/c.tif", (0, 0), [[1]])._replace(error="c: broken"), None)])
    first.results.unlock()
    assert files_of(tmp_path / "maps") == ["a.json", "a.npy"], "no run.json"
    assert read_map(tmp_path / "maps", "a")[1].keys() == SIDECAR_KEYS
    part, is_last = queue.told[-1]
    assert is_last
    assert [slide["slide"] for slide in part["done"]] == ["data/a.tif"]
    assert part["failed"] == {"data/c.tif": "c: broken"}
    assert part["timing"]["tiles"] == 1
    writer.finish()


def test_an_error_in_another_process_is_passed_on(tmp_path: Path) -> None:
    writer, queue = shared_writer(tmp_path, rank=1)
    engine = Engine(lambda engine, batch: 1 / 0)
    writer.attach(engine)
    with pytest.raises(ZeroDivisionError):
        engine.run([0])
    assert not queue.told
    assert files_of(tmp_path / "maps") == []
