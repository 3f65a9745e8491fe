from __future__ import annotations

import pytest

from scripts.errors import InputError
from scripts.maps.run_file import read_failures, read_run


@pytest.mark.parametrize("content", ["[]", '"text"', None])
def test_a_run_that_says_nothing(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert (read_run(tmp_path), read_failures(tmp_path)) == ({}, {})


def test_a_damaged_run_file_is_named(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run.json: not a readable JSON file"):
        read_run(tmp_path)
