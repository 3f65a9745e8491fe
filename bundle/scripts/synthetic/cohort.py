"""Synthetic H&E-like lymph nodes with tumor nests: the demo's cohort and the tests' slides. Not for any other use."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from tqdm import tqdm

from ..annotations.polygons import Ring
from ..annotations.writers import write_asap_xml
from ..errors import counted
from ..files import atomic_path, make_output_dir
from ..geometry import REGION_SIZE
from .forms import write_slide
from .staining import draw_stain, paint_slide
from .tissue import OUTLINE_STEP, make_layout, normal_pocket, place_nests, polygon_mask, tissue_outline

MPP = 0.243
"""µm per level-0 pixel: that of CAMELYON16's 3DHistech slides, and the model's."""

_NUM_OUTLINES = 10
_TEST_LESIONS = (2, 0, 3, 1, 0, 2)  # over and over; 0 is a normal slide


class SyntheticSlide(NamedTuple):
    """A slide and its truth.

    Attributes:
        image: (H, W, 3) uint8, RGB, level 0.
        tumor: outlines of tumor nests, each (N, 2) float64, (row, col), level-0 frame.
        exclusion: outlines of normal pockets inside nests, of the same form.
        tissue: (ceil(H / 16), ceil(W / 16)) bool, the tissue's outline.
    """

    image: npt.NDArray[np.uint8]
    tumor: list[Ring]
    exclusion: list[Ring]
    tissue: npt.NDArray[np.bool_]


class Cohort(NamedTuple):
    """Where `write_cohort` put things.

    Attributes:
        training: slides ``tumor_001.tif``, ``normal_001.tif``, ...
        testing: slides ``test_001.tif``, ...
        annotations_dir: ``<stem>.xml`` of every slide but those named normal; without polygons for normal test slides.
        train_coords: NCRF's ``slide,x,y`` of training regions.
        valid_coords: the same of validation regions.
    """

    training: list[Path]
    testing: list[Path]
    annotations_dir: Path
    train_coords: Path
    valid_coords: Path


def synthetic_slide(
    shape: tuple[int, int],
    num_lesions: int,
    seed: int,
    lesion_radius_um: tuple[float, float] | None = None,
    mpp: float = MPP,
    num_pockets: int = 0,
) -> SyntheticSlide:
    """Make one slide.

    Lesions lie in tissue and apart from each other, and the center of none lies in it still when rows and
    columns are swapped. The same arguments give the same slide.

    Args:
        shape: (height, width) in level-0 pixels, at least 600 each.
        num_lesions: tumor nests; 0 makes a normal slide.
        seed: of everything random.
        lesion_radius_um: (smallest, largest) radius of a nest; by default 0.13 to 0.18 of the shorter side
            (to 0.145 from three nests on).
        mpp: µm per level-0 pixel.
        num_pockets: nests that enclose a pocket of normal tissue, at most ``num_lesions``.

    Returns:
        The slide.

    Raises:
        ValueError: if the shape is too small, or the lesions do not fit into it.
    """
    if min(shape) < 600:
        raise ValueError(f"shape must be at least 600 x 600, but got {shape}")
    rng = np.random.default_rng(seed)
    if lesion_radius_um is None:
        largest = 0.18 if num_lesions < 3 else 0.145
        lesion_radius_um = 0.13 * min(shape) * mpp, largest * min(shape) * mpp
    for _ in range(_NUM_OUTLINES):
        tissue = tissue_outline(rng, shape)
        tumor = place_nests(rng, tissue, num_lesions, (lesion_radius_um[0] / mpp, lesion_radius_um[1] / mpp))
        if len(tumor) == num_lesions:
            break
    else:
        raise ValueError(
            f"shape {shape} must hold {counted(num_lesions, 'lesion')} of radius {lesion_radius_um} um at {mpp} um/px, "
            "but they did not fit; ask for fewer or smaller lesions"
        )
    exclusion = [normal_pocket(rng, nest) for nest in tumor[:num_pockets]]
    layout = make_layout(rng, tissue, shape, tumor, exclusion)
    image = paint_slide(rng, layout, shape, draw_stain(rng), mpp)
    return SyntheticSlide(image, tumor, exclusion, tissue)


def sample_centers(
    rng: np.random.Generator, slide: SyntheticSlide, is_tumor: bool, count: int, region_size: int = REGION_SIZE
) -> npt.NDArray[np.int64]:
    """Random region centers in tumor, or in normal tissue; no two alike.

    Args:
        rng: random generator.
        slide: where to sample.
        is_tumor: what lies at the centers.
        count: how many.
        region_size: side of the regions, which lie in the slide whole.

    Returns:
        (count, 2) int64, (row, col), level-0 frame.

    Raises:
        ValueError: if there is no room for so many.
    """
    step = OUTLINE_STEP
    tumor = polygon_mask(slide.tumor, slide.tissue.shape, step) & ~polygon_mask(
        slide.exclusion, slide.tissue.shape, step
    )
    # One pixel is eroded so that any level-0 pixel of those left is inside.
    cells = np.argwhere(ndimage.binary_erosion(tumor if is_tumor else slide.tissue & ~tumor, np.ones((3, 3))))
    offsets = rng.integers(step, size=cells.shape)
    centers = np.asarray(cells * step + offsets, dtype=np.int64)
    low, high = region_size // 2, np.asarray(slide.image.shape[:2]) - (region_size - region_size // 2)
    centers = centers[np.all((centers >= low) & (centers <= high), axis=1)]
    if len(centers) < count:
        kind = "tumor" if is_tumor else "normal"
        raise ValueError(
            f"slide {slide.image.shape[:2]} must have room for {count} {kind} regions of {region_size} px, "
            f"but it has {len(centers)}; make it larger"
        )
    return rng.permutation(centers)[:count]


def write_cohort(
    output_dir: str | Path,
    num_train: int = 4,
    num_test: int = 3,
    shape: tuple[int, int] = (4609, 6001),
    seed: int = 0,
    num_train_regions: int = 240,
    num_valid_regions: int = 80,
    form: str = "philips",
) -> Cohort:
    """Write slides, annotations and region centers, laid out and named as CAMELYON16 and NCRF do.

    Training slides alternate: tumor_001, normal_001, tumor_002, ... With four or more, the last tumor slide and
    the last normal one are for validation only; with fewer, validation regions have other centers on the same
    slides. Half the regions of a split have a tumor center; the others lie anywhere in normal tissue, on tumor
    slides too. The second test slide and every third after it are normal. The first training slide has a normal
    pocket in a lesion, and so has the first test slide. Lesions are larger than CAMELYON16's isolated tumor
    cells (275 µm) if the shorter side is 4400 px or more.

    Args:
        output_dir: made if missing; gets ``training/``, ``testing/``, ``annotations/`` and ``coords/``.
        num_train: training slides, at least 2.
        num_test: test slides.
        shape: (height, width) of the slides in level-0 pixels, at least 1200 each.
        seed: of everything random.
        num_train_regions: lines of ``coords/train.txt``.
        num_valid_regions: lines of ``coords/valid.txt``.
        form: of the slides, see `forms.write_slide`; as Philips TIFFs, like CAMELYON16's, they are filled up to whole
            tiles of 512 pixels.

    Returns:
        The paths.

    Raises:
        ValueError: if an argument is not as described.
        InputError: if the folder cannot be written.
    """
    if num_train < 2 or num_test < 0:
        raise ValueError(f"num_train must be at least 2 and num_test at least 0, but got {num_train} and {num_test}")
    root = Path(output_dir)
    training, testing, annotations, coords = (
        make_output_dir(root / name) for name in ("training", "testing", "annotations", "coords")
    )
    stems = [f"{'normal' if index % 2 else 'tumor'}_{index // 2 + 1:03d}" for index in range(num_train)]
    wanted = _split_regions(stems, {"train": num_train_regions, "valid": num_valid_regions})
    lines: dict[str, list[str]] = {split: [] for split in wanted}
    slides = [(training / f"{stem}.tif", 2 * stem.startswith("tumor")) for stem in stems]
    slides += [
        (testing / f"test_{index + 1:03d}.tif", _TEST_LESIONS[index % len(_TEST_LESIONS)]) for index in range(num_test)
    ]
    seeds = np.random.SeedSequence(seed).generate_state(len(slides))
    for (path, num_lesions), slide_seed in zip(tqdm(slides, desc="synthetic slides"), seeds, strict=True):
        is_first = path in (slides[0][0], testing / "test_001.tif")
        slide = synthetic_slide(shape, num_lesions, int(slide_seed), num_pockets=int(is_first))
        write_slide(path, slide.image, MPP, form)
        if not path.stem.startswith("normal"):
            write_asap_xml(annotations / f"{path.stem}.xml", slide.tumor, slide.exclusion)
        if path.parent == training:
            rng = np.random.default_rng([seed, int(slide_seed)])
            for kind in range(2):
                counts = [wanted[split][path.stem][kind] for split in wanted]
                centers = sample_centers(rng, slide, kind == 0, sum(counts))
                for split, part in zip(wanted, np.split(centers, np.cumsum(counts)[:-1]), strict=True):
                    lines[split] += [f"{path.stem},{col},{row}\n" for row, col in part]
    for split, split_lines in lines.items():
        with atomic_path(coords / f"{split}.txt") as temporary:
            temporary.write_text("".join(split_lines), encoding="utf-8")
    paths = [path for path, _ in slides]
    return Cohort(paths[:num_train], paths[num_train:], annotations, coords / "train.txt", coords / "valid.txt")


def _split_regions(stems: list[str], totals: dict[str, int]) -> dict[str, dict[str, tuple[int, int]]]:
    """Regions per split and slide, (with tumor center, with normal center), for the splits train and valid."""
    tumor, normal = ([stem for stem in stems if stem.startswith(kind)] for kind in ("tumor", "normal"))
    held_out = {tumor[-1], normal[-1]} if len(stems) >= 4 else set()
    wanted = {}
    for split, total in totals.items():
        members = [stem for stem in stems if not held_out or (stem in held_out) == (split == "valid")]
        with_tumor = _shares(total // 2, [stem for stem in members if stem in tumor])
        without = _shares(total - total // 2, members)
        wanted[split] = {stem: (with_tumor.get(stem, 0), without.get(stem, 0)) for stem in stems}
    return wanted


def _shares(total: int, names: list[str]) -> dict[str, int]:
    return {name: total // len(names) + (index < total % len(names)) for index, name in enumerate(names)}
