"""Make the picture of real tissue that the documentation shows: the sample strip, and what the shipped weights say.

python docs/make_strip_picture.py --output docs/images/strip.jpg
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from pathology_tumor_detection.scripts.synthetic.specimen import find_metastasis, strip_path, summary, write_views
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
QUALITY = 88
"""Of the JPEG, which has less than 300 kB then."""


def main() -> None:
    """Run inference on the strip, draw it as the demo does, and write the picture as JPEG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "strip.jpg")
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        found = find_metastasis(strip_path(), Path(folder) / "maps")
        picture, _ = write_views(strip_path(), found, Path(folder))
        with Image.open(picture) as drawn:
            drawn.convert("RGB").save(output, quality=QUALITY, optimize=True)
    print(summary(found))
    print(output, f"{output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
