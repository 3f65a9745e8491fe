"""The bucket of CAMELYON16 in small: its folders, names, checksums and file formats, and its traps.

The slides are drawn, Philips TIFFs of 1536 x 2048 pixels. Among them: one with black background, one with pen, one with
sparse levels, one that is truncated, a twin of another, a tumor slide that nobody annotated, and a normal slide
with exclusions alone.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from helpers.object_store import ObjectStore
from scripts.annotations.polygons import Ring
from scripts.annotations.writers import write_asap_xml
from scripts.synthetic.cohort import SyntheticSlide, synthetic_slide
from scripts.synthetic.philips import tissue_tiles, write_philips, write_philips_mask
from scripts.synthetic.tissue import polygon_mask

SHAPE = (1536, 2048)
PREFIX = "CAMELYON16"
TRUNCATED, UNANNOTATED = "test_006.tif", "tumor_071.tif"


def _flipped(slide: SyntheticSlide) -> SyntheticSlide:
    """Upside down: another slide, without drawing one."""
    rows = slide.image.shape[0]

    def flip(rings: list[Ring]) -> list[Ring]:
        return [np.column_stack([rows - ring[:, 0], ring[:, 1]]) for ring in rings]

    return SyntheticSlide(
        np.ascontiguousarray(slide.image[::-1]), flip(slide.tumor), flip(slide.exclusion), slide.tissue[::-1]
    )


def _with_black_background(slide: SyntheticSlide) -> SyntheticSlide:
    """As scanners show what they did not focus on."""
    is_tissue = np.kron(slide.tissue, np.ones((16, 16), dtype=np.bool_))[: SHAPE[0], : SHAPE[1]]
    return slide._replace(image=np.where(is_tissue[..., None], slide.image, np.uint8(0)))


def _with_pen(slide: SyntheticSlide) -> SyntheticSlide:
    image = slide.image.copy()
    image[40:90, 100:1900] = (30, 60, 160)
    return slide._replace(image=image)


def _write(
    folder: Path, name: str, slide: SyntheticSlide, stored: npt.NDArray[np.bool_] | None = None, annotated: bool = True
) -> None:
    write_philips(folder / "images" / f"{name}.tif", slide.image, stored=stored)
    if annotated and (slide.tumor or slide.exclusion):
        write_asap_xml(folder / "annotations" / f"{name}.xml", slide.tumor, slide.exclusion)
        mask = np.kron(slide.tissue, np.ones((16, 16), dtype=np.uint8))[: SHAPE[0], : SHAPE[1]]
        mask[polygon_mask(slide.tumor, SHAPE, 1)] = 2
        write_philips_mask(folder / "masks" / f"{name}_mask.tif", mask)


def write_bucket(folder: Path) -> Path:
    """Write the bucket's files.

    Args:
        folder: made; gets ``images/``, ``annotations/``, ``masks/``, ``reference.csv``, ``checksums.md5``.

    Returns:
        The folder.
    """
    for name in ("images", "annotations", "masks"):
        (folder / name).mkdir(parents=True)
    one = synthetic_slide(SHAPE, 1, seed=3, lesion_radius_um=(75.0, 90.0), num_pockets=1)
    two = synthetic_slide(SHAPE, 2, seed=4, lesion_radius_um=(60.0, 72.0))
    normal = synthetic_slide(SHAPE, 0, seed=5)
    excluded = normal._replace(exclusion=[np.array([(600.0, 700.0), (600.0, 1100.0), (900.0, 900.0)])])
    for name, slide in {
        "normal_001": normal,
        "normal_002": _flipped(normal),
        "normal_101": _with_pen(_flipped(normal)),
        "tumor_001": one,
        "tumor_002": two,
        "tumor_072": _flipped(two),
        "test_001": _flipped(one),
        "test_003": normal,
        "test_004": _with_black_background(two),
        "test_005": _with_pen(excluded),
    }.items():
        _write(folder, name, slide)
    _write(folder, "tumor_071", one, annotated=False)
    _write(folder, "test_002", _flipped(two), stored=tissue_tiles(_flipped(two).image))
    _write(folder, "test_006", normal)
    whole = (folder / "images" / TRUNCATED).read_bytes()
    (folder / "images" / TRUNCATED).write_bytes(whole[: len(whole) * 6 // 10])
    for kind, suffix in (("images", "tif"), ("annotations", "xml")):
        shutil.copy(folder / kind / f"test_001.{suffix}", folder / kind / f"test_049.{suffix}")
    rows = [
        ("test_001", "Tumor", "IDC", "Micro"),
        ("test_002", "Tumor", "IDC", "Micro"),
        ("test_003", "Normal", "None", "None"),
        ("test_004", "Tumor", "ILC", "Micro"),
        ("test_005", "Normal", "DCIS", "None"),
        ("test_006", "Normal", "None", "None"),
        ("test_049", "Tumor", "IDC", "Micro"),
    ]
    (folder / "reference.csv").write_text("".join(f"{','.join(row)}\n" for row in rows))
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".tif", ".xml"))
    lines = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / "checksums.md5").write_text("".join(lines))
    return folder


def write_other_forms(bucket: Path, folder: Path) -> Path:
    """The same data set in the other forms that are described: SHA-256s, and a table with a header and centers.

    Args:
        bucket: of `write_bucket`.
        folder: made; gets a copy.

    Returns:
        The folder.
    """
    shutil.copytree(bucket, folder)
    (folder / "checksums.md5").unlink()
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".tif", ".xml"))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(folder)}\n" for path in files]
    (folder / "checksums.txt").write_text("".join(lines))
    rows = [row.split(",") for row in (folder / "reference.csv").read_text().splitlines()]
    (folder / "reference.csv").unlink()
    centers = [f"{row[0]}.tif,{row[1]},{'Radboud' if index % 2 else 'Utrecht'}\n" for index, row in enumerate(rows)]
    (folder / "GT.csv").write_text(f"image,label,centre\n{''.join(centers)}")
    return folder


def put_bucket(folder: Path, store: ObjectStore, prefix: str = PREFIX) -> str:
    """Put the files into the server's bucket; returns the data set's address."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put("slides", f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return f"s3://slides/{prefix}"
