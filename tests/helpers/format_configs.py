"""Format the bundle's JSON configs: two spaces, short lists on one line.

``python tests/helpers/format_configs.py`` rewrites ``bundle/configs/*.json``, or the files that are named; with
``--check`` it only says which differ, and the exit status is 1 if any does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONFIG_DIR = Path(__file__).parents[2] / "bundle" / "configs"
LINE_LENGTH = 120


class _Number(str):
    """A number as it is spelled in the file: 1e-3 stays 1e-3."""


def format_json(text: str) -> str:
    """Format JSON text.

    Keys keep their order and numbers their spelling. A list goes on one line if it holds no object and fits.

    Raises:
        ValueError: if the text is not JSON, or an object repeats a key (JSON readers drop the first in silence).
    """
    content = json.loads(text, parse_int=_Number, parse_float=_Number, object_pairs_hook=_unique_keys)
    return _render(content, indent=0, used=0) + "\n"


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"key {key!r} stands twice in one object; keep one")
        content[key] = value
    return content


def _render(value: Any, indent: int, used: int) -> str:
    """Render ``value``, whose first line already has ``used`` columns before it and whose rows are at ``indent``."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, list) and not _holds_object(value):
        line = "[" + ", ".join(_render(item, 0, 0) for item in value) + "]"
        if "\n" not in line and used + len(line) < LINE_LENGTH:  # one column is left for a comma
            return line
    if not isinstance(value, (dict, list)) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        heads = [f"{json.dumps(key, ensure_ascii=False)}: " for key in value]
        items: Sequence[Any] = list(value.values())
        brackets = "{}"
    else:
        heads, items, brackets = [""] * len(value), value, "[]"
    rows = [
        inner + head + _render(item, indent + 2, len(inner) + len(head))
        for head, item in zip(heads, items, strict=True)
    ]
    return brackets[0] + "\n" + ",\n".join(rows) + "\n" + " " * indent + brackets[1]


def _holds_object(items: list[Any]) -> bool:
    return any(isinstance(item, dict) or (isinstance(item, list) and _holds_object(item)) for item in items)


def main(arguments: Sequence[str] | None = None) -> int:
    """Format or check the files; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("files", nargs="*", type=Path, default=sorted(CONFIG_DIR.glob("*.json")))
    options = parser.parse_args(arguments)
    status = 0
    for path in options.files:
        text = path.read_text(encoding="utf-8")
        try:
            formatted = format_json(text)
        except ValueError as error:
            print(f"{path}: {error}")
            status = 1
            continue
        if formatted == text:
            continue
        if options.check:
            print(f"{path}: not formatted; run python tests/helpers/format_configs.py")
            status = 1
        else:
            path.write_text(formatted, encoding="utf-8")
            print(f"{path}: formatted")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
