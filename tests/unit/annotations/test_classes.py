"""What a class in a file means."""

from __future__ import annotations

import pytest

from scripts.annotations import classes
from scripts.annotations.verdicts import CLASSES


@pytest.mark.parametrize(
    ("label", "base"),
    [
        ("Tumor: Positive", "tumor"),
        ("Ignore*", "ignore"),
        (" Not tumor ", "not tumor"),
        ("UNSURE", "unsure"),
        (None, ""),
    ],
)
def test_base_class(label, base):
    assert classes.base_class(label) == base


def test_each_class_of_a_verdict_has_one_meaning():
    meanings = [classes.TUMOR_CLASSES, classes.REJECTED_CLASSES, classes.UNDECIDED_CLASSES, classes.EXCLUSION_CLASSES]
    found = {
        name: [number for number, words in enumerate(meanings) if classes.base_class(name) in words]
        for name, _ in CLASSES.values()
    }
    assert found == {"Tumor": [0], "Not tumor": [1], "Unsure": [2], "Unreviewed": [2]}
