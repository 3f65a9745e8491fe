"""What this machine can do, and what would be read from each slide."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ..challenge.probe import Speed, available_gb, duration, measure_speed
from ..errors import InputError, counted
from ..folders.search import find_slides
from ..folders.slide_table import SlideTable
from ..geometry import finest_level_for, map_shape
from ..masks.foreground_files import slide_foreground, why_empty
from ..network.processors import count_threads
from ..network.purpose import overlay_for, shipped_weights
from ..network.runtime import choose_precision, resolve_runtime
from ..quality.appearance import find_outliers
from ..quality.examination import slide_appearance
from ..slides.cucim_backend import import_cucim
from ..slides.enlargement import NOTED_FROM
from ..slides.fallbacks import tell_fallbacks
from ..slides.reader_process import ReaderProcess
from ..slides.slide import MODEL_MPP, Slide, check_reading, open_slide

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

_STRIDE = 64
_MOST_ENLARGED = 3.0  # the defaults of inference.json


class Needs(NamedTuple):
    """What inference will need for a slide.

    Attributes:
        num_positions: patches to compute; 0 if it cannot be computed.
        map_bytes: size of its map.
        downsample: level-0 pixels per pixel that the model sees.
    """

    num_positions: int
    map_bytes: int
    downsample: float = 1.0


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
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{count_threads()} threads"
    precision = choose_precision("auto", resolve_runtime("auto", device), device, has_tops=True)
    lines.append(f"{'device':28}{device.type} ({name}), precision auto is {precision}")
    lines.append(f"{'backend openslide':28}works")
    lines.append(f"{'backend cucim':28}{'works' if import_cucim() else 'not installed (Linux only); OpenSlide serves'}")
    return lines


def describe_slide(path: Path, backend: str = "auto", assume_mpp: float | None = None) -> tuple[list[str], Needs]:
    """Levels, tissue and resolution of a slide, and what the model would be given, a line each; and what it needs.

    Raises:
        InputError: if the slide does not open, its pixels cannot be read, or it is no RGB of 8 bits.
    """
    with open_slide(path, backend, assume_mpp) as slide:
        levels = ", ".join(
            f"{height} x {width} ({downsample:g})"
            for (height, width), downsample in zip(slide.level_shapes, slide.downsamples, strict=True)
        )
        lines = [
            f"{path}",
            f"  format      {slide.vendor}, pixels by {_readers(slide)}",
            f"  levels      {levels}  height x width (downsample)",
        ]
        mask, tissue = _tissue(slide)
        num_positions = int(mask.sum())
        rows, cols = map_shape(slide.shape, _STRIDE)
        lines.append(f"  tissue      {tissue}")
        if slide.mpp is None:
            lines.append("  resolution  not stated: inference needs --assume_mpp with µm per level-0 pixel")
            return lines, Needs(0, 0)
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
        lines.append(f"  weights     {_fitting_weights(slide.mpp)}")
        if num_positions:
            lines.append(f"  looks       {_looks(slide, mask)}")
        center = (slide.shape[0] // 2, slide.shape[1] // 2)
        slide.read_region(center, (16, 16), downsample)
        is_refused = slide.mpp > _MOST_ENLARGED * MODEL_MPP
        return lines, Needs(0, 0) if is_refused else Needs(num_positions, rows * cols * 4, downsample)


def _readers(slide: Slide) -> str:
    """What decodes a slide, and why that is slower than it could be."""
    if slide.cucim_fault is not None:
        return f"{slide.backend}, several times slower than by cuCIM: {slide.cucim_fault}"
    others = {
        reader: [str(level) for level, found in enumerate(slide.level_backends) if found == reader]
        for reader in slide.level_backends
        if reader != slide.backend
    }
    return slide.backend + "".join(f", of level {', '.join(levels)} by {reader}" for reader, levels in others.items())


def _tissue(slide: Slide) -> tuple[npt.NDArray[np.bool_], str]:
    """The slide's foreground at the default stride, and what to say of it."""
    mask, sidecar = slide_foreground(slide, _STRIDE)
    num_positions = int(mask.sum())
    if not num_positions:
        return mask, f"none found: {why_empty(sidecar)}"
    area = "" if slide.mpp is None else f"{num_positions * (_STRIDE * slide.mpp / 1000) ** 2:.1f} mm², "
    positions = counted(num_positions, "position")
    return mask, f"{area}{mask.mean():.0%} of the slide, {positions} at stride {_STRIDE}"


