from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.challenge.subconfigs import as_names, check_values
from scripts.errors import InputError


def test_one_overlay_or_several() -> None:
    assert as_names("a.json") == ["a.json"]
    assert as_names(["a.json", "b.json"]) == ["a.json", "b.json"]
    assert as_names(()) == []


def test_values_of_ids_that_there_are_pass(tmp_path: Path) -> None:
    check_values("training", "train.json", {"epochs": 2, "train#trainer#amp": True})
    (tmp_path / "new.json").write_text('{"my_id": 3}')
    check_values("training", "train.json", {"my_id": 4}, [str(tmp_path / "new.json")])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 2}, "training: train.json has no id 'epoch'; did you mean 'epochs'"),
        ({"epochs": -1}, "epochs: expected a whole number"),
        ({"network_def": object()}, "training: expected values, found a component.*--training_overlays"),
    ],
)
def test_others_are_refused_before_anything_runs(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_values("training", "train.json", values)


def test_an_overlay_that_is_missing_is_refused() -> None:
    with pytest.raises(InputError, match=r"nothing\.json: no such file"):
        check_values("inference", "inference.json", {}, ["nothing.json"])
