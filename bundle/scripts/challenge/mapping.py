"""The stages that look at slides: tissue and probability maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import FilesFailedError, InputError, counted, first_input_error
from ..folders.names import named_file, slide_name
from ..masks.foreground import ForegroundSettings
from ..masks.foreground_folder import write_foregrounds
from ..workflow import create_workflow, find_overlays, run_bundle
from .cohort import TEST
from .costs import Cost, Probe
from .engine import Outcome
from .steps import Step
from .subconfigs import as_names, check_values

_OF_THE_NETWORK = ("mpp", "patch_size", "network_def", "network")


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


def check_weights(weights: Path, values: Mapping[str, Any], overlays: Sequence[str]) -> None:
    """Load weights as ``inference.json`` does, so that wrong ones are known before slides are read.

    Raises:
        InputError: if they are damaged, of another network, or for other images.
    """
    settings = {key: value for key, value in values.items() if key.split("#")[0] in _OF_THE_NETWORK}
    workflow = create_workflow(
        ["inference", *overlays], logging_file=False, **settings, weights=str(weights), device="cpu"
    )
    try:
        workflow.parser.get_parsed_content("network")
    except Exception as error:  # MONAI wraps what a component raises
        known = first_input_error(error)
        if known is None:
            raise
        raise InputError(f"weights {known}") from error


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
            return Outcome(f"{counted(len(slides) - len(error.reasons), 'mask')} in {self.folder}", by_name(error))
        return Outcome(f"{counted(len(slides), 'mask')} in {self.folder}")

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
        return Outcome(f"{counted(len(slides) - len(failed), 'map')} in {self.folder}", failed)


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
        if self.layout.given_weights is not None:
            check_weights(weights, self.inference, as_names(self.overlays))

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
