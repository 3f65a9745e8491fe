"""The stage that makes labels: from NCRF's coordinates where they are given, else regions drawn from the slides."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import atomic_path, make_output_dir
from ..labels.loclabel import LoclabelSummary, generate_loclabels
from ..labels.sampling import SampleSettings, sample_regions
from .cohort import PARTLY_ANNOTATED, TRAINING, Member, check_share, hold_out
from .costs import Cost, Probe
from .engine import Outcome
from .steps import Step

_COORDS = {"training": ("tumor_train.txt", "normal_train.txt"), "validation": ("tumor_valid.txt", "normal_valid.txt")}

_NUM_TRIED = 2000


@dataclass
class Labels(Step):
    """Labelled regions to train and to validate on, of different slides.

    Attributes:
        coords_dir: NCRF's folder ``coords``, or None to draw regions.
        annotations_dir: annotations that the coordinates are labelled by, such as NCRF's ``jsons``; the data set's own
            if None.
        ignore_exclusions: with coordinates, take tumor in exclusions for tumor, as NCRF does.
        num_tumor: regions with a tumor center to draw, and as many with a normal one.
        num_validation: the same of the slides to validate on.
        validation_share: of the slides of each kind, to validate on.
        stride: see `labels.sampling.SampleSettings`.
        seed: of everything random.
        backend: see `slides.slide.open_slide`.
    """

    coords_dir: str | None = None
    annotations_dir: str | None = None
    ignore_exclusions: bool = True
    num_tumor: int = 50_000
    num_validation: int = 5_000
    validation_share: float = 0.1
    stride: int = 64
    seed: int = 0
    backend: str = "auto"
    name = "labels"
    training_file = "training.csv"
    validation_file = "validation.csv"

    def left_out(self) -> str | None:
        """With given weights there is no training."""
        return self.layout.trains()

    def check(self) -> None:
        """Refuse a wrong share of slides, or a folder of coordinates that is not there."""
        check_share(self.validation_share)
        if self.coords_dir is not None and not Path(self.coords_dir).is_dir():
            raise InputError(f"coords_dir {self.coords_dir}: no such folder; give NCRF's coords, or leave it out")

    def settings(self) -> dict[str, Any]:
        """What is drawn, or how it is labelled."""
        if self.coords_dir is not None:
            return {"coords_dir": self.coords_dir, "ignore_exclusions": self.ignore_exclusions}
        names = ("num_tumor", "num_validation", "validation_share", "stride", "seed", "backend")
        return {name: getattr(self, name) for name in names}

    def inputs(self) -> Sequence[Path]:
        """Slides, annotations and coordinates."""
        coords = [] if self.coords_dir is None else [Path(self.coords_dir)]
        return [*self.layout.slides(TRAINING), self._annotations(), *coords, *self.layout.corrected()]

    def outputs(self) -> Sequence[Path]:
        """Both files of labels."""
        return [self.folder / self.training_file, self.folder / self.validation_file]

    def cost(self, probe: Probe) -> Cost:
        """Overviews of the training slides; coordinates take as long as some of them."""
        if self.coords_dir is None:
            return Cost(probe.overviews(probe.of(TRAINING)))
        members = [member for member in probe.of(TRAINING) if member.name in probe.shapes]
        return Cost(sum(self._labelling_seconds(part, members) for part in _COORDS) if members else None)

    def _labelling_seconds(self, part: str, members: Sequence[Member]) -> float:
        """Of all coordinates, by those of a share of them and of twice as many."""
        lines, _ = self._coordinates(part, members)
        count = min(_NUM_TRIED, max(1, len(lines) // 2))
        seconds = []
        with tempfile.TemporaryDirectory() as name:
            coords = Path(name) / "coords.txt"
            for number in (count, 2 * count):
                tried = lines[:: max(1, len(lines) // number)][:number]
                coords.write_text("".join(f"{line}\n" for line in tried), encoding="utf-8")
                started = time.monotonic()
                self._write_labels(coords, Path(name) / "labels.csv")
                seconds.append(time.monotonic() - started)
        return seconds[0] + max(seconds[1] - seconds[0], 0.0) / count * (len(lines) - count)

    def run(self, goes_on: bool) -> Outcome:
        """Write both files of labels."""
        make_output_dir(self.folder)
        members = self.layout.members(TRAINING)
        if self.coords_dir is not None:
            return Outcome("; ".join(self._label(part, members) for part in _COORDS))
        held = hold_out(members, self.validation_share, self.seed)
        rest = [member for member in members if member not in held]
        return Outcome(
            f"to train on, {self._draw(rest, self.num_tumor, self.training_file)}; to validate on, "
            f"{self._draw(held, self.num_validation, self.validation_file)}"
        )

    def _annotations(self) -> Path:
        return self.layout.annotations if self.annotations_dir is None else Path(self.annotations_dir)

    def _coordinates(self, part: str, members: Sequence[Member]) -> tuple[list[str], int]:
        """The lines of the slides that take part, and how many others there are."""
        names = {member.name for member in members}
        lines: list[str] = []
        for file in _COORDS[part]:
            path = Path(self.coords_dir or "") / file
            if not path.is_file():
                raise InputError(f"{path}: no such file; give NCRF's folder 'coords' as --coords_dir, or leave it out")
            lines += path.read_text(encoding="utf-8-sig").splitlines()
        kept = [line for line in lines if line.partition(",")[0].strip().lower() in names]
        if not kept:
            raise InputError(f"coords_dir {self.coords_dir}: no coordinate is of a slide of this run; add slides")
        return kept, len(lines) - len(kept)

    def _label(self, part: str, members: Sequence[Member]) -> str:
        """Label the coordinates of the slides that take part."""
        kept, num_others = self._coordinates(part, members)
        coords = self.folder / f"{part}_coords.txt"
        with atomic_path(coords) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        found = self._write_labels(coords, self.folder / f"{part}.csv")
        return f"{part}: {found}, {num_others} of other slides left out"

    def _write_labels(self, coords: Path, output: Path) -> LoclabelSummary:
        annotations, corrections = self._annotations(), self.layout.corrections
        return generate_loclabels(coords, annotations, output, self.ignore_exclusions, corrections=corrections)

    def _draw(self, members: Sequence[Member], num_tumor: int, file: str) -> str:
        """Draw regions; of slides that are annotated in part, only regions with a tumor center."""
        partly = [member for member in members if member.name in PARTLY_ANNOTATED]
        wholly = [member for member in members if member.name not in PARTLY_ANNOTATED]
        num_slides = sum(member.is_tumor for member in members)
        of_partly = min(num_tumor - 1, round(num_tumor * len(partly) / max(num_slides, 1)))
        settings = SampleSettings(num_tumor - of_partly, num_tumor, stride=self.stride, seed=self.seed)
        target = self.folder / file
        summary = self._sample(wholly, target, settings)
        if not of_partly:
            return summary
        added = target.with_name(f"{target.stem}_partly.csv")
        remark = self._sample(partly, added, settings._replace(num_tumor=of_partly, num_normal=0))
        with atomic_path(target) as temporary:
            temporary.write_bytes(target.read_bytes() + added.read_bytes())
        return f"{summary}, and of slides annotated in part {remark}"

    def _sample(self, members: Sequence[Member], target: Path, settings: SampleSettings) -> str:
        slides = [self.layout.root / member.path for member in members]
        return str(
            sample_regions(
                slides,
                self.layout.annotations,
                target,
                settings,
                backend=self.backend,
                corrections=self.layout.corrections,
            )
        )
