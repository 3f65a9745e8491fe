"""Training on the synthetic cohort: what is written, resumed, repeated and refused."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.networks.nets import TorchVisionFCModel
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.forked_commands import Started
from integration.conftest import NETWORK_DEF, Loclabels, Outcome
from scripts import bundle_root
from scripts.network.activations import kept_tops
from scripts.network.network import load_weights, prepare_network

pytestmark = [pytest.mark.integration, pytest.mark.slow]

BUNDLE = Path(bundle_root())
TINY = {"network_def": {"_target_": "helpers.networks.TinyNetwork"}}
Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For small pictures threads save nothing, and they cost much where other processes want the processor too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def arguments(slides_dir: Path, loclabels: Loclabels, tmp_path: Path) -> list[object]:
    """Flags of a quick run: another network, float32, no workers, half of the regions."""
    files = [tmp_path / path.name for path in loclabels]
    for path, file in zip(loclabels, files, strict=True):
        file.write_text("\n".join(path.read_text().splitlines()[::2]))
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    found: list[object] = ["--config_file", tmp_path / "tiny.json", "--dataset_dir", slides_dir]
    found += ["--training_file", files[0], "--validation_file", files[1]]
    found += ["--batch_size", 2, "--num_workers", 0, "--precision", "float32"]
    return found


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def shipped_files() -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in (BUNDLE / "models").iterdir()}


def parser_of(overrides: dict[str, Any]) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(BUNDLE / "configs" / "train.json")
    parser.update({**TINY, "num_workers": 0, "precision": "float32", "batch_size": 2, **overrides})
    return parser


# --- what a run leaves -----------------------------------------------------------------------------------------


def test_training_with_the_bundles_network(
    tumor_detection: Command, slides_dir: Path, loclabels: Loclabels, tmp_path: Path
) -> None:
    shipped = shipped_files()
    files = [tmp_path / path.name for path in loclabels]
    for path, file in zip(loclabels, files, strict=True):  # one region of each kind: this network takes its time
        lines = path.read_text().splitlines()
        file.write_text("\n".join((lines[0], lines[-1])))
    flags = ["--dataset_dir", slides_dir, "--training_file", files[0]]
    flags += ["--validation_file", files[1], "--output_dir", tmp_path / "run"]
    outcome = tumor_detection("train", *flags, "--epochs", 1, "--batch_size", 1, "--num_workers", 1)
    assert outcome.status == 0, outcome.err

    state = load(tmp_path / "run" / "model.pt")
    network = load_weights(TorchVisionFCModel(**NETWORK_DEF), tmp_path / "run" / "model.pt")
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, 1, 1, 1)
    assert all(bool(torch.isfinite(value).all()) for value in state.values())
    in_use = prepare_network(network, torch.device("cpu"), tmp_path / "run" / "model.pt", 0.243, 224)
    assert [len(tops) for _, tops in kept_tops(in_use)] == [1, *[2] * 8], "infer may compute it in whole numbers"
    last = load(tmp_path / "run" / "last.pt")
    assert (last["epoch"], last["epoch_length"], last["best_metric_epoch"]) == (1, 2, 1)
    assert 0 <= last["best_metric"] <= 1
    assert last["optimizer"]["state"], "Novograd's moments are there"

    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"val_auc", "val_accuracy", "train_accuracy"} <= tags, tags
    assert any("loss" in tag for tag in tags)
    assert events.Scalars("val_auc")[0].value == pytest.approx(last["best_metric"], abs=1e-5)
    assert shipped_files() == shipped, "the shipped weights stay"


def test_same_seed_gives_the_same_weights(tumor_detection: Command, arguments: list[object], tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        outcome = tumor_detection("train", *arguments, "--epochs", 2, "--seed", seed, "--output_dir", tmp_path / name)
        assert outcome.status == 0, outcome.err
    first, second, other = (load(tmp_path / name / "last.pt") for name in "abc")
    torch.testing.assert_close(first["network"], second["network"], rtol=0, atol=0)
    torch.testing.assert_close(first["optimizer"]["state"], second["optimizer"]["state"], rtol=0, atol=0)
    assert not torch.equal(first["network"]["layers.1.weight"], other["network"]["layers.1.weight"])


def test_training_is_shuffled_and_validation_is_not(
    slides_dir: Path, loclabels: Loclabels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = parser_of(
        {
            "dataset_dir": str(slides_dir),
            "training_file": str(loclabels.training),
            "validation_file": str(loclabels.validation),
            "output_dir": str(tmp_path / "run"),
            "epochs": 3,
            "batch_size": 1,
        }
    )
    orders: dict[str, list[list[float]]] = {"train": [], "validate": []}
    for phase, engine_id in (("train", "train#trainer"), ("validate", "validate#evaluator")):

        def begin(engine: Engine, phase: str = phase) -> None:
            orders[phase].append([])

        def note(engine: Engine, phase: str = phase) -> None:
            orders[phase][-1].append(float(engine.state.batch["image"].sum()))

        engine = parser.get_parsed_content(engine_id)
        engine.add_event_handler(Events.EPOCH_STARTED, begin)
        engine.add_event_handler(Events.ITERATION_STARTED, note)
    parser.get_parsed_content("train#trainer").run()
    first, second, third = orders["train"]
    assert sorted(first) == sorted(second) == sorted(third), "every epoch sees every region"
    assert len(set(first)) == 8
    assert first != second != third
    assert orders["validate"][0] == orders["validate"][1] == orders["validate"][2]


# --- interruptions ---------------------------------------------------------------------------------------------


def assert_same_progress(found: Any, expected: Any) -> None:
    """Epoch, schedule and the optimizer's rate and steps; the weights differ, for the cosine was another."""
    for key in ("epoch", "epoch_length"):
        assert found[key] == expected[key]
    scheduler, other = dict(found["lr_scheduler"]), dict(expected["lr_scheduler"])
    assert scheduler.pop("_last_lr") == pytest.approx(other.pop("_last_lr"))
    assert scheduler == other
    for group, other_group in zip(
        found["optimizer"]["param_groups"], expected["optimizer"]["param_groups"], strict=True
    ):
        assert group.pop("lr") == pytest.approx(other_group.pop("lr"), abs=1e-12)
        assert group == other_group
    for key, state in expected["optimizer"]["state"].items():
        assert found["optimizer"]["state"][key]["step"] == state["step"] > 0


