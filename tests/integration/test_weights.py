"""The shipped weights tell tumor from normal: patches and tissue that they were not trained on, and drawn patches."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from monai.bundle import ConfigParser
from PIL import Image, ImageFilter

from scripts import bundle_root
from scripts.scoring.roc import roc_auc
from scripts.synthetic.cohort import sample_centers, synthetic_slide

pytestmark = [pytest.mark.integration, pytest.mark.slow]

NUM_REAL, NUM_DRAWN = 300, 24  # of each class
COARSE = 4

MODELS = [
    pytest.param("model.pt", [], id="40x"),
    pytest.param("model_10x.pt", ["train_10x.json"], id="10x"),
]


@pytest.fixture(scope="module")
def real_patches(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of PatchCamelyon's validation patches, in folders 0 and 1."""
    folder = tmp_path_factory.mktemp("pcam")
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(shared_data / "pcam_10x" / "valid.zip") as archive:
        for label in "01":
            names = sorted(name for name in archive.namelist() if name.startswith(f"{label}/") and name[-1] != "/")
            archive.extractall(folder, [names[index] for index in rng.permutation(len(names))[:NUM_REAL]])
    return folder


@pytest.fixture(scope="module")
def drawn_patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic patches: 256 px in folder ``fine``, the 384 px around the same centers as 96 px in ``coarse``."""
    folder, rng = tmp_path_factory.mktemp("drawn"), np.random.default_rng(3)
    slide = synthetic_slide((2801, 3407), num_lesions=2, seed=5)
    for label in (0, 1):
        for kind in ("fine", "coarse"):
            (folder / kind / str(label)).mkdir(parents=True)
        for index, center in enumerate(sample_centers(rng, slide, bool(label), NUM_DRAWN)):
            fine = Image.fromarray(_cut(slide.image, center, 256))
            coarse = Image.fromarray(_cut(slide.image, center, 96 * COARSE)).reduce(COARSE)
            fine.save(folder / "fine" / str(label) / f"{index}.png")
            coarse.save(folder / "coarse" / str(label) / f"{index}.png")
    return folder


def _cut(image: npt.NDArray[np.uint8], center: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.uint8]:
    top, left = (int(value) - size // 2 for value in center)
    return np.ascontiguousarray(image[top : top + size, left : left + size])


def _validate(weights: str, overlays: list[str], folder: Path) -> dict[str, float]:
    """What train.json's own validation finds."""
    configs = Path(bundle_root()) / "configs"
    config = ConfigParser()
    config.read_config([str(configs / name) for name in ("train.json", "train_patches.json", *overlays)])
    config.update(
        {
            "weights": str(configs.parent / "models" / weights),
            "validation_folders": [str(folder)],
            "output_dir": str(folder),
            "batch_size": 16,
            "num_workers": 0,
            "device": "$torch.device('cpu')",
            "validate#handlers": [],
        }
    )
    evaluator = config.get_parsed_content("validate#evaluator")
    evaluator.run()
    metrics: dict[str, float] = evaluator.state.metrics
    return metrics


@pytest.mark.parametrize(("weights", "overlays"), MODELS)
def test_shipped_weights_tell_real_patches_apart(weights: str, overlays: list[str], real_patches: Path) -> None:
    # On all 3,000 patches the card states 0.934 and 0.954.
    metrics = _validate(weights, overlays, real_patches)
    assert metrics["val_auc"] > (0.94 if overlays else 0.915), metrics
    assert metrics["val_accuracy"] > 0.82, metrics


