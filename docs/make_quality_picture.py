"""Make the picture of artifacts that the documentation shows: ink and blur on the sample strip, which is real tissue.

python docs/make_quality_picture.py --output docs/images/quality.jpg
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "bundle"), str(ROOT / "tests")]

from helpers.drawn_artifacts import INKS, add_ink, stroke  # noqa: E402
from scripts.masks.foreground import ForegroundSettings  # noqa: E402
from scripts.masks.foreground_files import slide_foreground  # noqa: E402
from scripts.quality.examination import examine  # noqa: E402
from scripts.quality.files import with_artifacts  # noqa: E402
from scripts.slides.pyramid import write_pyramid  # noqa: E402
from scripts.slides.slide import open_slide  # noqa: E402
from scripts.synthetic.specimen import strip_path  # noqa: E402

MPP, STRIDE = 0.243, 16
SHRINK = 3


def main() -> None:
    """Draw ink and blur on the strip, find them, and write the strip as it is, with both, and with what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "quality.jpg")
    output = parser.parse_args().output
    with open_slide(strip_path()) as slide:
        strip = slide.read_level((0, 0), slide.shape, 0)
    marked = strip.copy()
    marked[2200:3000] = ndimage.gaussian_filter(marked[2200:3000].astype(np.float32), (5, 5, 0)).astype(np.uint8)
    marked = add_ink(marked, stroke(marked.shape[:2], (500, -300), (1500, 800), 1000), INKS["green"], 0.7)
    pictures = [strip, marked]
    with tempfile.TemporaryDirectory() as folder:
        for picture in (strip, marked):
            write_pyramid(Path(folder) / "a.tif", picture, MPP, (1, 2, 4, 16), quality=92)
            with open_slide(Path(folder) / "a.tif") as slide:
                tissue, _ = slide_foreground(slide, STRIDE, ForegroundSettings())
                found = examine(slide, slide.read_overview(STRIDE), tissue, STRIDE)
            print(found.about)
        height, width = marked.shape[:2]
        classes = found.classes.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)[:height, :width]
        pictures.append(with_artifacts(marked, classes))
    gap = np.full((30, strip.shape[0], 3), 255, dtype=np.uint8)
    rows = [part for picture in pictures for part in (np.rot90(picture), gap)][:-1]
    Image.fromarray(np.concatenate(rows)).reduce(SHRINK).save(output, quality=82, optimize=True)
    print(output, f"{output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
