"""The stages on the test slides: tissue, probability maps, the challenge's score, and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import FilesFailedError, InputError, first_input_error
from ..folders.names import named_file, slide_name
from ..maps.files import read_map_infos
from ..masks.foreground import ForegroundSettings
from ..masks.foreground_files import write_foregrounds
from ..masks.truth_folder import TruthFolder
from ..report.published import CAMELYON16
from ..report.report import PAGE, ReportSettings, write_report
from ..scoring.evaluation import score_folder
from ..scoring.settings import ScoreSettings
from ..scoring.summary import summary
from ..workflow import find_overlays, run_bundle
from .candidates import find_table
from .cohort import TEST
from .costs import Cost, Probe
from .engine import Outcome
from .steps import Step
from .subconfigs import as_names, check_values


def by_name(failed: FilesFailedError) -> dict[str, str]:
    """The reasons of an error by the names of the slides' files."""
    return {Path(path).name: reason for path, reason in failed.reasons.items()}


def compute_maps(slides: Sequence[Path], settings: Mapping[str, Any], overlays: Sequence[str]) -> dict[str, str]:
    """Run ``inference.json`` on slides.

    Args:
        slides: their files.
        settings: values for its ids.
        overlays: configs laid over it.

    Returns:
        Slides that failed, by file name, each with the reason.

    Raises:
        InputError: if nothing could be computed.
    """
    try:
        run_bundle("inference", "inference.json", {**settings, "slides": [str(path) for path in slides]}, overlays)
    except Exception as error:  # MONAI wraps what a component raises
        known = first_input_error(error)
        if not isinstance(known, FilesFailedError) or len(known.reasons) == len(slides):
            raise
        return by_name(known)
    return {}


@dataclass
class Foreground(Step):
    """Masks of the tissue of the test slides; one that was edited by hand stays, and its slide is computed again.

    Attributes:
        stride: level-0 pixels per mask pixel.
        backend: see `slides.slide.open_slide`.
        foreground: fields of `masks.foreground.ForegroundSettings` to change.
    """

    stride: int = 64
    backend: str = "auto"
    foreground: Mapping[str, Any] = field(default_factory=dict)
    name = "foreground"

    def check(self) -> None:
        """Refuse thresholds that there are not, or out of range."""
        self.thresholds().check()

    def settings(self) -> dict[str, Any]:
        """Stride, backend and thresholds."""
        return {"stride": self.stride, "backend": self.backend, **self.thresholds()._asdict()}

    def thresholds(self) -> ForegroundSettings:
        """How tissue is told from background.

        Raises:
            InputError: if a field is unknown.
        """
        if unknown := sorted(self.foreground.keys() - set(ForegroundSettings._fields)):
            raise InputError(
                f"foreground: expected {', '.join(ForegroundSettings._fields)}, found {unknown[0]!r}; mend it"
            )
        return ForegroundSettings()._replace(**self.foreground)

    def inputs(self) -> Sequence[Path]:
        """The test slides."""
        return self.layout.slides(TEST)

    def cost(self, probe: Probe) -> Cost:
        """Overviews of the test slides."""
        return Cost(probe.overviews(probe.of(TEST)))

    def run(self, goes_on: bool) -> Outcome:
        """Write the masks that are missing."""
        slides = self.layout.slides(TEST)
        missing = [path for path in slides if not (goes_on and self._overlay(path).is_file())]
        try:
            if missing:
                write_foregrounds(missing, self.folder, self.stride, self.thresholds(), self.backend)
        except FilesFailedError as error:
            if len(error.reasons) == len(slides):
                raise
            return Outcome(f"{len(slides) - len(error.reasons)} masks in {self.folder}", by_name(error))
        return Outcome(f"{len(slides)} masks in {self.folder}")

    def _overlay(self, slide: Path) -> Path:
        """What is written last of a slide."""
        return self.folder / f"{slide_name(slide)}_overlay.jpg"