def test_more_epochs_continue_a_finished_run(tumor_detection: Command, arguments: list[object], tmp_path: Path) -> None:
    for name, epochs in (("parts", 1), ("parts", 3), ("straight", 3)):
        outcome = tumor_detection("train", *arguments, "--epochs", epochs, "--output_dir", tmp_path / name)
        assert outcome.status == 0, outcome.err
        assert ("resuming after epoch 1 of 3" in outcome.err) == ((name, epochs) == ("parts", 3))
    assert_same_progress(load(tmp_path / "parts" / "last.pt"), load(tmp_path / "straight" / "last.pt"))


def test_a_resumed_run_ends_where_it_would_have(
    tumor_detection: Command, arguments: list[object], tmp_path: Path
) -> None:
    """To the bit, with order and augmentation."""
    flags = [*arguments, "--epochs", 3]
    assert tumor_detection("train", *flags, "--output_dir", tmp_path / "straight").status == 0
    fail = {"_target_": "helpers.rank_events.Fail", "rank": 0, "epoch": 2, "how": "error", "note": str(tmp_path / "at")}
    (tmp_path / "tiny.json").write_text(json.dumps({**TINY, "+train#handlers": [fail]}))
    assert tumor_detection("train", *flags, "--output_dir", tmp_path / "parts").status == 1
    assert load(tmp_path / "parts" / "last.pt")["epoch"] == 1
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    assert tumor_detection("train", *flags, "--output_dir", tmp_path / "parts").status == 0
    found, expected = (load(tmp_path / name / "last.pt") for name in ("parts", "straight"))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def wait_for(path: Path, process: Started) -> None:
    while not path.exists():
        process.assert_runs()
        time.sleep(0.02)


