"""The stages of training: labels, two trainings, and between them the hard negatives."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..labels.loclabel import read_loclabels
from ..labels.mining import check_mining, mine_hard_negatives
from ..labels.substitutes import Substitutes
from ..workflow import find_overlays, run_bundle
from .cohort import PARTLY_ANNOTATED, TRAINING, Member
from .costs import Cost, Probe
from .engine import Outcome
from .labelling import Labels
from .mapping import MapStep
from .steps import Step
from .subconfigs import as_names, check_values, default_of

logger = logging.getLogger(__name__)


@dataclass
class Training(Step):
    """The first training.

    Attributes:
        backend: see `slides.slide.open_slide`.
        seed: of everything random.
        training: values for ids of ``train.json``.
        overlays: configs laid over it.
        num_tumor: regions with a tumor center that are to be drawn, for the plan.
    """

    backend: str = "auto"
    seed: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)
    overlays: str | Sequence[str] = ()
    num_tumor: int = 50_000
    name = "training"

    def check(self) -> None:
        """Refuse what ``train.json`` does not take."""
        check_values(self.name, "train.json", self.training, as_names(self.overlays))

    def left_out(self) -> str | None:
        """With given weights there is none."""
        return self.layout.trains()

    def settings(self) -> dict[str, Any]:
        """Settings of the training."""
        return {"backend": self.backend, "seed": self.seed, **self.training}

    def first_labels(self) -> Path:
        """The regions of the first training."""
        return self.layout.folder(Labels.name) / Labels.training_file

    def labels(self) -> Path:
        """The regions to train on."""
        return self.first_labels()

    def start(self) -> Path | None:
        """Weights to start from, if not those that the settings name."""
        return None

    def inputs(self) -> Sequence[Path]:
        """Labels, slides and the weights to start from."""
        validation = self.layout.folder(Labels.name) / Labels.validation_file
        start = self.start()
        others = [*find_overlays(as_names(self.overlays)), *([] if start is None else [start])]
        return [self.labels(), validation, *self.layout.slides(TRAINING), *others]

    def outputs(self) -> Sequence[Path]:
        """The weights."""
        return [self.folder / "model.pt"]

    def cost(self, probe: Probe) -> Cost:
        """All regions, in each epoch; before there are labels as many as are to be drawn."""
        labels = next((path for path in (self.labels(), self.first_labels()) if path.is_file()), None)
        num_regions = 2 * self.num_tumor if labels is None else len(read_loclabels(labels))
        epochs = int(self.training.get("epochs", default_of("epochs", "train.json", as_names(self.overlays))))
        return probe.training(num_regions, dict(self.training), as_names(self.overlays), epochs)

    def run(self, goes_on: bool) -> Outcome:
        """Train; what was interrupted goes on where it was saved."""
        if not goes_on:
            (Path(self.training.get("ckpt_dir", self.folder)) / "last.pt").unlink(missing_ok=True)
        start = self.start()
        settings = {
            **self.settings(),
            **({} if start is None else {"weights": str(start)}),
            "dataset_dir": str(self.layout.root),
            "training_file": str(self.labels()),
            "validation_file": str(self.layout.folder(Labels.name) / Labels.validation_file),
            "output_dir": str(self.folder),
            "resume": True,
        }
        substitutes = Substitutes(self.folder, goes_on)
        while True:
            files = {key: str(substitutes.file(Path(settings[key]))) for key in ("training_file", "validation_file")}
            try:
                run_bundle("training", "train.json", {**settings, **files}, as_names(self.overlays))
            except Exception as error:  # MONAI wraps what a reader raises
                lost = substitutes.take_out(error, self.layout.slides(TRAINING))
                if lost is None:
                    raise
                logger.error("%s; its regions are replaced by those of other slides, and the training goes on", lost)
            else:
                return Outcome(f"weights in {self.folder / 'model.pt'}", substitutes.reasons)


@dataclass
class SecondTraining(Training):
    """The training on hard negatives too, from the weights of the first."""

    name = "second_training"

    def left_out(self) -> str | None:
        """With one round there is none."""
        return self.layout.trains_twice()

    def labels(self) -> Path:
        """The regions to train on."""
        return self.layout.folder(Mining.name) / Mining.labels_file

    def start(self) -> Path | None:
        """The weights of the first training."""
        return self.layout.folder(Training.name) / "model.pt"


def mined(probe: Probe) -> list[Member]:
    """Training slides that are annotated throughout, for the plan."""
    return [member for member in probe.of(TRAINING) if member.name not in PARTLY_ANNOTATED]


@dataclass
class TrainingMaps(MapStep):
    """Probability maps of the slides that were trained on, to find where the network is wrong about normal tissue.

    Slides to validate on have none, nor have partly annotated ones, whose unmarked tumor would count as normal.
    """

    name = "training_maps"

    def left_out(self) -> str | None:
        """With one round there are none."""
        return self.layout.trains_twice()

    def weights(self) -> Path:
        """Those of the first training."""
        return self.layout.folder(Training.name) / "model.pt"

    def slides(self) -> list[Path]:
        """The slides to compute."""
        labels = self.layout.folder(Labels.name) / Labels.training_file
        trained = {str(row["name"]).lower() for row in read_loclabels(labels)} if labels.is_file() else set()
        members = [member for member in self.layout.members(TRAINING) if member.name in trained - PARTLY_ANNOTATED]
        return [self.layout.root / member.path for member in members]

    def inputs(self) -> Sequence[Path]:
        """Slides, weights and overlays."""
        return [*self.slides(), self.weights(), *self.overlay_paths()]

    def cost(self, probe: Probe) -> Cost:
        """Maps of the slides that may be mined; a few of them will be held out to validate on."""
        return probe.maps(mined(probe), self.settings(), as_names(self.overlays))

    def run(self, goes_on: bool) -> Outcome:
        """Compute the maps that are not up to date."""
        return self.compute(self.slides(), {"weights": str(self.weights())})


@dataclass
class Mining(Step):
    """Hard negatives: the false positives of the first training as regions for the second.

    Attributes:
        threshold: probability above which a maximum outside of tumor counts.
        limit_per_slide: at most so many rows of a slide, the strongest; None takes all.
    """

    threshold: float = 0.5
    limit_per_slide: int | None = 200
    name = "mining"
    labels_file = "training_2.csv"

    def left_out(self) -> str | None:
        """With one round there are none."""
        return self.layout.trains_twice()

    def check(self) -> None:
        """Refuse a threshold or a limit out of range; a training takes days before it is used."""
        check_mining(self.threshold, self.limit_per_slide)

    def settings(self) -> dict[str, Any]:
        """What counts, and how much of it."""
        return {"threshold": self.threshold, "limit_per_slide": self.limit_per_slide}

    def inputs(self) -> Sequence[Path]:
        """Maps, truth and the labels that they are added to."""
        labels = self.layout.folder(Labels.name) / Labels.training_file
        return [self.layout.folder(TrainingMaps.name), self.layout.annotations, labels, *self.layout.corrected()]

    def outputs(self) -> Sequence[Path]:
        """The regions."""
        return [self.folder / self.labels_file]

    def cost(self, probe: Probe) -> Cost:
        """As long as made maps take, for each slide."""
        growth = probe.growth(lambda made: self._mine(made.maps, made.truth, made.output, made.labels))
        return Cost(None if growth is None else growth.seconds(len(mined(probe))))

    def run(self, goes_on: bool) -> Outcome:
        """Write the regions of the first training, then those that were mined."""
        labels = self.layout.folder(Labels.name) / Labels.training_file
        corrections = self.layout.corrections
        maps = self.layout.folder(TrainingMaps.name)
        return Outcome(self._mine(maps, self.layout.annotations, self.folder, labels, corrections))

    def _mine(self, maps: Path, truth: Path, output: Path, labels: Path, corrections: Path | None = None) -> str:
        summary = mine_hard_negatives(
            maps,
            truth,
            output / self.labels_file,
            labels,
            threshold=self.threshold,
            limit_per_slide=self.limit_per_slide,
            corrections=corrections,
        )
        return str(summary)
