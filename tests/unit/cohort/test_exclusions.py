"""What is left out of a score: by name, by the challenge's list, of everything or of lesion scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.cohort.exclusions import leave_out
from scripts.errors import InputError
from scripts.maps.files import MapInfo


def infos_of(*names):
    return [MapInfo(Path(f"{name}.npy"), f"{name}.tif", (6_000, 9_050), 32, 0.25) for name in names]


def test_leave_out_takes_names_and_camelyon16s_list():
    infos = infos_of("test_048", "Test_049", "test_050", "001", "TEST_114")
    kept, excluded = leave_out(infos, "camelyon16,001")
    assert [info.name for info in kept] == ["test_048", "test_050", "TEST_114"]
    assert excluded.left_out == ["Test_049", "001"]
    assert excluded.names == {"test_049", "001"}
    assert excluded.without_lesions == {"test_114"}
    assert leave_out(infos, "") == (infos, ([], frozenset(), frozenset()))
    assert leave_out(infos, ["TEST_050.tif"])[1].left_out == ["test_050"]


@pytest.mark.parametrize("exclude", ["camelyon16,test_114", ["test_114", "camelyon16"]])
def test_a_slide_that_is_named_is_left_out_of_everything(exclude):
    kept, excluded = leave_out(infos_of("a", "test_114"), exclude)
    assert [info.name for info in kept] == ["a"]
    assert excluded == (["test_114"], {"test_049", "test_114"}, frozenset())


@pytest.mark.parametrize(
    ("exclude", "message"),
    [("test_114", "exclude: 1 name is of no map: test_114"), ("camelyon16,a", "exclude: names all of 2 slides")],
)
def test_leave_out_refuses(exclude, message):
    with pytest.raises(InputError, match=message):
        leave_out(infos_of("a", "test_049"), exclude)
