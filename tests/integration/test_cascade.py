"""Mode cascade: its map is that of two networks run by hand, and it is resumed, set aside and shared out as others."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.transforms import Activationsd, ScaleIntensityRanged
from PIL import Image

from helpers.ahead import come_late, feed_ahead
from helpers.dense_networks import unpadded_network
from helpers.forked_commands import Started
from helpers.torchrun import torchrun
from integration.conftest import Outcome
from scripts import bundle_root
from scripts.cluster.worker import SlideWorker
from scripts.geometry import map_shape
from scripts.inference.handlers import ProbabilityMapWriter
from scripts.inference.inferers import make_inferer
from scripts.inference.screening import make_screen
from scripts.inference.tile_loader import TileLoader
from scripts.inference.tile_sampler import TileSampler
from scripts.inference.tiles import TileDataset
from scripts.network.preprocessing import PrepareTile
from scripts.slides.pyramid import downsample_image, write_pyramid

pytestmark = [pytest.mark.integration, pytest.mark.slow]

Command = Callable[..., Outcome]
ROOT = Path(__file__).parents[2]
CONFIG = Path(bundle_root()) / "configs" / "inference.json"
SHAPE = (1501, 2203)
NAMES = ["first", "second", "third"]


def stained(shape: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """Tissue of random colors, which differ at the resolution of the screen, too, with a margin of glass."""
    rng = np.random.default_rng(seed)
    image = np.full((*shape, 3), 240, dtype=np.uint8)
    height, width = shape[0] - 150, shape[1] - 270
    blocks = rng.normal((170, 80, 150), 40, (height // 32 + 1, width // 32 + 1, 3)).clip(0, 255).astype(np.uint8)
    image[97 : 97 + height, 113 : 113 + width] = blocks.repeat(32, axis=0).repeat(32, axis=1)[:height, :width]
    return image


def by_hand(
    image: npt.NDArray[np.uint8], network: torch.nn.Module, stride: int, side: int, mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Probabilities of patches cut one by one from a level; strides are in its pixels. 0 outside of the mask."""
    found = np.zeros(mask.shape, dtype=np.float32)
    padded = np.pad(image, ((side, side + stride), (side, side + stride), (0, 0)), constant_values=255)
    with torch.no_grad():
        for row, col in np.argwhere(mask).tolist():
            top, left = (place * stride + stride // 2 - side // 2 + side for place in (row, col))
            pixels = padded[top : top + side, left : left + side].astype(np.float32)
            patch = torch.from_numpy(pixels.transpose(2, 0, 1) / 127.5 - 1)[None]
            found[row, col] = network(patch).sigmoid().item()
    return found


def run_cascade(
    path: Path,
    folder: Path,
    networks: list[torch.nn.Module],
    screen: dict[str, Any],
    runtime: str = "torch",
    **arguments: Any,
) -> npt.NDArray[np.float32]:
    """The map of a slide by the parts of inference.json."""
    settings = make_screen(mpp=0.972, model_mpp=0.243, patch_size=96, **screen)
    dataset = TileDataset([{"image": str(path)}], mode="cascade", screen=settings, **arguments)
    sampler = TileSampler(dataset)
    inferer = make_inferer("cascade", runtime=runtime, precision="float32", screen=settings, screen_network=networks[0])
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=TileLoader(dataset, sampler),
        network=networks[1],
        prepare_batch=PrepareTile(ScaleIntensityRanged("image", 0, 255, -1, 1)),
        inferer=inferer,
        postprocessing=Activationsd("pred", sigmoid=True),
        val_handlers=[ProbabilityMapWriter(folder, sampler, inferer)],
        decollate=False,
    )
    evaluator.run()
    found: npt.NDArray[np.float32] = np.load(folder / f"{path.stem}.npy")
    return found


