"""The stages that judge the maps of the test slides: the challenge's score, and the page."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cohort.exclusions import EXCLUSIONS
from ..errors import InputError, NoLesionError
from ..folders.names import SLIDE_SUFFIXES
from ..folders.search import files_below
from ..maps.files import read_map_infos
from ..masks.truth_folder import TruthFolder
from ..report.published import CAMELYON16
from ..report.report import PAGE, ReportSettings, write_report
from ..scoring.evaluation import score_folder
from ..scoring.settings import ScoreSettings
from ..scoring.summary import summary
from .candidates import find_tables
from .cohort import TEST
from .costs import Cost, Probe
from .engine import Outcome
from .mapping import Infer
from .scoring_probe import Made
from .steps import Step

_TEST_NAME = re.compile(r"test_\d{3}")


@dataclass
class _Scored(Step, ABC):
    """A stage that scores the maps by the challenge's protocol.

    Attributes:
        exclude: slides that are not scored, beyond the challenge's own list; see `cohort.exclusions.leave_out`.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        reference: the challenge's table, or several, see `candidates.find_tables`.
    """

    exclude: str = ""
    num_resamples: int = 1000
    seed: int = 0
    reference: str | Sequence[str] | None = None

    def check(self) -> None:
        """Refuse names of slides that are no test slides here, before anything is computed."""
        words = self._excluded()
        if odd := [name for name in words if name not in EXCLUSIONS and not _TEST_NAME.fullmatch(name.lower())]:
            raise InputError(f"exclude: expected names of test slides such as test_001, found {odd[0]!r}; mend it")
        paths = files_below(self.layout.root, SLIDE_SUFFIXES) if self.layout.root.is_dir() else []
        there = {path.stem.lower() for path in paths}
        if there and (absent := [name for name in words if name not in EXCLUSIONS and name.lower() not in there]):
            raise InputError(f"exclude: {absent[0]!r} is no slide in {self.layout.root}; mend the name or take it off")

    @property
    def maps(self) -> Path:
        """Folder of the maps."""
        return self.layout.folder(Infer.name)

    def settings(self) -> dict[str, Any]:
        """Settings of scoring."""
        names = ("exclude", "num_resamples", "seed")
        return {"protocol": "camelyon16", **{name: getattr(self, name) for name in names}}

    def inputs(self) -> Sequence[Path]:
        """Maps, the list of slides, the truth and the reference table."""
        return [self.maps, *self.layout.slides(TEST), self.layout.truth, *self.tables(), *self.layout.corrected()]

    def tables(self) -> list[Path]:
        """The reference tables, if there are some."""
        return find_tables(self.layout, self.reference)

    def cost(self, probe: Probe) -> Cost:
        """As long as made maps take, for each test slide."""
        growth, count = probe.growth(self.judge), len(probe.of(TEST))
        return Cost() if growth is None else Cost(growth.seconds(count), growth.num_bytes(count))

    @abstractmethod
    def judge(self, made: Made) -> None:
        """Do with made maps what the stage does with those of the test slides."""

    def scoring(self) -> ScoreSettings:
        """As the challenge scores."""
        return ScoreSettings(num_resamples=self.num_resamples, seed=self.seed, protocol="camelyon16")

    def left_out_slides(self) -> list[str]:
        """Names that are not scored beyond the challenge's list: as asked, and maps of slides that take no part now."""
        members = {member.name for member in self.layout.members(TEST)}
        names = [info.name for info in read_map_infos(self.maps)]
        there = {name.lower() for name in names}  # a slide that was set aside has no map to leave out
        given = [name for name in self._excluded() if name in EXCLUSIONS or name.lower() in there]
        return given + [name for name in names if name.lower() not in members]

    def _excluded(self) -> list[str]:
        return [word.strip() for word in self.exclude.split(",") if word.strip()]

    def normal(self) -> list[str]:
        """Names of maps whose slides have no annotation, where no table tells their class."""
        if self.tables():
            return []
        folder = TruthFolder(self.layout.truth)
        left_out = set(self.left_out_slides())
        names = [info.name for info in read_map_infos(self.maps)]
        return [name for name in names if name not in left_out and folder.find(name) is None]


def _without_lesion(error: NoLesionError) -> str:
    auc = "and slides of one class have no AUC" if error.auc is None else f"slide AUC {error.auc:.4f}"
    return f"No test slide has a lesion above isolated tumor cells, so there is no FROC score; {auc}."


@dataclass
class Froc(_Scored):
    """The challenge's score."""

    name = "froc"

    def run(self, goes_on: bool) -> Outcome:
        """Score the maps; without a lesion only the slides."""
        try:
            report = score_folder(
                self.maps,
                self.layout.truth,
                self.folder,
                self.normal(),
                self.scoring(),
                exclude=self.left_out_slides(),
                reference=self.tables(),
                corrections=self.layout.corrections,
            )
        except NoLesionError as error:
            return Outcome(_without_lesion(error))
        return Outcome(summary(report))

    def judge(self, made: Made) -> None:
        """Score made maps."""
        score_folder(made.maps, made.truth, made.output, (), self.scoring())


@dataclass
class Report(_Scored):
    """One page with the slides, and the score beside published ones.

    Attributes:
        subset: slides of each kind that take part, or None for all.
        max_slides: see `report.report.ReportSettings`.
    """

    subset: int | None = None
    max_slides: int = 150
    name = "report"

    def settings(self) -> dict[str, Any]:
        """Settings of scoring and of the page."""
        return {**super().settings(), "subset": self.subset, "max_slides": self.max_slides}

    def outputs(self) -> Sequence[Path]:
        """The page."""
        return [self.folder / PAGE]

    def judge(self, made: Made) -> None:
        """Write the page of made maps."""
        scoring, settings = self.scoring(), self._settings()
        write_report(made.maps, made.output, made.truth, made.slides, scoring=scoring, settings=settings)

    def _settings(self) -> ReportSettings:
        return ReportSettings(
            max_slides=self.max_slides, title="CAMELYON16 challenge", note=self._note(), published=CAMELYON16
        )

    def run(self, goes_on: bool) -> Outcome:
        """Write the page; without a lesion one that has no score but the slides' AUC."""
        settings = self._settings()
        slides = self.layout.slides(TEST)
        try:
            line = write_report(
                self.maps,
                self.folder,
                self.layout.truth,
                slides,
                self.normal(),
                self.left_out_slides(),
                self.scoring(),
                settings,
                self.tables(),
                self.layout.corrections,
            )
        except NoLesionError as error:
            settings = settings._replace(note=f"{settings.note} {_without_lesion(error)}", published=())
            line = write_report(self.maps, self.folder, slides=slides, scoring=self.scoring(), settings=settings)
        return Outcome(line)

    def _note(self) -> str:
        weights = self.layout.given_weights
        parts = [f"Weights: {weights}." if weights else "Weights: of this run's own training."]
        if self.subset is not None:
            parts.append(
                f"A subset of {self.subset} slides of each kind, not the whole test set: this score cannot be compared "
                "with published ones."
            )
        return " ".join(parts)
