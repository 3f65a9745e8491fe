"""Make the pictures of the report that the documentation shows, from the page that ``make demo`` wrote.

    python docs/make_screenshots.py --page demo/report/report.html --output docs/images

Needs Debian's chromium and chromium-driver, and the test extra.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver

ROOT = Path(__file__).resolve().parents[1]


def open_browser(width: int, height: int) -> Any:
    """Chromium without a window, on a light screen of this size in CSS pixels."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    return browser


def open_page(page: Path, width: int, height: int) -> Any:
    """The page in a browser, all of it drawn."""
    browser = open_browser(width, height)
    browser.get(page.resolve().as_uri())
    browser.execute_script("document.querySelectorAll('.slide').forEach(s => s.style.contentVisibility = 'visible')")
    return browser


def save(browser: Any, path: Path, top: float, height: float) -> None:
    """Write what the page shows from ``top`` on, in CSS pixels, as JPEG."""
    width = browser.execute_script("return document.documentElement.clientWidth")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": round(top + height), "deviceScaleFactor": 1, "mobile": False},
    )
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    picture.crop((0, round(top), picture.width, picture.height)).save(path, quality=72, optimize=True)
    print(path, f"{path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=ROOT / "demo" / "report" / "report.html")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    arguments = parser.parse_args()
    browser = open_page(arguments.page, 1280, 900)
    try:
        box = (
            "return (({top, height}) => [top + scrollY, height])(document.querySelector('%s').getBoundingClientRect())"
        )
        lesions, _ = browser.execute_script(box % "#lesions")
        save(browser, arguments.output / "report_top.jpg", 0, lesions)
        top, _ = browser.execute_script(box % "#slide-1")
        back, _ = browser.execute_script(box % "#slide-1 .back")
        save(browser, arguments.output / "report_slide.jpg", top, back - top)
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
