from __future__ import annotations

from pathlib import Path

import pytest

from scripts.challenge.cohort import (
    PARTLY_ANNOTATED,
    Member,
    choose_subset,
    hold_out,
    make_member,
    members_content,
    read_members,
)
from scripts.errors import InputError

TUMOR_TESTS = ("test_001", "test_002", "test_049")


def members(names: list[str]) -> list[Member]:
    found = [make_member(f"images/{name}.tif", TUMOR_TESTS) for name in names]
    return [member for member in found if member is not None]


ALL = members(
    [
        *(f"normal_{number:03d}" for number in range(1, 161)),
        *(f"tumor_{number:03d}" for number in range(1, 112)),
        *(f"test_{number:03d}" for number in range(1, 131)),
    ]
)


@pytest.mark.parametrize(
    ("name", "part", "is_tumor", "stratum"),
    [
        ("normal_100", "training", False, "Radboud"),
        ("normal_101", "training", False, "Utrecht"),
        ("Tumor_070", "training", True, "Radboud"),
        ("tumor_071", "training", True, "Utrecht"),
        ("test_001", "test", True, ""),
        ("Test_003", "test", False, ""),
    ],
)
def test_a_name_tells_part_class_and_centre(name: str, part: str, is_tumor: bool, stratum: str) -> None:
    assert make_member(f"images/{name}.tif", TUMOR_TESTS) == Member(
        name.lower(), f"images/{name}.tif", part, is_tumor, stratum
    )


@pytest.mark.parametrize("name", ["tumor_001_mask", "slide", "test_1", "abnormal_001"])
def test_other_names_are_no_slides_of_the_challenge(name: str) -> None:
    assert make_member(f"{name}.tif", TUMOR_TESTS) is None


def test_a_subset_has_as_many_of_each_kind_and_centre() -> None:
    chosen = choose_subset(ALL, 4, seed=1)
    kinds = [(member.kind, member.stratum) for member in chosen]
    for kind in ("training, tumor", "training, normal"):
        assert [kinds.count((kind, centre)) for centre in ("Radboud", "Utrecht")] == [2, 2]
    assert kinds.count(("test, normal", "")) == 4
    assert kinds.count(("test, tumor", "")) == 2, "all but test_049, which the challenge leaves out"
    assert chosen == [member for member in ALL if member in chosen], "in their order"


def test_a_larger_subset_holds_a_smaller_one_whatever_the_order() -> None:
    small = {member.name for member in choose_subset(ALL, 3, seed=5)}
    large = {member.name for member in choose_subset(ALL[::-1], 8, seed=5)}
    assert small < large
    assert small != {member.name for member in choose_subset(ALL, 3, seed=6)}


@pytest.mark.parametrize("count", [0, -1, 2.5, True])
def test_a_subset_is_a_number_of_slides(count: int) -> None:
    with pytest.raises(InputError, match="subset: expected a whole number"):
        choose_subset(ALL, count, 0)


def test_validation_has_slides_of_each_kind_none_of_them_partly_annotated() -> None:
    training = [member for member in ALL if member.part == "training"]
    held = hold_out(training, 0.1, seed=0)
    assert [sum(member.is_tumor is flag for member in held) for flag in (True, False)] == [11, 16]
    assert {member.stratum for member in held} == {"Radboud", "Utrecht"}
    assert not {member.name for member in held} & PARTLY_ANNOTATED
    few = members(["tumor_001", "tumor_010", "normal_001", "normal_002"])
    assert [member.is_tumor for member in hold_out(few, 0.1, 0)] == [True, False]


@pytest.mark.parametrize(
    ("names", "share", "message"),
    [
        (["tumor_001", "tumor_002", "normal_001"], 0.1, "at least 2 usable slides without"),
        (["tumor_001", "normal_002", "normal_001"], 0.1, "at least 2 usable slides with tumor"),
        (["tumor_001"], 1.0, "validation_share: expected a number between 0 and 1"),
    ],
)
def test_too_few_slides_to_validate_on_are_refused(names: list[str], share: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hold_out(members(names), share, 0)


def test_members_go_through_their_file() -> None:
    chosen = ALL[:3]
    assert read_members(members_content(chosen, {"a": "b"}), Path("cohort.json")) == chosen
    with pytest.raises(InputError, match=r"cohort\.json: expected the slides that verify found.*--from verify"):
        read_members({"slides": [{"name": "a"}]}, Path("cohort.json"))
