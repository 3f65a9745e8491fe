"""Detections as files, the challenge's form: one CSV per slide, ``confidence,x,y`` in level-0 pixels, no header."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..files import atomic_path, check_is_file, read_json, read_number
from ..folders.names import slide_name
from .detections import Detections

_LIMIT = 1e9


class DetectionFile(NamedTuple):
    """The detections of one slide as a file.

    Attributes:
        path: the CSV file; its stem is the slide's.
        slide: the slide's file name, or its stem where that is not known.
    """

    path: Path
    slide: str

    @property
    def name(self) -> str:
        """The slide's name."""
        return slide_name(self.path)


def find_detection_files(folder: str | Path) -> list[DetectionFile]:
    """The CSV files of a folder, by name.

    Args:
        folder: the files, or an output of ``froc``, whose ``detections`` they are.

    Returns:
        One for each slide.

    Raises:
        InputError: if the folder is missing or holds none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a folder of detections, <slide>.csv")
    record = folder / "froc.json"
    folder = folder / "detections" if record.is_file() and (folder / "detections").is_dir() else folder
    paths = sorted(path for path in folder.glob("*.csv") if not path.name.startswith("."))
    if not paths:
        raise InputError(f"{folder}: no detections found; expected <slide>.csv with lines confidence,x,y")
    content = read_json(record) if record.is_file() else None
    rows = content.get("slides", []) if isinstance(content, dict) else []
    slides = {slide_name(str(row.get("slide"))): str(row.get("slide")) for row in rows if isinstance(row, dict)}
    return [DetectionFile(path, slides.get(slide_name(path), slide_name(path))) for path in paths]


def read_detections(path: Path) -> Detections:
    """Read the detections of a slide.

    Args:
        path: lines ``confidence,x,y``; the confidence is at least 0, x and y are level-0 pixels, fractions are cut.
            An empty file is a slide without detections.

    Returns:
        Detections in the level-0 frame, strongest first, the earlier line first where equal.

    Raises:
        InputError: if the file cannot be read or a line has another form; names the line.
    """
    rows: list[tuple[float, float, float]] = []
    check_is_file(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for number, line in enumerate(csv.reader(file), start=1):
                if line:
                    rows.append(_read_line(path, number, line))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error}); write it again") from error
    values = np.array(rows, dtype=np.float64).reshape(-1, 3)
    values = values[np.argsort(-values[:, 0], kind="stable")]
    return Detections(values[:, 0], values[:, 2].astype(np.int64), values[:, 1].astype(np.int64))


def _read_line(path: Path, number: int, line: list[str]) -> tuple[float, float, float]:
    try:
        confidence, x, y = map(read_number, line)
    except ValueError:
        found = ",".join(line)
        raise InputError(
            f"{path}, line {number}: expected confidence,x,y, found {found[:60]!r}; mend it (there is no header)"
        ) from None
    if not (math.isfinite(confidence) and confidence >= 0):
        raise InputError(f"{path}, line {number}: expected a confidence of at least 0, found {confidence}; mend it")
    if not (0 <= x < _LIMIT and 0 <= y < _LIMIT):
        raise InputError(f"{path}, line {number}: expected x,y in level-0 pixels, found {line[1]},{line[2]}; mend it")
    return confidence, x, y


def write_detections(path: Path, detections: Detections) -> None:
    """Write the detections of a slide, in their order, so that reading gives the same values back.

    Args:
        path: the CSV file.
        detections: level-0 frame.
    """
    # str of a number is the shortest text that gives the same value back.
    lines = [f"{prob!s},{col},{row}\n" for prob, row, col in zip(*detections, strict=True)]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(lines), encoding="ascii")


def as_written(detections: Detections) -> Detections:
    """Detections with the confidences that `write_detections` writes, in float64.

    The shortest decimal of a float32 is another float64 than its exact value. With it, a run scores the same from
    its maps and from the files that were written of them.

    Args:
        detections: confidences of any type.

    Returns:
        The same, confidences float64.
    """
    return detections._replace(prob=np.array([float(str(prob)) for prob in detections.prob], dtype=np.float64))
