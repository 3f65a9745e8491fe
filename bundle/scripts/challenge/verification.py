"""The stage that looks at each slide before anything is computed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..annotations.annotations import index_annotations, read_annotation
from ..errors import InputError, counted
from ..files import write_json
from ..folders.corrections import Corrections
from ..slides.reader_process import ReaderProcess
from ..slides.slide import check_reading
from .candidates import Candidates, find_candidates, find_tables, slides_of
from .checking import Checksums, check_slide
from .cohort import TEST, TRAINING, Member, choose_subset, members_content
from .costs import Cost, Probe
from .engine import Outcome
from .layout import COHORT
from .steps import Step

logger = logging.getLogger(__name__)


@dataclass
class Verify(Step):
    """Looks at every slide that is to take part: its checksum, whether it opens, its truth. Writes ``cohort.json``.

    Attributes:
        subset: slides of each kind, or None for all.
        seed: of their choice.
        backend: see `slides.slide.open_slide`.
        stride: level-0 pixels per pixel of the overview that is read.
        reference: the challenge's table, or several, see `candidates.find_tables`.
    """

    subset: int | None = None
    seed: int = 0
    backend: str = "auto"
    stride: int = 64
    reference: str | Sequence[str] | None = None
    name = "verify"

    def check(self) -> None:
        """Refuse a wrong number of slides, reader or file of corrections."""
        if self.subset is not None:
            choose_subset([], self.subset, self.seed)
        check_reading(self.backend, None)
        Corrections(self.layout.corrections)

    def settings(self) -> dict[str, Any]:
        """Which slides."""
        return {
            "subset": self.subset,
            "seed": self.seed if self.subset else None,
            "trains": self.layout.trains() is None,
            "backend": self.backend,
            "stride": self.stride,
        }

    def inputs(self) -> Sequence[Path]:
        """Slides, annotations, checksums and the reference table."""
        others = [*Checksums.paths(self.layout.root), *self.tables(), *self.layout.corrected()]
        return [*slides_of(self.layout), self.layout.annotations, *others]

    def outputs(self) -> Sequence[Path]:
        """The list of usable slides, and the truth of the test slides."""
        return [self.folder / COHORT, self.layout.truth]

    def tables(self) -> list[Path]:
        """The reference tables."""
        return find_tables(self.layout, self.reference)

    def candidates(self) -> Candidates:
        """The slides to look at."""
        return find_candidates(self.layout, self.tables(), self.subset, self.seed)

    def cost(self, probe: Probe) -> Cost:
        """Overviews, and checksums where there is a list of them."""
        num_bytes = probe.num_bytes(probe.members) if Checksums.paths(self.layout.root) else 0
        looking = probe.overviews(probe.members)
        return Cost(None if looking is None else looking + probe.seconds_per_byte * num_bytes)

    def run(self, goes_on: bool) -> Outcome:
        """Look at each slide; checksums that were compared before are not computed again."""
        found = self.candidates()
        checksums = Checksums(self.layout.root, self.folder)
        annotations = index_annotations(self.layout.annotations)
        set_aside = dict(found.absent)
        usable: list[Member] = []
        with ReaderProcess() as reader:  # a damaged slide may end the process that decodes it
            for member in tqdm(found.members, desc="verify", unit="slide"):
                path = self.layout.root / member.path
                try:
                    if member.part == TRAINING and member.is_tumor:
                        outlines = annotations.get(member.name)
                        if outlines is None:
                            raise InputError(
                                f"{annotations.folder}: no annotation of {member.name}, which has tumor; add it"
                            )
                        read_annotation(outlines)
                    checksums.check(path)
                    reader.ask(str(path), check_slide, path, self.backend, self.stride)
                except InputError as error:
                    logger.error("%s", error)
                    set_aside[path.name] = str(error)
                    continue
                usable.append(member)
        if not any(member.part == TEST for member in usable):
            reason = f"; first: {next(iter(set_aside.values()))}" if set_aside else ""
            raise InputError(f"root {self.layout.root}: expected usable test slides, found none{reason}; add some")
        self._copy_truth(usable)
        write_json(self.folder / COHORT, members_content(usable, set_aside))
        return Outcome(f"{self._counts(usable)}; {checksums.summary()}{self._remarks(found)}", set_aside)

    def _counts(self, usable: Sequence[Member]) -> str:
        kinds = sorted({member.kind for member in usable}, reverse=True)
        counts = ", ".join(f"{sum(member.kind == kind for member in usable)} {kind}" for kind in kinds)
        chosen = f", a subset of {self.subset} of each kind" if self.subset else ""
        return f"{counted(len(usable), 'slide')} ({counts}){chosen}"

    def _remarks(self, found: Candidates) -> str:
        tables = " and ".join(str(path) for path in self.tables())
        remark = "no reference table, so test slides without annotation count as normal"
        remark = f"classes of test slides by {tables}" if tables else remark
        unknown = f"; {counted(found.num_unknown, 'file is', 'files are')} by name no slide of the challenge"
        return f"; {remark}{unknown if found.num_unknown else ''}"

    def _copy_truth(self, usable: Sequence[Member]) -> None:
        """The annotations of the test slides in a folder of their own, which holds the truth of no other slide."""
        annotations = index_annotations(self.layout.annotations)
        shutil.rmtree(self.layout.truth, ignore_errors=True)
        self.layout.truth.mkdir(parents=True)
        for member in usable:
            path = annotations.get(member.name) if member.part == TEST else None
            if path is not None:
                shutil.copy(path, self.layout.truth)
