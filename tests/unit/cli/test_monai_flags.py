"""Flags of MONAI's command that no config knows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from scripts import bundle_root
from scripts.cli.monai_flags import warn_of_unknown_flags

CONFIGS = Path(bundle_root()) / "configs"
TRAIN, INFERENCE = str(CONFIGS / "train.json"), str(CONFIGS / "inference.json")
EVALUATE = str([TRAIN, str(CONFIGS / "evaluate.json")])


@pytest.mark.parametrize(
    ("config", "flag", "use"),
    [
        (TRAIN, "--num_epochs", "; use --epochs;"),
        (TRAIN, "--num-epochs", "; use --epochs;"),
        (TRAIN, "--lr=0.1", "; use --learning_rate;"),
        (TRAIN, "--early_stop_patience", "; use --patience;"),
        (TRAIN, "--epoch", "; did you mean 'epochs'?;"),
        (TRAIN, "--train#traner#max_epochs", "; did you mean 'train#trainer#max_epochs'?;"),
        (TRAIN, "--qqq", "no such id; docs"),
        (EVALUATE, "--ckpt_path", "; use --weights;"),
        (INFERENCE, "--sw_batch_size", "; use --batch_size;"),
        (INFERENCE, "--num_epochs", "no such id"),
    ],
)
def test_an_unknown_flag_is_told_with_the_right_name(
    config: str, flag: str, use: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = flag.partition("=")[0][2:].replace("num-epochs", "num_epochs")
    assert warn_of_unknown_flags(["run", "training", "--config_file", config, flag, "3"]) == [name]
    (message,) = caplog.messages
    assert message.startswith(f"--{name} changes nothing: ")
    assert use in message
    assert message.count("json has no such id") == 1


@pytest.mark.parametrize(
    ("config", "flags"),
    [
        (TRAIN, ["--epochs", "3", "--train#trainer#max_epochs", "2", "--ckpt_dir", "here"]),
        (TRAIN, ["--optimizer#betas", "[0.9, 0.98]", "--meta_file", "m.json", "--tracking", "mlflow"]),
        (TRAIN, ["--rate", "0.1", "--learning_rate", "@rate", "--workflow_type", "train", "--run_id=run"]),
        (EVALUATE, ["--ckpt_dir", "runs", "--validate#key_metric#val_auc#average", "macro"]),
        (INFERENCE, ["--slides", "['a.tif', 'b.tif']", "--dataset::mode", "dense"]),
    ],
)
def test_known_flags_are_not(config: str, flags: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert warn_of_unknown_flags(["run", "--config_file", config, *flags]) == []
    assert not caplog.messages


def test_flags_of_a_file_count_and_those_of_other_commands_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flags.json").write_text(json.dumps({"config_file": [TRAIN], "num_epochs": 3}))
    arguments = ["run", "training", "--args_file", str(tmp_path / "flags.json")]
    assert warn_of_unknown_flags(arguments) == ["num_epochs"]
    monkeypatch.setattr(sys, "argv", ["/x/monai/bundle/__main__.py", *arguments])
    assert warn_of_unknown_flags() == ["num_epochs"]
    monkeypatch.setattr(sys, "argv", ["/x/bin/pytest", *arguments])
    assert warn_of_unknown_flags() == []


def test_a_config_in_yaml_is_read(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("my_rate: 0.1\n")
    files = str([TRAIN, str(tmp_path / "more.yaml")])
    assert warn_of_unknown_flags(["run", "--config_file", files, "--my_rate", "0.2", "--lr", "1"]) == ["lr"]
