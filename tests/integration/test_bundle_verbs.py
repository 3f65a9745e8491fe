"""What MONAI's bundle commands and the model zoo ask of this bundle."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigWorkflow, ckpt_export, load, onnx_export, verify_net_in_out
from monai.handlers import CheckpointLoader
from monai.networks.nets import TorchVisionFCModel
from sklearn.metrics import roc_auc_score

from helpers.bare_python import be_bare
from helpers.forked_commands import Started
from helpers.made_patches import write_patches
from integration.conftest import NETWORK_DEF, Loclabels
from scripts import bundle_root
from scripts.network.network import load_checkpoint, load_weights
from scripts.scoring.patch_logits import compute_patch_logits
from scripts.synthetic.cohort import Cohort

pytestmark = [pytest.mark.integration, pytest.mark.slow]

NAME = "pathology_tumor_detection"
ROOT = Path(__file__).parents[2]
BUNDLE = Path(bundle_root())
CONFIGS = BUNDLE / "configs"
METADATA = json.loads((CONFIGS / "metadata.json").read_text(encoding="utf-8"))
MAX_BYTES = 25_000_000
"""Larger files must be listed in the zoo's large_files.yml instead."""

NOISE = re.compile(r"nvjpeg2k|nvtiff|cufile|GPUDirect|libcufile|Failed to load", re.IGNORECASE)


