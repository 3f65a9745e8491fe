from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.errors import InputError
from scripts.network.modes import MODES, dense_step, resolve_mode


@pytest.mark.parametrize(
    ("stride", "downsample", "step"),
    [(32, 1.0, 1), (64, 1.0, 2), (96, 1.0, 3), (64, 2.0, 1), (64, 0.5, 4), (128, 4.0, 1), (64, 0.243 / 0.1215, 1)],
)
def test_dense_step_counts_outputs_between_positions(stride: int, downsample: float, step: int) -> None:
    assert dense_step(stride, downsample) == step
    assert resolve_mode("auto", stride, downsample) == resolve_mode("refined", stride, downsample) == "refined"
    assert resolve_mode("dense", stride, downsample) == "dense"


@pytest.mark.parametrize(
    ("stride", "downsample"), [(37, 1.0), (16, 1.0), (48, 1.0), (64, 4.0), (64, 0.486), (64, 1.001), (1, 1.0)]
)
def test_positions_between_outputs_need_sliding(stride: int, downsample: float) -> None:
    assert dense_step(stride, downsample) is None
    assert resolve_mode("auto", stride, downsample) == "sliding"
    for mode in ("dense", "refined"):
        with pytest.raises(InputError, match=f"--mode {mode} needs .* 32 pixels .* stride {stride} .*--mode sliding"):
            resolve_mode(mode, stride, downsample)


@pytest.mark.parametrize("stride", [64, 37])
def test_sliding_goes_everywhere(stride: int) -> None:
    assert resolve_mode("sliding", stride, 1.0) == "sliding"


@pytest.mark.parametrize("mode", ["fast", "", "Dense"])
def test_other_modes_are_refused(mode: str) -> None:
    with pytest.raises(InputError, match=f"mode must be one of {', '.join(MODES)}, but got {mode!r}"):
        resolve_mode(mode, 64, 1.0)


def test_docs_explain_each_mode() -> None:
    text = (Path(__file__).parents[3] / "docs" / "configs.md").read_text(encoding="utf-8")
    table = text.split("| mode | computes |\n")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(MODES)