def test_killed_run_is_resumed(tumor_detection: Command, arguments: list[object], tmp_path: Path) -> None:
    output = tmp_path / "run"
    flags = [str(argument) for argument in [*arguments, "--epochs", 200, "--output_dir", output]]
    with Started(["tumor-detection", "train", *flags], tmp_path) as process:
        wait_for(output / "last.pt", process)
        process.send_signal(signal.SIGKILL)
    epoch = load(output / "last.pt")["epoch"]
    assert 1 <= epoch < 200
    outcome = tumor_detection("train", *arguments, "--epochs", epoch + 2, "--output_dir", output)
    assert outcome.status == 0, outcome.err
    assert f"resuming after epoch {epoch} of {epoch + 2}" in outcome.err
    last = load(output / "last.pt")
    assert last["epoch"] == epoch + 2
    assert last["lr_scheduler"]["last_epoch"] == epoch + 2
    assert last["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0, abs=1e-9), "the cosine ends with the run"
    (output / "model.pt").stat()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])  # of a terminal; of Slurm or systemd
def test_a_signal_to_all_processes_ends_a_run_after_its_step(
    tumor_detection: Command, arguments: list[object], tmp_path: Path, number: int
) -> None:
    """It reaches the readers too."""
    output = tmp_path / "run"
    note = tmp_path / "second_epoch"
    begun = {"_target_": "helpers.rank_events.Note", "epoch": 2, "note": str(note)}
    (tmp_path / "tiny.json").write_text(json.dumps({**TINY, "+train#handlers": [begun]}))
    flags = [str(argument) for argument in [*arguments, "--epochs", 200, "--output_dir", output]]
    flags[flags.index("--num_workers") + 1] = "2"
    with Started(["tumor-detection", "train", *flags], tmp_path) as process:
        wait_for(note, process)
        os.killpg(process.pid, number)
        status = process.wait()
    said = process.said
    assert status == 128 + number, said
    assert "Traceback" not in said
    assert said.count("\nstopped; epoch ") == 1
    last = load(output / "last.pt")
    step = last.get("step", 0)
    signs = re.findall(r"\nstopping after this (step|epoch's validation)", said)
    of_the_end = [["step", "epoch's validation"], ["epoch's validation"]]  # the signal may come in an epoch's last step
    assert signs in ([["step"]] if step else of_the_end), said
    where = f"epoch {last['epoch'] + 1} of 200, step {step} of 2," if step else f"epoch {last['epoch']} of 200"
    assert f"\nstopped; {where} is saved in {output}/last.pt; the same command goes on from there\n" in said
    epochs = last["epoch"] + 1
    outcome = tumor_detection("train", *arguments, "--epochs", epochs, "--output_dir", output)
    assert outcome.status == 0, outcome.err
    place = (
        f"in epoch {epochs} of {epochs}, after step {step} of 2" if step else f"after epoch {epochs - 1} of {epochs}"
    )
    assert f"last.pt: resuming {place}\n" in outcome.err
    assert load(output / "last.pt")["epoch"] == epochs


def test_without_resume_training_starts_anew(tumor_detection: Command, arguments: list[object], tmp_path: Path) -> None:
    tumor_detection("train", *arguments, "--epochs", 2, "--output_dir", tmp_path / "run")
    outcome = tumor_detection("train", *arguments, "--epochs", 1, "--resume", "false", "--output_dir", tmp_path / "run")
    assert outcome.status == 0, outcome.err
    assert load(tmp_path / "run" / "last.pt")["epoch"] == 1


# --- what is refused -------------------------------------------------------------------------------------------