@pytest.fixture(autouse=True)
def quiet_logging() -> Iterator[None]:
    """MONAI's commands replace the root logger's handlers, which are pytest's."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.fixture(scope="module")
def zoo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle as the zoo holds it: its own folders, and the license and the card beside them."""
    folder = tmp_path_factory.mktemp("zoo") / NAME
    for name in ("configs", "scripts", "models"):
        shutil.copytree(BUNDLE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (folder / "docs").mkdir()
    for name in ("README.md", "data_license.txt"):
        shutil.copy(ROOT / "docs" / name, folder / "docs" / name)
    shutil.copy(ROOT / "LICENSE", folder / "LICENSE")
    return folder


# --- properties ------------------------------------------------------------------------------------------------


def instantiate(workflow: ConfigWorkflow) -> dict[str, Any]:
    """Every property of a workflow; none may be missing or fail."""
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.properties
    return {name: getattr(workflow, name) for name in workflow.properties}


def test_train_has_every_property_from_anywhere(
    cohort: Cohort, loclabels: Loclabels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workflow = ConfigWorkflow(
        str(CONFIGS / "train.json"),
        workflow_type="train",
        logging_file=False,
        dataset_dir=str(cohort.training[0].parent),
        training_file=str(loclabels.training),
        validation_file=str(loclabels.validation),
        output_dir=str(tmp_path / "run"),
    )
    found = instantiate(workflow)
    missing = sorted(name for name, value in found.items() if value is None)
    assert not missing
    assert found["bundle_root"] == str(BUNDLE)
    assert found["max_epochs"] == 10
    assert len(found["train_dataset"]) == len(found["train_dataset_data"]) == 8
    assert len(found["val_dataset"]) == 4
    assert isinstance(found["network_def"], TorchVisionFCModel)
    assert found["trainer"].state.max_epochs == 10
    assert found["val_interval"] == 1
    assert found["version"] == METADATA["version"]


def test_inference_has_every_property_from_anywhere(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workflow = ConfigWorkflow(
        str(CONFIGS / "inference.json"),
        workflow_type="inference",
        logging_file=False,
        dataset_dir=str(cohort.testing[0].parent),
        output_dir=str(tmp_path / "maps"),
    )
    found = instantiate(workflow)
    assert [Path(item["image"]).stem for item in found["dataset_data"]] == ["test_001", "test_002"]
    assert isinstance(found["network_def"], TorchVisionFCModel)
    assert found["evaluator"].network is found["network_def"]
    assert found["handlers"]
    assert found["monai_version"] == METADATA["monai_version"]


def test_optional_properties_are_plain_references() -> None:
    # MONAI follows them by their text, and finds the validation handler by its short name
    train = json.loads((CONFIGS / "train.json").read_text(encoding="utf-8"))
    trainer, evaluator = train["train"]["trainer"], train["validate"]["evaluator"]
    assert trainer["train_handlers"] == "@train#handlers"
    assert trainer["postprocessing"] == "@train#postprocessing"
    assert trainer["key_train_metric"] == "@train#key_metric"
    assert evaluator["val_handlers"] == "@validate#handlers"
    assert evaluator["key_val_metric"] == "@validate#key_metric"
    (handler,) = [item for item in train["train"]["handlers"] if "validator" in item]
    assert (handler["_target_"], handler["validator"]) == ("ValidationHandler", "@validate#evaluator")
    assert handler["interval"] == "@val_interval"


# --- python -m monai.bundle run --------------------------------------------------------------------------------


def monai_bundle(cwd: Path, *arguments: object) -> str:
    """Run MONAI's command as a user does: in another folder, without this project's settings; what it says."""
    dropped = ("PYTHONPATH", "CUFILE_LOGFILE_PATH", "CUFILE_ENV_PATH_JSON")
    process = subprocess.run(
        [sys.executable, "-m", "monai.bundle", *map(str, arguments)],
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if key not in dropped},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert not NOISE.search(process.stderr + process.stdout), process.stderr
    return process.stdout + process.stderr


def monai_bundle_again(cwd: Path, *arguments: object) -> str:
    """The same in a process that has imported MONAI already."""
    with Started(["python", "-m", "monai.bundle", *map(str, arguments)], cwd, be_bare) as process:
        assert process.wait() == 0, process.said
    said = process.said
    (cwd / "said.txt").unlink()
    return said


@pytest.mark.parametrize(("run_id", "start"), [("training", monai_bundle), ("run", monai_bundle_again)])
def test_training_runs_from_anywhere(
    cohort: Cohort, loclabels: Loclabels, tmp_path: Path, run_id: str, start: Callable[..., str]
) -> None:
    for path in loclabels:  # two regions of each, to be quick
        lines = path.read_text().splitlines()
        (tmp_path / path.name).write_text(f"{lines[0]}\n{lines[-1]}\n")
    flags = ["--config_file", CONFIGS / "train.json", "--dataset_dir", cohort.training[0].parent, "--epochs", 1]
    flags += ["--training_file", "training.csv", "--validation_file", "validation.csv", "--num_workers", 1]
    flags += ["--num_epochs", 3]  # as bundles of the zoo have it
    said = start(tmp_path, "run", run_id, *flags, "--batch_size", 2, "--output_dir", "here")
    assert "--num_epochs changes nothing: train.json has no such id; use --epochs" in said
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"training.csv", "validation.csv", "here"}, "nothing else is left behind, such as cufile.log"
    assert {"model.pt", "last.pt"} <= {path.name for path in (tmp_path / "here").iterdir()}
    assert "val_auc" in said
    load_weights(TorchVisionFCModel(**NETWORK_DEF), tmp_path / "here" / "model.pt")


@pytest.mark.parametrize("run_id", ["evaluating", "training"])
def test_evaluation_runs_from_anywhere(tmp_path: Path, run_id: str) -> None:
    patches, _, _ = write_patches(tmp_path, 12)
    files = str([str(CONFIGS / name) for name in ("train.json", "train_patches.json", "evaluate.json")])
    flags = ["--config_file", files, "--validation_folders", f"['{patches}']", "--num_workers", 0, "--lr", 1]
    state = load_checkpoint(CONFIGS.parent / "models" / "model.pt")
    if run_id == "evaluating":  # weights of a run, which call each patch the other thing
        state |= {name: -value for name, value in state.items() if name.startswith("fc.")}
    (tmp_path / "run").mkdir()
    torch.save(state, tmp_path / "run" / "model.pt")
    flags += ["--ckpt_dir", "run", "--output_dir", "scores", "--precision", "float32"]
    assert "--lr changes nothing" in monai_bundle_again(tmp_path, "run", run_id, *flags)
    written = {path.name for path in (tmp_path / "scores").iterdir()}
    assert not {"model.pt", "last.pt"} & written, "nothing was trained"
    rows = dict(line.split(",") for line in (tmp_path / "scores" / "metrics.csv").read_text().splitlines())
    expected = compute_patch_logits(tmp_path / "run" / "model.pt", [patches])
    assert float(rows["val_auc"]) == pytest.approx(roc_auc_score(expected.is_tumor, expected.logits))
    assert float(rows["val_accuracy"]) == pytest.approx(((expected.logits > 0) == expected.is_tumor).mean())


def test_evaluation_refuses_weights_of_another_resolution(tmp_path: Path) -> None:
    files = str([str(CONFIGS / name) for name in ("train.json", "train_patches.json", "evaluate.json")])
    patches, _, _ = write_patches(tmp_path, 4)
    flags = ["--weights", str(CONFIGS.parent / "models" / "model_10x.pt"), "--validation_folders", f"['{patches}']"]
    with Started(["monai.bundle", "run", "evaluating", "--config_file", files, *flags], tmp_path) as process:
        assert process.wait() != 0
    assert "model_10x.pt: trained at 0.972 µm per pixel on patches of 96 px, but this run takes 0.243" in process.said
    assert "add --config_file train_10x.json" in process.said


@pytest.mark.parametrize(("run_id", "start"), [("inference", monai_bundle), ("run", monai_bundle_again)])
def test_inference_runs_from_anywhere(cohort: Cohort, tmp_path: Path, run_id: str, start: Callable[..., str]) -> None:
    flags = ["--config_file", CONFIGS / "inference.json", "--dataset_dir", cohort.testing[0].parent]
    flags += ["--stride", 512, "--mode", "sliding", "--output_dir", "maps", "--strides", 1]
    said = start(tmp_path, "run", run_id, *flags)
    assert "--strides changes nothing: inference.json has no such id; did you mean 'stride'?" in said
    assert [path.name for path in tmp_path.iterdir()] == ["maps"], "no cufile.log, no other leftovers"
    assert {path.stem for path in (tmp_path / "maps").glob("*.npy")} == {"test_001", "test_002"}
    sidecar = json.loads((tmp_path / "maps" / "test_001.json").read_text())
    assert sidecar["weights_sha256"] == hashlib.sha256((BUNDLE / "models" / "model.pt").read_bytes()).hexdigest()


def test_copied_bundle_uses_its_own_weights(zoo_bundle: Path, cohort: Cohort, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / NAME
    shutil.copytree(zoo_bundle, other)
    state = {name: value.float() for name, value in torch.load(zoo_bundle / "models" / "model.pt").items()}
    torch.save(state, other / "models" / "model.pt")  # the same in float32, so another file
    (other / "models" / "model.json").unlink()  # which tells of the shipped file
    flags = ["--config_file", other / "configs" / "inference.json", "--slides", cohort.testing[0], "--stride", 512]
    monai_bundle_again(tmp_path, "run", *flags, "--mode", "sliding", "--output_dir", "maps")
    sidecar = json.loads((tmp_path / "maps" / "test_001.json").read_text())
    assert sidecar["weights_sha256"] == hashlib.sha256((other / "models" / "model.pt").read_bytes()).hexdigest()
    assert np.load(tmp_path / "maps" / "test_001.npy").shape == (3, 4)


# --- the other commands ----------------------------------------------------------------------------------------


def outputs_of(network: Any) -> torch.Tensor:
    torch.manual_seed(5)
    with torch.no_grad():
        logits: torch.Tensor = network.eval()(torch.rand(3, 3, 224, 224) * 2 - 1)
    return logits


@pytest.fixture(scope="module")
def expected() -> torch.Tensor:
    """What the shipped weights give."""
    found = outputs_of(load_weights(TorchVisionFCModel(**NETWORK_DEF), BUNDLE / "models" / "model.pt"))
    assert found.std() > 0
    return found


@pytest.mark.parametrize("config", ["train", "inference"])
def test_verify_net_in_out(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"meta_file": str(CONFIGS / "metadata.json"), "config_file": str(CONFIGS / f"{config}.json")}
    verify_net_in_out("network_def", device="cpu", **files)
    with pytest.raises(ValueError, match="output channel number"):
        verify_net_in_out(
            "network_def", device="cpu", **{**files, "_meta_#network_data_format#outputs#pred#num_channels": 2}
        )


@pytest.mark.parametrize(
    ("weights", "overlays", "kernel_size"), [("model.pt", [], 7), ("model_10x.pt", ["screen_10x"], 3)]
)
def test_ckpt_export(
    weights: str, overlays: list[str], kernel_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = ("avg", {"kernel_size": kernel_size, "stride": 1})
    network = load_weights(TorchVisionFCModel(**{**NETWORK_DEF, "pool": pool}), BUNDLE / "models" / weights)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is on its way out
        ckpt_export(
            "network_def",
            filepath=str(tmp_path / "model.ts"),
            ckpt_file=str(BUNDLE / "models" / weights),
            meta_file=str(CONFIGS / "metadata.json"),
            config_file=[str(CONFIGS / f"{name}.json") for name in ("inference", *overlays)],
        )
        extra = {"metadata.json": "", "inference.json": ""}
        exported = torch.jit.load(str(tmp_path / "model.ts"), _extra_files=extra)
    torch.testing.assert_close(outputs_of(exported), outputs_of(network), rtol=1e-4, atol=1e-4)
    assert json.loads(extra["metadata.json"])["version"] == METADATA["version"]
    assert "evaluator" in json.loads(extra["inference.json"])


@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="onnx is not installed")
def test_onnx_export(tmp_path: Path) -> None:
    onnx_export(
        "network_def",
        filepath=str(tmp_path / "model.onnx"),
        ckpt_file=str(BUNDLE / "models" / "model.pt"),
        meta_file=str(CONFIGS / "metadata.json"),
        config_file=str(CONFIGS / "inference.json"),
    )
    assert (tmp_path / "model.onnx").stat().st_size > 1_000_000


@pytest.mark.parametrize("workflow_type", ["train", "inference"])
@pytest.mark.filterwarnings("ignore:parsing config_file")
def test_load(
    zoo_bundle: Path, expected: torch.Tensor, workflow_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = load(NAME, bundle_dir=str(zoo_bundle.parent), workflow_type=workflow_type, device="cpu")
    assert isinstance(network, TorchVisionFCModel)
    assert next(network.parameters()).dtype == torch.float32
    torch.testing.assert_close(outputs_of(network), expected, rtol=1e-5, atol=1e-5)
    assert list(tmp_path.iterdir()) == []


# --- the zoo's rules -------------------------------------------------------------------------------------------


def test_zoo_bundle_has_the_required_files(zoo_bundle: Path) -> None:
    required = ("LICENSE", "configs/metadata.json", "configs/inference.json", "configs/train.json")
    for name in (*required, "models/model.pt", "docs/README.md", "docs/data_license.txt"):
        assert (zoo_bundle / name).stat().st_size > 0, name


def test_zoo_bundle_has_no_large_file(zoo_bundle: Path) -> None:
    large = {path.name: path.stat().st_size for path in zoo_bundle.rglob("*") if path.stat().st_size > MAX_BYTES}
    assert not large, "list it in large_files.yml, with hash_type"


@pytest.mark.parametrize("name", ["model.pt", "model_10x.pt"])
def test_weights_are_a_plain_state_dict_of_the_network(name: str) -> None:
    path = BUNDLE / "models" / name
    assert path.stat().st_size < MAX_BYTES
    state = torch.load(path, weights_only=True)
    assert {value.dtype for value in state.values()} == {torch.float16, torch.int64}
    assert all(bool(torch.isfinite(value).all()) for value in state.values())
    network, expected = (TorchVisionFCModel(**NETWORK_DEF) for _ in range(2))
    trainer = Engine(lambda engine, batch: None)
    CheckpointLoader(str(path), {"model": network}, strict=True).attach(trainer)
    trainer.run([0])
    load_weights(expected, path)
    for found, wanted in zip(network.state_dict().values(), expected.state_dict().values(), strict=True):
        assert found.equal(wanted)


def test_network_fixture_is_the_configs() -> None:
    for name in ("train", "inference"):
        config = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))["network_def"]
        found = {**config, "pretrained": False, "pool": tuple(config["pool"])}
        assert found == {"_target_": "TorchVisionFCModel", **NETWORK_DEF}


def test_name_suits_the_zoo() -> None:
    assert re.fullmatch(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*", NAME)
    assert "_v" not in NAME
    assert METADATA["name"].lower().replace(" ", "_") == NAME


def test_no_text_holds_a_personal_path(zoo_bundle: Path) -> None:
    for path in zoo_bundle.rglob("*"):
        if path.suffix in (".json", ".py", ".md", ".txt", ".conf", ".sh"):
            found = re.search(r"(?<![\w.])/(home|root|Users|work|workspace|mnt)/\w+", path.read_text(encoding="utf-8"))
            assert not found, f"{path}: {found}"


def test_license_is_one_that_may_be_pushed(zoo_bundle: Path) -> None:
    text = (zoo_bundle / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0" in text


def test_version_is_new_and_in_the_changelog() -> None:
    assert METADATA["version"] in METADATA["changelog"]
    assert tuple(map(int, METADATA["version"].split("."))) > (0, 6, 2), "the last of the public bundle of this name"


def test_metadata_tells_the_truth_about_the_data(cohort: Cohort, tmp_path: Path, expected: torch.Tensor) -> None:
    image = METADATA["network_data_format"]["inputs"]["image"]
    pred = METADATA["network_data_format"]["outputs"]["pred"]
    workflow = ConfigWorkflow(
        str(CONFIGS / "inference.json"),
        workflow_type="inference",
        logging_file=False,
        dataset_dir=str(cohort.testing[0].parent),
        output_dir=str(tmp_path / "maps"),
        stride=512,
    )
    workflow.initialize()
    dataset, preprocessing = workflow.dataset, workflow.preprocessing
    tile = next(tile for tile in dataset.tiles(str(cohort.testing[0])) if tile.positions.any())
    pixels = preprocessing({"image": dataset[tile]["image"]})["image"]
    assert image["value_range"][0] <= pixels.min() < -0.2
    assert 0.5 < pixels.max() <= image["value_range"][1]
    assert str(pixels.dtype) == f"torch.{image['dtype']}"
    assert pixels.shape[1] == image["num_channels"]
    assert expected.shape[1:] == (pred["num_channels"], *pred["spatial_shape"])
    assert pred["type"] == "logits"
    assert pred["value_range"] == []
    assert bool(((expected < 0) | (expected > 1)).any()), "logits, not probabilities"
    (activation,) = workflow.postprocessing.transforms
    assert activation({"pred": torch.zeros(1, 1, 1)})["pred"].item() == 0.5
