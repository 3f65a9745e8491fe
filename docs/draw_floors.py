"""Draw docs/images/floors.svg: the packages of bundle/scripts on their floors, from the contract in pyproject.toml.

    python docs/draw_floors.py

The text in each box is the first sentence of the package's docstring.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from html import escape
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "bundle" / "scripts"
PICTURE = ROOT / "docs" / "images" / "floors.svg"

WIDTH, MARGIN, GAP = 1000, 20, 12
TOP, LINE, BOTTOM = 39, 15, 4  # px in a box: first line of text, from line to line, below the last
CHAR_WIDTH = 6.0  # px of a letter of the 11 px font, on average
COLORS = ("#eef3fb", "#ffffff")


def read_floors() -> list[list[str]]:
    """The floors from the top, each the names of its packages or modules."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = content["tool"]["importlinter"]["contracts"]
    return [layer.replace(":", "|").replace(" ", "").split("|") for layer in contract["layers"]]


def describe(name: str) -> str:
    """The first sentence of the docstring of a package, or of a module of the ground floor."""
    path = SCRIPTS / name / "__init__.py" if (SCRIPTS / name).is_dir() else SCRIPTS / f"{name}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("``", "").replace("`", "").rstrip(".")


def draw(floors: list[list[str]]) -> str:
    """The picture as SVG.

    Args:
        floors: of `read_floors`.
    """
    parts, top = [], MARGIN
    for index, names in enumerate(floors):
        width = (WIDTH - 2 * MARGIN - GAP * (len(names) - 1)) / len(names)
        texts = [textwrap.wrap(describe(name), int((width - 24) / CHAR_WIDTH)) for name in names]
        height = TOP + LINE * max(map(len, texts)) - BOTTOM
        color = COLORS[index % len(COLORS)]
        parts.append(f'<rect x="0" y="{top}" width="{WIDTH}" height="{height + 2 * GAP}" fill="{color}"/>')
        for column, (name, lines) in enumerate(zip(names, texts, strict=True)):
            parts += _box(name, lines, MARGIN + column * (width + GAP), top + GAP, width, height)
        top += height + 2 * GAP
    height = top + MARGIN
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="Helvetica, Arial, sans-serif">',
        "<title>Packages of bundle/scripts; each imports only from floors below its own</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def _box(name: str, lines: list[str], left: float, top: int, width: float, height: int) -> list[str]:
    x = f"{left + 12:.0f}"
    frame = f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{height}" rx="6"'
    head = f'<text x="{x}" y="{top + 21}" font-size="14" font-weight="bold" fill="#1f3a5f">{escape(name)}</text>'
    texts = [
        f'<text x="{x}" y="{top + TOP + LINE * row}" font-size="11" fill="#333333">{escape(line)}</text>'
        for row, line in enumerate(lines)
    ]
    return [f'{frame} fill="#ffffff" stroke="#1f5fa8"/>', head, *texts]


if __name__ == "__main__":
    PICTURE.write_text(draw(read_floors()), encoding="utf-8")
    print(PICTURE)
