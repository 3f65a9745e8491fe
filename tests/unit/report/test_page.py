from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure

from scripts.errors import InputError
from scripts.report.missing import MissingMap
from scripts.report.page import figure_svg, file_size, length, with_interval, write_page

CONTENT: dict[str, Any] = {
    "title": 'A <b>title</b> & "more"',
    "note": "<script>alert(1)</script>",
    "figures": [{"name": "<i>", "value": "1", "remark": ""}],
    "warnings": ["<img src=x onerror=alert(1)>"],
    "scores": None,
    "published": [],
    "slides": [],
    "missing": [MissingMap("<a>.tif", "<b>")],
    "ranks": {},
    "plots": [],
    "strata": "",
    "settings": [("<u>", "<s>")],
    "crop_side": 224,
    "wider": 4,
    "outside": "",
    "length": length,
}


def test_page_escapes_every_text(tmp_path: Path) -> None:
    size = write_page(tmp_path / "a.html", CONTENT)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert size == len(text.encode("utf-8"))
    assert "A &lt;b&gt;title&lt;/b&gt; &amp; &#34;more&#34;" in text
    assert not re.search(r"<(b|i|u|s|img)\b", text)
    assert text.count("<script") == 1


def test_page_allows_its_own_script_alone_and_no_request(tmp_path: Path) -> None:
    write_page(tmp_path / "a.html", CONTENT)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert re.search(r"script-src 'sha256-[\w+/]{43}='", text)
    assert not re.search(r"https?:|//\w+\.|@import|url\((?!#)", text)


def test_page_without_a_value_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError, match="'wider' is undefined"):
        write_page(tmp_path / "a.html", {key: value for key, value in CONTENT.items() if key != "wider"})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="cannot be written"):
        write_page(tmp_path / "gone" / "a.html", CONTENT)


def plot() -> Figure:
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#1f5fa8")
    axes.set_title("a < b & c")
    return figure


def test_plot_is_svg_that_stands_inside_a_page() -> None:
    text = figure_svg(plot(), "first")
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    assert "width" not in root.attrib
    assert "a < b & c" in {element.text for element in root.iter()}, "text stays text"
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert ids
    assert all(name.startswith("first-") for name in ids)
    assert {name[1:] for name in re.findall(r"#first-[\w-]+", text)} <= set(ids), "what is referred to is there"
    assert "currentColor" in text
    assert "var(--accent)" in text
    assert "#000000" not in text


def test_same_plot_gives_the_same_svg() -> None:
    assert figure_svg(plot(), "a") == figure_svg(plot(), "a")


@pytest.mark.parametrize(("size", "text"), [(900, "1 kB"), (99_000, "99 kB"), (1_240_000, "1.2 MB")])
def test_file_size(size: int, text: str) -> None:
    assert file_size(size) == text


@pytest.mark.parametrize(("um", "text"), [(85.4, "85 µm"), (2400, "2.40 mm")])
def test_length(um: float, text: str) -> None:
    assert length(um) == text


def test_with_interval() -> None:
    assert with_interval(0.8534, [0.8, 0.9]) == ("0.853", "95% interval 0.800 to 0.900")
    assert with_interval(None, None) == ("–", "")