@pytest.mark.parametrize(
    ("stride", "factor", "tile_size", "way"),
    [(64, 2, 700, ""), (64, 2, 500, "ahead"), (64, 2, 500, "streams"), (128, 1, 2048, ""), (60, 2, 2048, "")],
)
def test_the_map_is_that_of_the_two_networks_run_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int, factor: int, tile_size: int, way: str
) -> None:
    if way == "ahead":
        feed, waited = feed_ahead(monkeypatch), come_late(monkeypatch)
    if way == "streams":
        for module in ("runtime", "transfers"):
            monkeypatch.setattr(f"scripts.network.{module}.count_threads", lambda: 3)
    image = stained(SHAPE, 3)
    path = tmp_path / "odd.tif"
    write_pyramid(path, image, 0.243, compression=None)
    networks = [unpadded_network(seed=2, side=3), unpadded_network(seed=5)]
    shape = map_shape(SHAPE, stride)
    mask = np.zeros(shape, dtype=bool)
    mask[2:-1, 3:-4] = True
    mask[shape[0] // 3 : shape[0] // 2, shape[1] // 2 :] = False
    mask[[0, -1, 5], [-1, 2, 0]] = True  # at the slide's edges
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(tmp_path / "masks" / "odd.png")

    padded = np.pad(mask, [(0, -side % factor) for side in shape])
    under = np.maximum.reduce([padded[row::factor, col::factor] for row in range(factor) for col in range(factor)])
    screen = by_hand(downsample_image(image, 4), networks[0], factor * stride // 4, 96, under)
    fine = by_hand(image, networks[1], stride, 224, mask)
    highest = np.sort(screen[screen > 0])[-14:-4]
    gap = int(np.diff(highest).argmax())  # readers may differ by a gray level at a coarse level
    above = float(highest[gap : gap + 2].mean())
    expected = np.zeros(shape, dtype=np.float32)
    is_fine = np.zeros(shape, dtype=bool)
    for row, col in np.argwhere(mask).tolist():
        place = row // factor, col // factor
        around = screen[max(0, place[0] - 1) : place[0] + 2, max(0, place[1] - 1) : place[1] + 2]
        is_fine[row, col] = (around > above).any()
        expected[row, col] = fine[row, col] if is_fine[row, col] else screen[place]
    assert 0 < is_fine.sum() < 0.9 * mask.sum()

    margin = 0.9 * factor * stride * 0.243  # rounded up to one position
    found = run_cascade(
        path,
        tmp_path / "maps",
        networks,
        {"above": above, "margin_um": margin},
        "openvino" if way == "streams" else "torch",
        stride=stride,
        tile_size=tile_size,
        foreground_dir=tmp_path / "masks",
    )
    if way == "ahead":
        assert feed.num_sent > len(waited) > 3, "tiles were computed together"
    assert np.ptp(screen[under]) > 0.02
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found[is_fine], expected[is_fine], rtol=0, atol=2e-5)
    sidecar = json.loads((tmp_path / "maps" / "odd.json").read_text())
    assert sidecar["num_positions"] == mask.sum()
    assert sidecar["looked_at"] == pytest.approx(is_fine.sum() / mask.sum(), abs=1e-6)
    assert sidecar["screen_stride"] == factor * stride
    kind = ("dense", "refined") if stride != 60 else ("sliding", "sliding")
    assert (sidecar["mode"], sidecar["screen_mode"], sidecar["look_mode"]) == ("cascade", *kind)


# --- runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """Three slides of unlike size."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for index, name in enumerate(NAMES):
        write_pyramid(folder / f"{name}.tif", stained((901 + 200 * index, 1307 - 100 * index), index), 0.243)
    return folder


@pytest.fixture(scope="module")
def above() -> float:
    """A limit that some positions of each slide exceed."""
    image = downsample_image(stained((1301, 1107), 2), 4)
    everywhere = np.ones((9, 7), dtype=bool)
    return float(np.quantile(by_hand(image, unpadded_network(seed=2, side=3), 32, 96, everywhere), 0.75))


@pytest.fixture
def settings(slides: Path, tmp_path: Path, above: float) -> dict[str, Any]:
    """A run with small networks, whose screen passes a part on."""
    return {
        "network_def": {"_target_": "helpers.dense_networks.padded_network", "scale": 6.0},
        "screen_network_def": {"_target_": "helpers.dense_networks.unpadded_network", "seed": 2, "side": 3},
        "weights": None,
        "screen_weights": None,
        "slides": str(slides),
        "output_dir": str(tmp_path / "maps"),
        "mode": "cascade",
        "screen_above": above,
        "screen_margin_um": 0.0,
        "runtime": "torch",
        "precision": "float32",
        "tile_size": 512,
        "num_workers": 1,
    }


@pytest.fixture
def infer(tumor_detection: Command, settings: dict[str, Any], tmp_path: Path) -> Command:
    """``infer`` with these settings and changes of them."""

    def run(**changes: Any) -> Outcome:
        return tumor_detection("infer", "--config_file", write_overlay(tmp_path / "run.json", settings | changes))

    return run


def write_overlay(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content))
    return path


def maps_of(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in folder.glob("*.npy")}


