"""How a run is scored: what the flags of ``froc`` set, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..annotations.annotations import geojson_origin
from ..errors import InputError, few
from ..maps.detection_files import DetectionFile
from ..maps.files import MapInfo, read_map
from ..masks.truth import Truth, is_flat_mask
from . import lesions
from .cases import CHALLENGE_MPP, Case, Found, detect, evaluation_stride, given_detections

NMS_RADIUS_UM = 12 * 64 * CHALLENGE_MPP
"""Default radius of non-maximum suppression: NCRF's 12 pixels at level 6 of CAMELYON16, 186.6 µm."""

MONAI_NMS_RADIUS = 24
"""That of MONAI's LesionFROC in map pixels: half its default box of 48."""

RULES = ("camelyon16", "monai")
PROTOCOLS = ("physical", "camelyon16")


class ScoreSettings(NamedTuple):
    """How a run is scored.

    Attributes:
        nms_radius_um: radius of non-maximum suppression in µm, rounded to map pixels, at least one. None is
            `NMS_RADIUS_UM`, or by MONAI's rules `MONAI_NMS_RADIUS` map pixels.
        threshold: in [0, 1); only higher probabilities of a map are detections.
        tumor_value: see `masks.truth.read_truth`.
        slide_threshold: slides of a greater score are called tumor.
        rules: ``camelyon16``, or ``monai`` for what MONAI's LesionFROC does: truth at the map's stride, another
            default radius, and the lowest confidence dropped from the curve.
        num_resamples: of the bootstrap; 0 leaves the intervals out.
        seed: of the bootstrap.
        origin: where the coordinates of GeoJSON begin, see `annotations.annotations.geojson_origin`.
        protocol: ``physical``: each slide at its own resolution; ``camelyon16``: every slide as in the challenge, at
            `CHALLENGE_MPP` µm per level-0 pixel, annotations sampled as its masks are, its list of slides.
    """

    nms_radius_um: float | None = None
    threshold: float = 0.5
    tumor_value: int | None = None
    slide_threshold: float = 0.5
    rules: str = "camelyon16"
    num_resamples: int = 1000
    seed: int = 0
    origin: str = "bounds"
    protocol: str = "physical"

    @property
    def is_challenge(self) -> bool:
        """Whether slides are scored at the scale of the challenge."""
        return self.protocol == "camelyon16"

    @property
    def monai(self) -> bool:
        """Whether MONAI's rules are followed."""
        return self.rules == "monai"

    @property
    def radius_um(self) -> float:
        """The radius of non-maximum suppression in µm, by the rules of the challenge."""
        return NMS_RADIUS_UM if self.nms_radius_um is None else self.nms_radius_um

    def find(self, info: MapInfo | DetectionFile) -> Found:
        """Read a map or a file of detections, and find the detections of the slide.

        Raises:
            InputError: if the file is damaged.
        """
        return given_detections(info) if isinstance(info, DetectionFile) else self.find_on(read_map(info), info)

    def find_on(self, prob_map: npt.NDArray[np.float32], info: MapInfo) -> Found:
        """The detections in a map that was read, see `cases.detect`."""
        info = info._replace(mpp=CHALLENGE_MPP) if self.is_challenge else info
        if self.nms_radius_um is None and self.monai:
            return detect(prob_map, info, MONAI_NMS_RADIUS, self.threshold, is_um=False)
        return detect(prob_map, info, self.radius_um, self.threshold)

    def check(self) -> None:
        """Refuse what is out of range.

        Raises:
            InputError: names the setting.
        """
        radius, value = self.nms_radius_um, self.tumor_value
        if radius is not None and not (math.isfinite(radius) and radius > 0):
            raise InputError(f"nms_radius_um: expected a positive number of µm, found {radius}; mend it")
        if not 0 <= self.threshold < 1:
            raise InputError(f"threshold: expected a number in [0, 1), found {self.threshold}; mend it")
        if value is not None and (type(value) is not int or not 1 <= value <= 255):
            raise InputError(f"tumor_value: expected a whole number from 1 to 255, found {value}; mend it")
        if not math.isfinite(self.slide_threshold):
            raise InputError(f"slide_threshold: expected a number, found {self.slide_threshold}; mend it")
        if self.rules not in RULES:
            raise InputError(f"rules: expected {' or '.join(RULES)}, found {self.rules!r}; mend it")
        if self.protocol not in PROTOCOLS:
            raise InputError(f"protocol: expected {' or '.join(PROTOCOLS)}, found {self.protocol!r}; mend it")
        if self.is_challenge and self.monai:
            raise InputError("protocol camelyon16: expected rules camelyon16, found monai; leave one of them out")
        geojson_origin(self.origin, (0, 0))
        if self.num_resamples < 0 or self.seed < 0:
            raise InputError(
                f"num_resamples and seed: expected at least 0, found {self.num_resamples} and {self.seed}; mend them"
            )

    def on_scale(self, cases: Sequence[Case]) -> list[Case]:
        """The slides at the scale that they are scored at: their own, or the challenge's."""
        return [case._replace(mpp=CHALLENGE_MPP) if self.is_challenge else case for case in cases]

    def check_truth(self, truth: Truth) -> None:
        """Refuse truth that the protocol cannot be kept with.

        Raises:
            InputError: for a mask with tumor at another stride than the challenge's.
        """
        stride = evaluation_stride(CHALLENGE_MPP)
        if self.is_challenge and truth.stride != stride and truth.mask.any():
            raise InputError(
                f"{truth.path}: protocol camelyon16 scores on masks at stride {stride}, found stride {truth.stride}; "
                f"give the annotations, the challenge's masks, or masks of 'tumor-detection groundtruth --stride "
                f"{stride}'"
            )

    def truth_warnings(self, cases: Sequence[Case]) -> list[str]:
        """Warn of truth that may differ from the challenge's by where it was sampled; at most one warning."""
        paths = [case.truth for case in cases if case.truth is not None] if self.is_challenge else []
        flat = [path.name for path in paths if is_flat_mask(path)]
        return (
            [
                "protocol camelyon16: masks of one level, which may be sampled elsewhere than the challenge's, so that "
                f"lesions may differ: {few(flat)}"
            ]
            if flat
            else []
        )

    def report(self, is_maps: bool, mpp: float | None) -> dict[str, Any]:
        """The object ``settings`` of ``froc.json``; what has no part in scoring detections is null there."""
        default = None if self.monai else NMS_RADIUS_UM
        return {
            "rules": self.rules,
            "protocol": self.protocol,
            "source": "maps" if is_maps else "detections",
            "nms_radius_um": (default if self.nms_radius_um is None else self.nms_radius_um) if is_maps else None,
            "threshold": float(self.threshold) if is_maps else None,
            "tumor_value": self.tumor_value,
            "geojson_origin": self.origin,
            "slide_threshold": self.slide_threshold,
            "mpp": mpp,
            "grow_um": lesions.GROW_UM,
            "isolated_tumor_cells_um": lesions.ITC_DIAMETER_UM,
            "macrometastasis_um": lesions.MACROMETASTASIS_UM,
        }
