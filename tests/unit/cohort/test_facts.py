"""Facts of slides: from tables, lists and names, and held against the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.cohort.exclusions import Exclusion
from scripts.cohort.facts import SlideFacts, check_class, gather_facts, reference_warnings, training_center
from scripts.cohort.reference import Reference
from scripts.errors import InputError
from scripts.maps.files import MapInfo

NOTHING = Exclusion([], frozenset(), frozenset())
TABLE = {
    "test_001": Reference("gt.csv, row 1", True, "IDC", "macro", "Utrecht"),
    "test_002": Reference("gt.csv, row 2", False, "DCIS", "none"),
}


def infos_of(*names):
    return [MapInfo(Path(f"{name}.npy"), f"{name}.tif", (6_000, 9_050), 32, 0.25) for name in names]


def test_facts_come_from_the_table_the_list_and_the_name():
    infos = infos_of("Test_001", "test_002", "test_114", "tumor_005")
    excluded = Exclusion([], frozenset(), frozenset({"test_114"}))
    assert gather_facts(infos, TABLE, excluded, True) == [
        SlideFacts(True, True, "IDC", "macro", "Utrecht", "gt.csv, row 1"),
        SlideFacts(False, True, "DCIS", "none", None, "gt.csv, row 2"),
        SlideFacts(True, False),
        SlideFacts(center="Radboud"),
    ]
    assert gather_facts(infos_of("tumor_005"), {}, NOTHING, False) == [SlideFacts()]  # not known to be CAMELYON16's


@pytest.mark.parametrize(
    ("name", "center"),
    [
        ("Normal_001", "Radboud"),
        ("normal_100", "Radboud"),
        ("normal_101", "Utrecht"),
        ("normal_160", "Utrecht"),
        ("normal_161", None),
        ("tumor_070", "Radboud"),
        ("TUMOR_071", "Utrecht"),
        ("tumor_110", "Utrecht"),
        ("tumor_111", "Radboud"),  # it was normal_086
        ("tumor_112", None),
        ("tumor_000", None),
        ("test_001", None),
        ("tumor_0701", None),
    ],
)
def test_center_of_a_training_slide(name, center):
    assert training_center(name) == center


@pytest.mark.parametrize("is_tumor", [True, False])
def test_truth_that_contradicts_the_table_is_refused(is_tumor):
    truth = Path("truth/test_001.xml")
    facts = SlideFacts(is_tumor, place="gt.csv, row 1")
    check_class(facts, truth, is_tumor)
    check_class(SlideFacts(None, place="centers.csv, row 1"), truth, is_tumor)
    check_class(facts._replace(counts_lesions=False), truth, not is_tumor)
    with pytest.raises(InputError, match=r"gt\.csv, row 1: .* truth/test_001\.xml marks .*--exclude"):
        check_class(facts, truth, not is_tumor)


def test_slides_that_only_one_side_knows_are_warned_of():
    infos = infos_of("test_002", "other")
    assert reference_warnings(infos, {}, frozenset()) == []
    assert reference_warnings(infos, TABLE, frozenset()) == [
        "slides that are in no reference table: other",
        "1 slide of the reference table has no map, not scored: test_001",
    ]
    assert reference_warnings(infos[:1], TABLE, frozenset({"test_001"})) == []