def sidecar_of(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return content


def test_a_run_goes_on_after_it_was_killed_between_screen_and_look(
    infer: Command, settings: dict[str, Any], tmp_path: Path
) -> None:
    overlay = settings | {"+handlers": [{"_target_": "helpers.cascade_events.KillBeforeLook", "name": "second"}]}
    files = [str(CONFIG), str(write_overlay(tmp_path / "killed.json", overlay))]
    words = ["monai.bundle", "run", "inference", "--config_file", repr(files), "--mode", "cascade"]
    with Started(words, tmp_path) as process:
        assert process.wait() == -signal.SIGKILL, process.said
    assert maps_of(tmp_path / "maps").keys() == {"first"}, "a map is there before the next slide is looked at"

    again = infer()
    assert again.status == 0, again.err
    assert "1 of 3 slides is done already" in again.err
    assert infer(output_dir=str(tmp_path / "whole")).status == 0
    assert maps_of(tmp_path / "maps").keys() == maps_of(tmp_path / "whole").keys() == set(NAMES)
    for name in NAMES:  # other numbers of threads may add up in another order
        found, whole = (np.load(tmp_path / folder / f"{name}.npy") for folder in ("maps", "whole"))
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5)
    shares = [sidecar_of(tmp_path / "maps", name)["looked_at"] for name in NAMES]
    assert all(0 < share < 1 for share in shares), shares
    assert all(sidecar_of(tmp_path / "maps", name)["refined_positions"] for name in NAMES)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"screen_above": 0.9}, "screen_above was 0."),
        ({"screen_margin_um": 40.0}, "screen_margin_um was 0.0, is 40.0"),
        ({"screen_dense": False}, "screen_dense was true, is false"),
        ({"mode": "dense"}, "mode_asked was"),
    ],
)
def test_a_map_of_other_settings_is_computed_again(
    infer: Command, slides: Path, changes: dict[str, Any], reason: str
) -> None:
    one = {"slides": str(slides / "third.tif")}
    assert infer(**one).status == 0
    assert "1 of 1 slide is done already" in infer(**one).err
    outcome = infer(**one, **changes)
    assert outcome.status == 0, outcome.err
    assert f"computed again: {reason}" in outcome.err


def test_other_weights_of_the_screen_compute_again(infer: Command, slides: Path, tmp_path: Path) -> None:
    for seed in (2, 3):
        torch.save(unpadded_network(seed=seed, side=3).state_dict(), tmp_path / f"{seed}.pt")
    one = {"slides": str(slides / "third.tif")}
    assert infer(**one, screen_weights=str(tmp_path / "2.pt")).status == 0
    outcome = infer(**one, screen_weights=str(tmp_path / "3.pt"))
    assert "computed again: screen_weights_sha256 was" in outcome.err
    sidecar = sidecar_of(tmp_path / "maps", "third")
    assert sidecar["screen_weights"] == "3.pt"
    assert sidecar["screen_weights_sha256"] != sidecar["weights_sha256"]


def test_a_slide_that_fails_in_either_turn_is_set_aside(infer: Command, slides: Path, tmp_path: Path) -> None:
    (slides / "broken.tif").write_bytes((slides / "first.tif").read_bytes()[:5000])
    outcome = infer(**{"dataset#_target_": "helpers.cascade_events.SecondFailsAtLook"})
    assert outcome.status == 1
    assert "2 of 4 slides failed, the others are done" in outcome.error
    assert maps_of(tmp_path / "maps").keys() == {"first", "third"}
    failed = json.loads((tmp_path / "maps" / "run.json").read_text())["slides_failed"]
    assert sorted(Path(entry["slide"]).stem for entry in failed) == ["broken", "second"]
    (slides / "broken.tif").unlink()
    outcome = infer()
    assert outcome.status == 0, outcome.err
    assert maps_of(tmp_path / "maps").keys() == set(NAMES)


def test_slides_without_tissue_and_slides_that_the_screen_passes_nothing_of(
    infer: Command, slides: Path, tmp_path: Path
) -> None:
    write_pyramid(slides / "blank.tif", np.full((701, 903, 3), 240, dtype=np.uint8), 0.243)
    outcome = infer(screen_above=0.99)
    assert outcome.status == 0, outcome.err
    assert not np.load(tmp_path / "maps" / "blank.npy").any()
    found, sidecar = np.load(tmp_path / "maps" / "third.npy"), sidecar_of(tmp_path / "maps", "third")
    assert 0 < found.max() < 0.99
    assert (sidecar["looked_at"], sidecar["look_mode"], sidecar["agreement"]) == (0.0, None, None)
    assert sidecar["num_positions"] == (found > 0).sum()
    run = json.loads((tmp_path / "maps" / "run.json").read_text())
    assert [Path(path).stem for path in run["slides_without_tissue"]] == ["blank"]
    assert (run["mode"], run["screen_above"]) == ("cascade", 0.99)