def _looks(slide: Slide, mask: npt.NDArray[np.bool_]) -> str:
    """Whether the shipped weights were trained on what looks like the tissue of a slide."""
    words = []
    for name, purpose in shipped_weights().items():
        if purpose.appearance is None or slide.require_mpp() > _MOST_ENLARGED * purpose.mpp:
            continue
        outliers = find_outliers(slide_appearance(slide, mask, _STRIDE, purpose.mpp) or {}, purpose.appearance)
        if outliers:
            words.append(f"unlike the training data of {name}: {', '.join(map(str, outliers))}")
    return "; ".join(words) or "like the training data"


def _fitting_weights(mpp: float) -> str:
    """Which of the shipped weights suit a slide of this resolution."""
    words = []
    for name, purpose in shipped_weights().items():
        overlay = overlay_for(purpose, "inference.json")
        needs = f", with --config_file {overlay}" if overlay else ""
        times = mpp / purpose.mpp
        if times > _MOST_ENLARGED:
            words.append(f"{name} does not fit, the slide is {times:.3g} times coarser, and infer refuses it")
        elif times >= NOTED_FROM:
            words.append(f"{name} fits poorly, the slide is {times:.3g} times coarser{needs}")
        else:
            words.append(f"{name} fits{needs}")
    return "; ".join(words)


def doctor(
    slides: Sequence[str] | None = None, backend: str = "auto", assume_mpp: float | None = None, probe: bool = False
) -> tuple[str, int]:
    """Report on the machine and on slides.

    Args:
        slides: slides, folders of slides or tables of slides, or None for the machine alone.
        backend: see `slides.slide.open_slide`.
        assume_mpp: see `slides.slide.open_slide`.
        probe: measure on a few tiles how long inference takes here.

    Returns:
        The report, and how many slides cannot be read.

    Raises:
        InputError: if a setting is wrong, a path is missing, or there are no slides.
    """
    check_reading(backend, assume_mpp)
    lines = describe_machine()
    failures = 0
    needs: dict[Path, Needs] = {}
    table = SlideTable(slides)
    with ReaderProcess() as reader:  # a damaged slide may end the process that decodes it
        for path in find_slides(slides) if slides else []:
            lines.append("")
            try:
                opening = path, backend, table.mpp(path, assume_mpp)
                found, needs[path] = reader.ask(str(path), describe_slide, *opening)
                lines += found
            except InputError as error:
                failures += 1
                lines.append(f"{path}\n  FAILS       {error}")
    tell_fallbacks({})  # they are told of one by one
    if needs:
        lines += ["", *_describe_run(needs, backend, table, assume_mpp, probe)]
    return "\n".join(lines), failures


def _describe_run(
    needs: dict[Path, Needs], backend: str, table: SlideTable, assume_mpp: float | None, probe: bool
) -> list[str]:
    """What inference of all slides will take, a line each."""
    to_do = {path: need for path, need in needs.items() if need.num_positions}
    lines = [
        f"inference of {len(to_do)} of {counted(len(needs), 'slide')} with model.pt at stride {_STRIDE}, into this "
        f"folder"
    ]
    map_mb, free_mb = sum(need.map_bytes for need in needs.values()) / 1e6, shutil.disk_usage(".").free / 1e6
    lines.append(f"  disk        {map_mb:.1f} MB of maps; {free_mb:,.0f} MB are free{_enough(map_mb, free_mb)}")
    if not probe:
        return [*lines, "  time        not measured; --probe measures it in a minute or two"]
    speeds: dict[float, Speed | None] = {}
    seconds: dict[Path, float] = {}
    for path, need in to_do.items():
        if need.downsample not in speeds:  # at another resolution another mode may compute it
            speeds[need.downsample] = measure_speed(path, backend, table.mpp(path, assume_mpp))
        speed = speeds[need.downsample]
        if speed is not None:
            seconds[path] = speed.seconds * need.num_positions
    measured = [speed for speed in speeds.values() if speed is not None]
    if not measured:
        return [*lines, "  time        not measured: there is no tile to measure it on"]
    num_tiles = sum(speed.num_tiles for speed in measured)
    lines.append(
        f"  time        about {duration(sum(seconds.values()))} here, from a probe of {counted(num_tiles, 'tile')}"
    )
    lines += [f"              about {duration(value)}  {path.name}" for path, value in seconds.items()]
    memory_gb, free_gb = measured[-1].memory_gb, available_gb()
    if memory_gb is not None and free_gb is not None:
        free_gb += memory_gb  # which this process still holds
        lines.append(
            f"  memory      {memory_gb:.1f} GB in the probe; {free_gb:.1f} GB are free{_enough(memory_gb, free_gb)}"
        )
    return lines


def _enough(needed: float, free: float) -> str:
    return "" if needed < free else ", which is too little"
