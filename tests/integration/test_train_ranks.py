"""Training in several processes, started by torchrun, is training in one."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.torchrun import torchrun
from integration.conftest import Outcome
from scripts import bundle_root

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CONFIGS = Path(bundle_root()) / "configs"
EPOCHS = 5
OVERLAY = {
    "network_def": {"_target_": "helpers.networks.TinyNetwork"},
    "optimizer": {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": "@learning_rate"},
    "train#prepare_batch#augmentation": None,
}
Command = Callable[..., Outcome]


def write_pictures(folder: Path, counts: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    for label, count in enumerate(counts):
        (folder / str(label)).mkdir(parents=True)
        for index in range(count):
            level = int(rng.integers(110, 190)) - 20 * label
            pixels = rng.integers(level - 60, level + 60, (96, 96, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / str(label) / f"{index}.png")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A run on 13 pictures in steps of 5, 5 and 3, validated on 8."""
    write_pictures(tmp_path / "train", (7, 6), seed=1)
    write_pictures(tmp_path / "valid", (5, 3), seed=2)
    return {
        "train_folders": [str(tmp_path / "train")],
        "validation_folders": [str(tmp_path / "valid")],
        "batch_size": 5,
        "epochs": EPOCHS,
        "learning_rate": 0.2,
        "ema_decay": 0.5,
        "half": False,
        "max_grad_norm": 1.0,
        "precision": "float32",
        "num_workers": 0,
    }


def write_overlay(path: Path, settings: dict[str, Any], output: Path, fail: tuple[int, int, str] | None = None) -> Path:
    """An overlay of settings, in which weights are saved beside the output, and one process ends early."""
    seen = output.with_name(f"{output.name}_seen")
    seen.mkdir(exist_ok=True)
    parts = {"network": "@network", "average": "@average", "evaluator": "@validate#evaluator", "folder": str(seen)}
    handlers = [{"_target_": "helpers.rank_events.SaveEach", **parts}]
    if fail is not None:
        rank, epoch, how = fail
        last: dict[str, Any] = {"rank": rank, "epoch": epoch, "how": how, "note": str(output.with_name("failed_at"))}
        handlers.append({"_target_": "helpers.rank_events.Fail", **last})
    content = {**OVERLAY, **settings, "output_dir": str(output), "+train#handlers": handlers}
    path.write_text(json.dumps(content))
    return path


def assert_ended_soon(note: Path) -> None:
    assert time.time() - float(note.read_text()) < 300, "all end, and none waits for the others"


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def assert_close(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-5)


def test_a_run_goes_on_in_one_three_and_two_processes(
    tumor_detection: Command, settings: dict[str, Any], tmp_path: Path
) -> None:
    """And each time some process fails; the weights are those of one process that trained to the end."""
    output, overlay = tmp_path / "parts", tmp_path / "overlay.json"
    flags = ["--config_file", "train_patches.json", overlay]
    straight = write_overlay(tmp_path / "straight.json", settings, tmp_path / "straight")
    assert tumor_detection("train", "--config_file", "train_patches.json", straight).status == 0

    write_overlay(overlay, settings, output, fail=(0, 2, "error"))
    assert tumor_detection("train", *flags).status == 1

    write_overlay(overlay, settings, output, fail=(2, 4, "error"))
    command = ["--no-python", "tumor-detection", "train", *flags, "multi_gpu_train.json"]
    ended = torchrun(tmp_path, 3, *command)
    assert ended.status == 1
    assert_ended_soon(tmp_path / "failed_at")
    assert "error: tumor_001.tif: made to fail" in ended.said
    assert load(output / "last.pt")["epoch"] == 3

    write_overlay(overlay, settings, output, fail=(1, 5, "kill"))
    files = [str(path) for path in (CONFIGS / "train.json", CONFIGS / "train_patches.json", overlay)]
    files.append(str(CONFIGS / "multi_gpu_train.json"))
    ended = torchrun(tmp_path, 2, "-m", "monai.bundle", "run", "training", "--config_file", files)
    assert ended.status == 1
    assert_ended_soon(tmp_path / "failed_at")
    # torchrun names the one that was killed, or the other, which lost its partner, if it ended within the same tenth
    assert re.search(r"exitcode *: -9|Connection (closed by peer|reset)", ended.said), ended.said[-2000:]
    assert load(output / "last.pt")["epoch"] == 4

    write_overlay(overlay, settings, output)
    assert tumor_detection("train", *flags).status == 0
    for epoch, num_ranks in ((1, 1), (2, 3), (3, 3), (4, 2), (5, 1)):
        expected = load(tmp_path / "straight_seen" / f"epoch_{epoch}_rank_0.pt")
        found = [load(tmp_path / "parts_seen" / f"epoch_{epoch}_rank_{rank}.pt") for rank in range(num_ranks)]
        assert not (tmp_path / "parts_seen" / f"epoch_{epoch}_rank_{num_ranks}.pt").exists()
        for content in found:
            torch.testing.assert_close(content, found[0], rtol=0, atol=0)
        assert_close(found[0], expected)
    assert_close(load(output / "model.pt"), load(tmp_path / "straight" / "model.pt"))
    last, expected = load(output / "last.pt"), load(tmp_path / "straight" / "last.pt")
    assert last.keys() == expected.keys()
    assert_close(last["network"], expected["network"])
    assert (last["epoch"], last["epoch_length"]) == (expected["epoch"], expected["epoch_length"]) == (EPOCHS, 3)
    of_one_run = len(list((tmp_path / "straight").glob("events.*")))
    assert len(list(output.glob("events.*"))) == 4 * of_one_run > 0, "one process of each of the four runs writes"
