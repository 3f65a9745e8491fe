"""The config formatter changes the layout and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.format_configs import CONFIG_DIR, LINE_LENGTH, format_json, main

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_format_keeps_the_content_and_is_stable(value: object) -> None:
    formatted = format_json(json.dumps(value))
    assert json.loads(formatted) == value
    assert format_json(formatted) == formatted


def test_format_puts_short_lists_on_one_line() -> None:
    text = '{"b": {"size": [\n224,\n 224],"none": []}, "a": [[0, 1], [{"c": 1e-3}]], "empty": {}}'
    assert format_json(text).splitlines() == [
        "{",
        '  "b": {',
        '    "size": [224, 224],',
        '    "none": []',
        "  },",
        '  "a": [',
        "    [0, 1],",
        "    [",
        "      {",
        '        "c": 1e-3',
        "      }",
        "    ]",
        "  ],",
        '  "empty": {}',
        "}",
    ]


@pytest.mark.parametrize(("num_letters", "num_lines"), [(LINE_LENGTH - 12, 3), (LINE_LENGTH - 11, 5)])
def test_format_breaks_a_list_that_does_not_fit(num_letters: int, num_lines: int) -> None:
    formatted = format_json(json.dumps({"k": ["x" * num_letters]}))
    assert len(formatted.splitlines()) == num_lines
    assert num_lines == 5 or max(map(len, formatted.splitlines())) == LINE_LENGTH - 1


def test_format_refuses_a_repeated_key() -> None:
    with pytest.raises(ValueError, match="'lr' stands twice"):
        format_json('{"lr": 1, "lr": 2}')


def test_check_changes_nothing_and_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "train.json"
    config.write_text('{"a": [1,\n2]}')
    assert main(["--check", str(config)]) == 1
    assert str(config) in capsys.readouterr().out
    assert config.read_text() == '{"a": [1,\n2]}'
    assert main([str(config)]) == 0
    assert config.read_text() == '{\n  "a": [1, 2]\n}\n'
    assert main(["--check", str(config)]) == 0


def test_a_broken_file_is_named_and_the_others_are_formatted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, other = tmp_path / "a.json", tmp_path / "b.json"
    broken.write_text("{")
    other.write_text("[1,2]")
    assert main([str(broken), str(other)]) == 1
    assert f"{broken}: " in capsys.readouterr().out
    assert other.read_text() == "[1, 2]\n"


@pytest.mark.parametrize("path", sorted(CONFIG_DIR.glob("*.json")), ids=lambda path: path.name)
def test_the_bundles_configs_are_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_json(text) == text
