"""Training by a teacher: the network learns what the teacher says, not what the labels say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from integration.conftest import Outcome

pytestmark = pytest.mark.integration

TINY = {"network_def": {"_target_": "helpers.networks.TinyNetwork"}}
Command = Callable[..., Outcome]


def write_pictures(folder: Path, labels: str, count: int, seed: int) -> None:
    """Light pictures get the first label and dark ones the second."""
    rng = np.random.default_rng(seed)
    for label, level in zip(labels, (200, 90), strict=True):
        (folder / label).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(level - 20, level + 20, (96, 96, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{index}.png")


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def test_a_network_follows_its_teachers_and_not_the_labels(tumor_detection: Command, tmp_path: Path) -> None:
    write_pictures(tmp_path / "right", "01", 6, seed=2)
    write_pictures(tmp_path / "swapped", "10", 6, seed=3)
    write_pictures(tmp_path / "valid", "01", 4, seed=4)
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    configs: list[object] = ["--config_file", "train_patches.json", "train_10x.json", tmp_path / "tiny.json"]
    flags: list[object] = ["--validation_folders", tmp_path / "valid", "--num_workers", 0, "--batch_size", 4]
    flags += ["--ema_decay", 0.0, "--learning_rate", 0.02]
    for seed in (0, 1):
        run = ["--train_folders", tmp_path / "right", "--seed", seed, "--output_dir", tmp_path / f"teacher_{seed}"]
        outcome = tumor_detection("train", *configs, *flags, *run, "--epochs", 2)
        assert outcome.status == 0, outcome.err
        assert load(tmp_path / f"teacher_{seed}" / "last.pt")["best_metric"] > 0.9

    teacher, other = (tmp_path / f"teacher_{seed}" / "model.pt" for seed in (0, 1))
    run = ["--train_folders", tmp_path / "swapped", "--teacher", teacher, "--output_dir", tmp_path / "student"]
    run += ["--other_teacher", other, "--other_teacher_def", "@network_def", "--teacher_turns", 1]
    outcome = tumor_detection("train", *configs, "train_taught.json", *flags, *run, "--epochs", 3)
    assert outcome.status == 0, outcome.err
    assert load(tmp_path / "student" / "last.pt")["best_metric"] > 0.9, "by the labels it would be near 0"


def test_a_training_without_a_teacher_is_refused(tumor_detection: Command, tmp_path: Path) -> None:
    write_pictures(tmp_path / "right", "01", 2, seed=2)
    flags: list[object] = ["--train_folders", tmp_path / "right", "--validation_folders", tmp_path / "right"]
    flags += ["--num_workers", 0, "--output_dir", tmp_path / "run"]
    outcome = tumor_detection("train", "--config_file", "train_patches.json", "train_taught.json", *flags)
    assert outcome.status == 1
    assert outcome.error.startswith("error: teacher: expected a file of weights, or a list of some; give --teacher")
