"""Make the pictures of the review that the documentation shows: of the sample's real tissue, and of the demo's slides.

    python docs/make_review_screenshots.py --demo demo --output docs/images

Computes the map of bundle/sample with the shipped weights, and takes the maps of the slides that ``make demo`` drew.
Needs Debian's chromium and chromium-driver, and the test extra.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from make_screenshots import open_browser
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, str(ROOT / "bundle" / "scripts" / "cli" / "main.py")]
WIDTH, HEIGHT = 1280, 760


@contextmanager
def served(*flags: str) -> Iterator[str]:
    """A review; yields its address."""
    server = subprocess.Popen([*COMMAND, "review", "--browser=false", *flags], stdout=subprocess.PIPE, text=True)
    try:
        yield (server.stdout.readline() if server.stdout else "").split()[-1]
    finally:
        server.terminate()
        server.wait()


def press(browser: Any, *keys: str) -> None:
    """Press keys one after the other, as a reader does."""
    for key in keys:
        ActionChains(browser).send_keys(key).perform()
        time.sleep(1)


def open_slide(browser: Any, address: str, name: str) -> None:
    """Open a slide of a review and wait for its tiles."""
    browser.get("about:blank")
    browser.get(f"{address}#/slide/{name}")
    time.sleep(4)


def save(browser: Any, path: Path, height: int = HEIGHT) -> None:
    """Write the upper part of what the page shows as JPEG."""
    time.sleep(1.5)
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    picture.crop((0, 0, picture.width, height)).save(path, quality=76, optimize=True)
    print(path, f"{path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, default=ROOT / "demo", help="folder that `make demo` wrote")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        strip = ROOT / "bundle" / "sample" / "metastasis_strip.tif"
        subprocess.run([*COMMAND, "infer", f"--slides={strip}", f"--output_dir={folder / 'maps'}"], check=True)
        browser = open_browser(WIDTH, HEIGHT)
        try:
            flags = [f"--maps={folder / 'maps'}", f"--slides={strip}", f"--output={folder / 'strip'}"]
            with served(*flags) as address:
                open_slide(browser, address, strip.stem)
                press(browser, "j", "t", "k", "-")
                save(browser, arguments.output / "review_strip.jpg")
            demo = arguments.demo
            flags = [f"--maps={demo / 'maps'}", f"--slides={demo / 'cohort' / 'testing'}", f"--truth={demo / 'truth'}"]
            with served(*flags, f"--output={folder / 'demo'}") as address:
                open_slide(browser, address, "test_001")
                press(browser, "j", "t", "n", "0")
                save(browser, arguments.output / "review_slide.jpg")
                press(browser, "l")
                save(browser, arguments.output / "review_worklist.jpg", 370)
        finally:
            browser.quit()


if __name__ == "__main__":
    main()