@dataclass
class MapStep(Step):
    """A stage that computes probability maps.

    Attributes:
        stride: level-0 pixels per map pixel.
        backend: see `slides.slide.open_slide`.
        inference: values for ids of ``inference.json``.
        overlays: configs laid over it.
    """

    stride: int = 64
    backend: str = "auto"
    inference: Mapping[str, Any] = field(default_factory=dict)
    overlays: str | Sequence[str] = ()

    def check(self) -> None:
        """Refuse what ``inference.json`` does not take."""
        check_values("inference", "inference.json", self.inference, as_names(self.overlays))

    def settings(self) -> dict[str, Any]:
        """Settings of inference."""
        return {"stride": self.stride, "backend": self.backend, **self.inference}

    def overlay_paths(self) -> list[Path]:
        """Files of the overlays."""
        return find_overlays(as_names(self.overlays))

    def compute(self, slides: Sequence[Path], settings: Mapping[str, Any]) -> Outcome:
        """Compute the maps that are not up to date."""
        values = {**self.settings(), **settings, "output_dir": str(self.folder)}
        failed = compute_maps(slides, values, as_names(self.overlays))
        return Outcome(f"{len(slides) - len(failed)} maps in {self.folder}", failed)


@dataclass
class Infer(MapStep):
    """Probability maps of the test slides."""

    name = "infer"

    def check(self) -> None:
        """Refuse what ``inference.json`` does not take, and weights that are not there."""
        super().check()
        weights = self.layout.weights()
        if self.layout.given_weights is not None and not weights.is_file():
            raise InputError(f"weights {weights}: no such file; give a file of weights, or shipped")

    def inputs(self) -> Sequence[Path]:
        """Slides, masks, weights and overlays."""
        masks = self.layout.folder(Foreground.name)
        return [*self.slides(), masks, self.layout.weights(), *self.overlay_paths()]

    def slides(self) -> list[Path]:
        """The test slides that have a mask."""
        masks = self.layout.folder(Foreground.name)
        return [path for path in self.layout.slides(TEST) if named_file(masks, slide_name(path), ".png").is_file()]

    def outputs(self) -> Sequence[Path]:
        """The maps."""
        paths = [self.folder / f"{slide_name(path)}.npy" for path in self.slides()]
        return [path for path in paths if path.is_file()]

    def cost(self, probe: Probe) -> Cost:
        """Maps of the test slides."""
        return probe.maps(probe.of(TEST), self.settings(), as_names(self.overlays))

    def run(self, goes_on: bool) -> Outcome:
        """Compute the maps that are not up to date."""
        masks = self.layout.folder(Foreground.name)
        return self.compute(self.slides(), {"foreground_dir": str(masks), "weights": str(self.layout.weights())})


@dataclass
class _Scored(Step):
    """A stage that scores the maps by the challenge's protocol.

    Attributes:
        exclude: slides that are not scored, beyond the challenge's own list; see `cohort.exclusions.leave_out`.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        reference: the challenge's table, see `candidates.find_table`.
    """

    exclude: str = ""
    num_resamples: int = 1000
    seed: int = 0
    reference: str | None = None

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
        """The reference table, if there is one."""
        table = find_table(self.layout, self.reference)
        return [] if table is None else [table]

    def scoring(self) -> ScoreSettings:
        """As the challenge scores."""
        return ScoreSettings(num_resamples=self.num_resamples, seed=self.seed, protocol="camelyon16")

    def left_out_slides(self) -> list[str]:
        """Names that are not scored beyond the challenge's list: as asked, and maps of slides that take no part now."""
        members = {member.name for member in self.layout.members(TEST)}
        names = [info.name for info in read_map_infos(self.maps)]
        given = [word.strip() for word in self.exclude.split(",") if word.strip()]
        return given + [name for name in names if name.lower() not in members]

    def normal(self) -> list[str]:
        """Names of maps whose slides have no annotation, where no table tells their class."""
        if self.tables():
            return []
        folder = TruthFolder(self.layout.truth)
        left_out = set(self.left_out_slides())
        names = [info.name for info in read_map_infos(self.maps)]
        return [name for name in names if name not in left_out and folder.find(name) is None]


@dataclass
class Froc(_Scored):
    """The challenge's score."""

    name = "froc"

    def run(self, goes_on: bool) -> Outcome:
        """Score the maps."""
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
        return Outcome(summary(report))


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

    def run(self, goes_on: bool) -> Outcome:
        """Write the page."""
        settings = ReportSettings(
            max_slides=self.max_slides, title="CAMELYON16 challenge", note=self._note(), published=CAMELYON16
        )
        line = write_report(
            self.maps,
            self.folder,
            self.layout.truth,
            self.layout.slides(TEST),
            self.normal(),
            self.left_out_slides(),
            self.scoring(),
            settings,
            self.tables(),
            self.layout.corrections,
        )
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
