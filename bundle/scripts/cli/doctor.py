"""What this machine can do, and what would be read from each slide."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from ..errors import InputError
from ..folders.search import find_slides
from ..geometry import finest_level_for
from ..network.network import resolve_precision
from ..slides.cucim_backend import import_cucim
from ..slides.slide import MODEL_MPP, check_reading, open_slide

_PACKAGES = (
    "pathology-tumor-detection",
    "monai",
    "torch",
    "torchvision",
    "pytorch-ignite",
    "numpy",
    "scikit-image",
    "openslide-python",
    "openslide-bin",
    "cucim-cu13",
    "tifffile",
)


def describe_machine() -> list[str]:
    """Versions, device and backends, a line each."""
    lines = [f"{'python':28}{platform.python_version()} on {platform.platform()}"]
    for package in _PACKAGES:
        try:
            found = version(package)
        except PackageNotFoundError:
            found = "not installed"
        lines.append(f"{package:28}{found}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    precision = str(resolve_precision("auto", device)).removeprefix("torch.")
    lines.append(f"{'device':28}{device.type} ({name}), precision auto is {precision}")
    lines.append(f"{'backend openslide':28}works")
    lines.append(f"{'backend cucim':28}{'works' if import_cucim() else 'not installed (Linux only); OpenSlide serves'}")
    return lines


def describe_slide(path: Path, backend: str = "auto", assume_mpp: float | None = None) -> list[str]:
    """Levels and resolution of a slide, and what the model would be given, a line each.

    Raises:
        InputError: if the slide does not open or its pixels cannot be read.
    """
    with open_slide(path, backend, assume_mpp) as slide:
        levels = ", ".join(
            f"{height} x {width} ({downsample:g})"
            for (height, width), downsample in zip(slide.level_shapes, slide.downsamples, strict=True)
        )
        lines = [
            f"{path}",
            f"  format      {slide.vendor}, pixels by {slide.backend}",
            f"  levels      {levels}  height x width (downsample)",
        ]
        if slide.mpp is None:
            lines.append("  resolution  not stated: inference needs --assume_mpp with µm per level-0 pixel")
            return lines
        lines.append(f"  resolution  {slide.mpp:g} µm per level-0 pixel; that of model.pt is {MODEL_MPP} µm")
        downsample = slide.model_downsample()
        if downsample == 1:
            lines.append("  model gets  level 0 as it is")
        else:
            level = finest_level_for(slide.downsamples, downsample)
            direction = "reduced" if downsample > 1 else "enlarged"
            lines.append(f"  model gets  level {level}, {direction} so that 1 px is {downsample:.4g} level-0 px")
            if downsample < 0.9:
                lines.append("  note        enlarging adds no detail: expect worse probabilities than at 0.243 µm")
        center = (slide.shape[0] // 2, slide.shape[1] // 2)
        slide.read_region(center, (16, 16), downsample)
        return lines


def doctor(
    slides: Sequence[str] | None = None, backend: str = "auto", assume_mpp: float | None = None
) -> tuple[str, int]:
    """Report on the machine and on slides.

    Args:
        slides: slides or folders of slides, or None for the machine alone.
        backend: see `slides.slide.open_slide`.
        assume_mpp: see `slides.slide.open_slide`.

    Returns:
        The report, and how many slides cannot be read.

    Raises:
        InputError: if a setting is wrong, a path is missing, or there are no slides.
    """
    check_reading(backend, assume_mpp)
    lines = describe_machine()
    failures = 0
    for path in find_slides(slides) if slides else []:
        lines.append("")
        try:
            lines += describe_slide(path, backend, assume_mpp)
        except InputError as error:
            failures += 1
            lines.append(f"{path}\n  FAILS       {error}")
    return "\n".join(lines), failures