def test_a_slide_of_20x_is_screened_patch_by_patch(infer: Command, tmp_path: Path) -> None:
    path = tmp_path / "coarse.tif"
    write_pyramid(path, stained((703, 901), 5), 0.5)
    outcome = infer(slides=str(path))
    assert outcome.status == 0, outcome.err
    sidecar = sidecar_of(tmp_path / "maps", "coarse")
    assert (sidecar["screen_mode"], sidecar["look_mode"], sidecar["screen_stride"]) == ("sliding", "sliding", 64)
    assert sidecar["model_downsample"] == pytest.approx(0.486)


def test_the_page_documents_the_keys_of_the_sidecar(infer: Command, slides: Path, tmp_path: Path) -> None:
    assert infer(slides=str(slides / "third.tif")).status == 0
    keys = sidecar_of(tmp_path / "maps", "third").keys()
    text = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    tables = {}
    for name in ("map key", "cascade key"):
        rows = text.split(f"\n| {name} | meaning |\n|---|---|\n")[1].split("\n\n")[0].splitlines()
        tables[name] = {key for row in rows for key in re.findall(r"`([^`]+)`", row.split("|")[1])}
    assert keys == tables["map key"] | tables["cascade key"]
    assert not tables["map key"] & tables["cascade key"]


def test_two_ranks_share_the_slides(infer: Command, settings: dict[str, Any], tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as torchrun's processes
    assert infer(output_dir=str(tmp_path / "one")).status == 0
    torch.set_num_threads(before)
    overlay = write_overlay(tmp_path / "two.json", settings)
    files = [str(CONFIG), str(overlay), str(CONFIG.with_name("multi_gpu_inference.json"))]
    ended = torchrun(tmp_path, 2, "-m", "monai.bundle", "run", "inference", "--config_file", files)
    assert ended.status == 0, ended.said
    assert maps_of(tmp_path / "maps") == maps_of(tmp_path / "one")
    assert json.loads((tmp_path / "maps" / "run.json").read_text())["processes"] == 2


def test_a_process_of_a_cluster_computes_one_slide_after_the_other(
    infer: Command, settings: dict[str, Any], slides: Path, tmp_path: Path
) -> None:
    assert infer(output_dir=str(tmp_path / "one")).status == 0
    config = json.loads(CONFIG.read_text()) | settings | {"datalist": []}
    worker = SlideWorker(config, str(tmp_path))
    assert worker.about()["screen_weights_sha256"] is None
    for name in NAMES:
        path = str(slides / f"{name}.tif")
        assert worker.infer(path, worker.stage(path))["state"] == "done"
    assert maps_of(tmp_path / "maps") == maps_of(tmp_path / "one")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--weights", "MODELS/model_10x.pt"],
            "model_10x.pt: trained at 0.972 µm per pixel on patches of 96 px, but mode",
        ),
        (
            ["--screen_weights", "MODELS/model.pt"],
            "model.pt: trained at 0.243 µm per pixel on patches of 224 px, but mode",
        ),
        (["--config_file", "screen_10x.json"], "screen_mpp must be at least 2 times mpp, which is 0.972"),
        (["--screen_above", 2], "screen_above must be a probability from 0 to 1, but got 2"),
        (["--screen_weights", "missing.pt"], "missing.pt: no such file of weights"),
        (["--runtime", "onnxruntime", "--precision", "float32"], "runtime onnxruntime computes"),
    ],
)
def test_what_does_not_suit_is_refused_in_one_line(
    tumor_detection: Command, slides: Path, tmp_path: Path, flags: list[object], message: str
) -> None:
    given = [str(flag).replace("MODELS", str(Path(bundle_root()) / "models")) for flag in flags]
    outcome = tumor_detection(
        "infer", "--slides", slides, "--mode", "cascade", "--output_dir", tmp_path / "maps", *given
    )
    assert outcome.status == 1
    assert outcome.error.startswith("error: ")
    assert message in outcome.error
    assert not list(tmp_path.glob("maps/*.npy"))