def test_screening_weights_tell_blurred_patches_apart(real_patches: Path, tmp_path: Path) -> None:
    # By the card 0.931 on all patches; weights whose last epochs resampled nothing had 0.83 to 0.89.
    for path in real_patches.glob("?/*"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        blurred = Image.open(path).convert("RGB").filter(ImageFilter.GaussianBlur(1))
        blurred.save(tmp_path / path.parent.name / f"{path.stem}.png")
    metrics = _validate("model_10x.pt", ["train_10x.json"], tmp_path)
    assert metrics["val_auc"] > 0.91, metrics


@pytest.mark.parametrize(("weights", "overlays"), MODELS)
def test_shipped_weights_tell_drawn_patches_apart(weights: str, overlays: list[str], drawn_patches: Path) -> None:
    metrics = _validate(weights, overlays, drawn_patches / ("coarse" if overlays else "fine"))
    assert metrics["val_auc"] > 0.85, metrics


class OnTissue(NamedTuple):
    """A figure on held-out tissue and what it must reach.

    Attributes:
        scale: "40x" or "10x", whose weights are asked.
        mode: of inference.
        figure: a function of `FIGURES`.
        pieces: names of the pieces that it is computed on.
        limit: what it must reach: at least, of an AUC or a correlation; at most, of a share.
    """

    scale: str
    mode: str
    figure: str
    pieces: tuple[str, ...]
    limit: float


MASKED = ("masks_10679", "masks_10687")

# What was measured stands behind each limit, and what the weights gave that had seen patches alone.
ON_TISSUE = [
    OnTissue("40x", "refined", "above 0.5", ("centre_1",), 0.005),  # 0.0000, before 0.0102
    OnTissue("40x", "refined", "above 0.5", ("centre_4",), 0.005),  # 0.0026, before 0.0038
    OnTissue("40x", "refined", "AUC", ("masks_10679",), 0.98),  # 0.9990, before 0.9992
    OnTissue("40x", "dense", "crossings", ("centre_1",), 0.04),  # 0.0156: 1 of 64; before 0.0469
    OnTissue("10x", "sliding", "above 0.5", ("centre_1",), 0.005),  # 0.0000, before 0.0102
    OnTissue("10x", "sliding", "above 0.5", ("centre_4",), 0.005),  # 0.0000, before 0.0000
    OnTissue("10x", "sliding", "AUC", MASKED, 0.966),  # 0.9686, before 0.9650
    OnTissue("10x", "sliding", "AUC", ("strip",), 0.98),  # 1.0000, before 1.0000
    OnTissue("10x", "dense", "above 0.5", ("centre_1",), 0.01),  # 0.0051, before 0.2704
    OnTissue("10x", "dense", "above 0.5", ("centre_4",), 0.01),  # 0.0000, before 0.0000
    OnTissue("10x", "dense", "correlation", ("centre_1", "centre_4", *MASKED), 0.92),  # 0.9372, before 0.8348
]
AT_LEAST = ("AUC", "correlation")


class Tissue:
    """Maps of held-out pieces, computed once for each of the weights and modes."""

    def __init__(self, data: Path, root: Path) -> None:
        import real_tissue
        import tissue_pieces
        import tissue_positions

        self.compute, self.positions, self.root = real_tissue.compute, tissue_positions, root
        self.pieces = {piece.name: piece for piece in tissue_pieces.read_pieces(data)}
        self.maps: dict[tuple[str, str], dict[str, npt.NDArray[np.float64]]] = {}

    def values(self, row: OnTissue, mode: str) -> list[npt.NDArray[np.float64]]:
        """Probabilities of a row's pieces, (rows, cols) each, NaN where a patch does not lie inside."""
        key = row.scale, mode
        if key not in self.maps:
            wanted = {name for other in ON_TISSUE if other.scale == row.scale for name in other.pieces}
            if row.scale == "40x":  # what takes longest
                wanted = {name for other in ON_TISSUE if other[:2] == key for name in other.pieces}
            pieces = [self.positions.seen(self.pieces[name], row.scale) for name in sorted(wanted)]
            weights = Path(bundle_root()) / "models" / ("model.pt" if row.scale == "40x" else "model_10x.pt")
            checks = 64 if key == ("40x", "dense") else 0
            self.maps[key] = self.compute(pieces, row.scale, weights, mode, self.root, checks)
        return [self.maps[key][name] for name in row.pieces]


def _above(tissue: Tissue, row: OnTissue) -> float:
    values = np.concatenate([found[np.isfinite(found)] for found in tissue.values(row, row.mode)])
    return float((values > 0.5).mean())


def _auc(tissue: Tissue, row: OnTissue) -> float:
    pieces = [tissue.positions.seen(tissue.pieces[name], row.scale) for name in row.pieces]
    truth = np.concatenate([tissue.positions.labels(piece, row.scale).ravel() for piece in pieces])
    values = np.concatenate([found.ravel() for found in tissue.values(row, row.mode)])
    return float(roc_auc(values[np.isfinite(truth)], truth[np.isfinite(truth)] == 1)[0])


def _crossings(tissue: Tissue, row: OnTissue) -> float:
    """Of the positions that inference checked itself."""
    tissue.values(row, row.mode)
    shares = []
    for name in row.pieces:
        (sidecar,) = tissue.root.glob(f"maps/{row.scale}_*_{row.mode}/{name}.json")
        shares.append(json.loads(sidecar.read_text(encoding="utf-8"))["agreement"]["crossings"])
    return float(np.mean(shares))


def _correlation(tissue: Tissue, row: OnTissue) -> float:
    """Of the logits of a mode and of mode sliding, lowest among the pieces."""
    found = []
    for pair in zip(tissue.values(row, row.mode), tissue.values(row, "sliding"), strict=True):
        of_mode, sliding = (np.log(values / (1 - values))[np.isfinite(values)] for values in pair)
        found.append(np.corrcoef(of_mode, sliding)[0, 1])
    return float(min(found))


FIGURES: dict[str, Callable[[Tissue, OnTissue], float]] = {
    "above 0.5": _above,
    "AUC": _auc,
    "crossings": _crossings,
    "correlation": _correlation,
}


@pytest.fixture(scope="module")
def tissue(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Tissue:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        return Tissue(shared_data, tmp_path_factory.mktemp("tissue"))


@pytest.mark.parametrize("row", ON_TISSUE, ids=lambda row: "-".join((*row[:3], row.pieces[0])).replace(" ", "_"))
def test_shipped_weights_hold_on_tissue(row: OnTissue, tissue: Tissue) -> None:
    found = FIGURES[row.figure](tissue, row)
    print(row, f"found {found:.4f}")
    assert found >= row.limit if row.figure in AT_LEAST else found <= row.limit, f"{row}: found {found:.4f}"
