"""Ids that no config knows; the command of MONAI and the workflow of Python ask with them."""

from __future__ import annotations

import pytest

from scripts.settings.ids import config_ids, unknown_ids

KNOWN = config_ids({"epochs": 3, "train": {"trainer": {"_target_": "x"}}, "+steps": [{"a": 1}], "learning_rate": 0.1})


def test_ids_are_listed_with_nested_ones_and_those_of_lists() -> None:
    names = ["epochs", "learning_rate", "steps", "steps#0", "steps#0#a", "train", "train#trainer"]
    assert sorted(KNOWN) == [*names, "train#trainer#_target_"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"epochs": 1, "train#trainer#new": 1, "steps::0::a": 1, "+steps": [], "logging_file": False}, {}),
        ({"rate": 1, "learning_rate": "$2 * @rate"}, {}),
        ({"epoch": 1}, {"epoch": "; did you mean 'epochs'?"}),
        ({"lr": 1, "override": 1}, {"lr": "; use learning_rate", "override": ""}),
        ({"trian#trainer#x": 1}, {"trian#trainer#x": "; did you mean 'train#trainer'?"}),
        ({"steps#1": {}}, {"steps#1": "; did you mean 'steps#0'?"}),
    ],
)
def test_unknown_ids_come_with_a_hint(given: dict[str, object], expected: dict[str, str]) -> None:
    assert unknown_ids(given, KNOWN) == expected
