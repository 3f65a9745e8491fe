from __future__ import annotations

from pathlib import Path

import pytest

from scripts.challenge.layout import Layout
from scripts.errors import InputError


@pytest.mark.parametrize(
    ("weights", "rounds", "expected", "once", "twice"),
    [
        (None, 2, "second_training/model.pt", None, None),
        (None, 1, "training/model.pt", None, "rounds is 1"),
        ("mine.pt", 2, "mine.pt", "weights are given: mine.pt", "weights are given: mine.pt"),
        ("shipped", 1, "bundle/models/model.pt", "weights are given: shipped", "weights are given: shipped"),
    ],
)
def test_weights_say_whether_there_is_a_training(
    weights: str | None, rounds: int, expected: str, once: str | None, twice: str | None
) -> None:
    layout = Layout("root", "output", weights, rounds)
    assert layout.weights().as_posix().endswith(expected)
    assert (layout.trains(), layout.trains_twice()) == (once, twice)


def test_paths_are_named_so_that_root_and_output_may_be_moved(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "output"))
    for path, shown in (
        (tmp_path / "root" / "images" / "a.tif", "root/images/a.tif"),
        (tmp_path / "output" / "infer", "output/infer"),
        (tmp_path / "mine.pt", str(tmp_path / "mine.pt")),
    ):
        assert layout.shown(path) == shown
        assert layout.found(shown) == path


def test_before_verify_there_are_no_slides(tmp_path: Path) -> None:
    assert Layout(str(tmp_path), str(tmp_path)).slides("test") == []


@pytest.mark.parametrize("rounds", [0, 3, 1.5])
def test_there_are_one_or_two_rounds(rounds: int) -> None:
    with pytest.raises(InputError, match="rounds: expected 1 or 2"):
        Layout("root", "output", None, rounds)
