"""What benchmarks print: tables, the machine they ran on, and blocks of docs/benchmarks.md."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from scripts.errors import InputError
from scripts.files import atomic_path
from scripts.network.processors import count_processors

_PACKAGES = ("torch", "openvino", "monai", "cucim-cu13", "numpy")


def machine_line() -> str:
    """Processor, device, versions and date, and how busy the machine was before."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    parts = [f"{model.group(1) if model else platform.processor()}, {count_processors()} cores"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    versions = [f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    parts += [", ".join(versions), f"load before {os.getloadavg()[0]:.1f}", f"{datetime.date.today()}"]
    return "; ".join(parts)


def command_line() -> str:
    """The command that runs now."""
    return shlex.join(["python", *sys.argv])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are aligned, so that it reads well on a terminal too."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(3, *(len(row[index]) for row in cells)) for index in range(len(header))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    )


def publish(page: str | Path | None, name: str, machine: str, *tables: str) -> None:
    """Print tables and, where there is a page, put them into its block ``name``, below the command and the machine.

    Raises:
        InputError: see `replace_block`.
    """
    print("\n" + "\n\n".join(tables))
    if page is not None:
        replace_block(page, name, "\n\n".join([f"```\n{command_line()}\n```", machine, *tables]))


def replace_block(page: str | Path, name: str, content: str) -> None:
    """Put text between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` of a page, in place of what is there.

    Raises:
        InputError: if the page is missing or does not have both marks once.
    """
    page, begin, end = Path(page), f"<!-- begin {name} -->", f"<!-- end {name} -->"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        raise InputError(f"{page}: expected the lines '{begin}' and '{end}', once each; add them where the block goes")
    before, after = text.split(begin)[0], text.split(end)[1]
    with atomic_path(page) as temporary:
        temporary.write_text(f"{before}{begin}\n{content.strip()}\n{end}{after}", encoding="utf-8")