def test_resume_with_another_batch_size_is_refused(
    tumor_detection: Command, arguments: list[object], tmp_path: Path
) -> None:
    flags = [*arguments, "--output_dir", tmp_path / "run"]
    assert tumor_detection("train", *flags, "--epochs", 1).status == 0
    before = (tmp_path / "run" / "last.pt").read_bytes()
    flags[flags.index("--batch_size") + 1] = 4
    outcome = tumor_detection("train", *flags, "--epochs", 2)
    assert outcome.status == 1
    assert outcome.error.startswith("error: ")
    assert "last.pt: made with 2 iterations per epoch, this run has 1; give --resume false" in outcome.error
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


def test_shipped_weights_are_never_overwritten(
    tumor_detection: Command, arguments: list[object], tmp_path: Path
) -> None:
    shipped = shipped_files()
    outcome = tumor_detection("train", *arguments, "--epochs", 1, "--output_dir", BUNDLE / "models")
    assert outcome.status == 1
    assert "holds the shipped weights; choose another folder" in outcome.error
    assert shipped_files() == shipped


def test_damaged_checkpoint_is_refused(tumor_detection: Command, arguments: list[object], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.pt").write_bytes(b"cut off")
    outcome = tumor_detection("train", *arguments, "--epochs", 1, "--output_dir", tmp_path / "run")
    assert outcome.status == 1
    assert "last.pt: not a file of weights" in outcome.error


# --- variants --------------------------------------------------------------------------------------------------


def test_training_goes_on_from_weights(tumor_detection: Command, arguments: list[object], tmp_path: Path) -> None:
    flags = ["--epochs", 1, "--output_dir", tmp_path / "first"]
    assert tumor_detection("train", *arguments, *flags).status == 0
    weights = tmp_path / "first" / "model.pt"
    flags = ["--epochs", 1, "--learning_rate", 0, "--weights", weights, "--output_dir", tmp_path / "second"]
    outcome = tumor_detection("train", *arguments, *flags)
    assert outcome.status == 0, outcome.err
    first, second = load(weights), load(tmp_path / "second" / "model.pt")
    torch.testing.assert_close(second["layers.1.weight"], first["layers.1.weight"], rtol=0, atol=0)


def test_workers_may_be_spawned(tumor_detection: Command, arguments: list[object], tmp_path: Path) -> None:
    overlay = {**TINY, "train#dataloader#multiprocessing_context": "spawn"}
    (tmp_path / "tiny.json").write_text(json.dumps(overlay))
    flags = [*arguments, "--epochs", 1, "--output_dir", tmp_path / "run"]
    flags[flags.index("--num_workers") + 1] = 1
    outcome = tumor_detection("train", *flags)
    assert outcome.status == 0, outcome.err
    assert load(tmp_path / "run" / "last.pt")["epoch"] == 1


def test_training_on_patch_pictures(tumor_detection: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for split, count in (("train", 6), ("valid", 3)):
        for label, level in (("0", 200), ("1", 90)):
            (tmp_path / split / label).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(level - 20, level + 20, (96, 96, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / label / f"{index}.png")
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    flags: list[object] = ["--config_file", "train_patches.json", tmp_path / "tiny.json", "--num_workers", 0]
    flags += ["--train_folders", tmp_path / "train", "--validation_folders", tmp_path / "valid"]
    flags += ["--ema_decay", 0.0, "--crisp_share", 0.5, "--learning_rate", 0.02]
    outcome = tumor_detection("train", *flags, "--epochs", 2, "--batch_size", 4, "--output_dir", tmp_path / "run")
    assert outcome.status == 0, outcome.err
    assert outcome.err.count("no patch is resampled") == outcome.err.count("is resampled from epoch 2 on") == 1
    last = load(tmp_path / "run" / "last.pt")
    assert (last["epoch"], last["epoch_length"]) == (2, 3)
    assert last["best_metric"] > 0.9, "dark and light are easily told apart"
