"""Pretraining on pictures without labels: what it leaves, what goes on from it, how it is resumed, what is refused."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.forked_commands import Started
from integration.conftest import Outcome
from scripts import bundle_root
from scripts.errors import InputError
from scripts.network.purpose import check_purpose

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CONFIGS = Path(bundle_root()) / "configs"
OVERLAYS = ["train_patches.json", "train_10x.json", "pretrain.json"]
Command = Callable[..., Outcome]


def write_pictures(folder: Path, count: int, seed: int) -> None:
    """Blots of random colors."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for index in range(count):
        blots = Image.fromarray(rng.integers(60, 230, (5, 5, 3), dtype=np.uint8))
        blots.resize((96, 96), Image.Resampling.BICUBIC).save(folder / f"{index:02}.png")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A run on 17 pictures without labels, in two steps of 8."""
    write_pictures(tmp_path / "pictures" / "0", 17, seed=1)
    found = {"train_folders": [str(tmp_path / "pictures")], "batch_size": 8, "num_workers": 0}
    return found | {"projector_width": 32, "precision": "float32"}


def flags_of(settings: dict[str, Any], **changes: Any) -> list[str]:
    return [part for key, value in (settings | changes).items() for part in (f"--{key}", str(value))]


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def test_a_training_starts_from_pretrained_weights(
    tumor_detection: Command, settings: dict[str, Any], tmp_path: Path
) -> None:
    flags = flags_of(settings, epochs=4, output_dir=tmp_path / "pretrained")
    outcome = tumor_detection("train", "--config_file", *OVERLAYS, *flags)
    assert outcome.status == 0, outcome.err
    assert "WARNING" not in outcome.err
    last = load(tmp_path / "pretrained" / "last.pt")
    assert (last["epoch"], last["epoch_length"], last["best_metric_epoch"]) == (4, 2, -1)
    assert "projector.0.weight" in last["loss"]

    events = EventAccumulator(str(tmp_path / "pretrained"))
    events.Reload()
    (tag,) = events.Tags()["scalars"]
    losses = [event.value for event in events.Scalars(tag)]
    assert len(losses) == 8
    assert np.isfinite(losses).all()

    weights = tmp_path / "pretrained" / "model.pt"
    with pytest.raises(InputError, match="made without labels, so its last layer knows no tumor; train from it first"):
        check_purpose(weights, 0.972, 96)
    write_pictures(tmp_path / "pictures" / "1", 5, seed=2)
    changes = {"learning_rate": 0, "ema_decay": 0.0, "half": False, "weights": weights, "epochs": 1}
    changes |= {"validation_folders": settings["train_folders"], "output_dir": tmp_path / "trained"}
    followed = {key: value for key, value in settings.items() if key != "projector_width"}
    outcome = tumor_detection("train", "--config_file", *OVERLAYS[:2], *flags_of(followed, **changes))
    assert outcome.status == 0, outcome.err
    check_purpose(tmp_path / "trained" / "model.pt", 0.972, 96)
    pretrained, trained = load(weights), load(tmp_path / "trained" / "model.pt")
    assert trained.keys() == pretrained.keys()
    for name, value in trained.items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            torch.testing.assert_close(value, pretrained[name].float(), rtol=0, atol=0, msg=name)


def test_a_killed_pretraining_ends_where_it_would_have(
    tumor_detection: Command, settings: dict[str, Any], tmp_path: Path
) -> None:
    """To the bit, with projector and views; killed under MONAI's own command, its overlays in the other order."""
    flags = flags_of(settings, epochs=3)
    assert (
        tumor_detection("train", "--config_file", *OVERLAYS, *flags, "--output_dir", tmp_path / "straight").status == 0
    )
    fail = {"_target_": "helpers.rank_events.Fail", "rank": 0, "epoch": 3, "how": "kill", "note": str(tmp_path / "at")}
    (tmp_path / "fail.json").write_text(json.dumps({"+train#handlers": [fail]}))
    files = [CONFIGS / "train.json", *(CONFIGS / OVERLAYS[index] for index in (0, 2, 1)), tmp_path / "fail.json"]
    words = ["monai.bundle", "run", "training", "--config_file", str([*map(str, files)]), *flags]
    words += ["--output_dir", str(tmp_path / "parts")]
    with Started(words, tmp_path, threads=torch.get_num_threads()) as process:
        assert process.wait() == -signal.SIGKILL, process.said
    assert load(tmp_path / "parts" / "last.pt")["epoch"] == 2
    outcome = tumor_detection("train", "--config_file", *OVERLAYS, *flags, "--output_dir", tmp_path / "parts")
    assert outcome.status == 0, outcome.err
    assert "resuming after epoch 2 of 3" in outcome.err
    for name in ("last.pt", "model.pt"):
        found, expected = (load(tmp_path / run / name) for run in ("parts", "straight"))
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_less_than_one_step_is_refused(tumor_detection: Command, settings: dict[str, Any], tmp_path: Path) -> None:
    flags = flags_of(settings, batch_size=18, output_dir=tmp_path / "run")
    outcome = tumor_detection("train", "--config_file", *OVERLAYS, *flags)
    assert outcome.status == 1
    assert outcome.error == "error: batch_size must be at most 17, the number of samples, but is 18"


def test_a_checkpoint_of_another_projector_is_refused(
    tumor_detection: Command, settings: dict[str, Any], tmp_path: Path
) -> None:
    settings["output_dir"] = tmp_path / "run"
    assert tumor_detection("train", "--config_file", *OVERLAYS, *flags_of(settings, epochs=1)).status == 0
    flags = flags_of(settings, epochs=2, projector_width=16)
    outcome = tumor_detection("train", "--config_file", *OVERLAYS, *flags)
    assert outcome.status == 1
    assert "last.pt: does not fit this run" in outcome.error
