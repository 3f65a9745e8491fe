"""Times of the review's server on a large slide: until the first view is there, and per tile while a reader pans.

    python benchmarks/review.py
    python benchmarks/review.py --slide slides/tumor_001.tif

Without `--slide`, a slide of 100,000 x 100,000 px is made: its tiles are JPEG of real tissue (the strip of
bundle/sample), a few of them stored once and named by all places of the grid, so that the file is small and each tile
is decoded as one of a real slide is.

The reader asks as a browser does: six requests at a time over HTTP, first the page, its files, the worklist and the
tiles of the whole slide, then those of a screen of 1600 x 900 px that moves by a third of itself at full resolution and
at other magnifications. Each tile is asked for once. Prints the median and the 95th percentile of what a tile takes,
with its waiting behind five others, and the largest memory of the server.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import command_line, machine_line, markdown_table, replace_block  # noqa: E402

from scripts.geometry import map_shape  # noqa: E402
from scripts.slides.slide import open_slide  # noqa: E402

SIDE, TILE, STRIDE = 100_000, 256, 64
SCREEN = (900, 1600)
AT_ONCE = 6  # requests that a browser has under way to one host over HTTP/1.1
MPP = 0.243


def tissue_tiles(num_tiles: int) -> list[bytes]:
    """JPEG files of real tissue, 256 x 256 px."""
    with open_slide(ROOT / "bundle" / "sample" / "metastasis_strip.tif") as slide:
        files = []
        for number in range(num_tiles):
            file = io.BytesIO()
            pixels = slide.read_level((number * 250, 100), (TILE, TILE), 0)
            Image.fromarray(pixels).save(file, "JPEG", quality=80)
            files.append(file.getvalue())
    return files


def write_repeated(path: Path, side: int, tiles: list[bytes]) -> None:
    """Write a square BigTIFF pyramid (downsamples 1, 2, 4 and so on) whose tiles are a few, again and again."""
    with open(path, "wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        places = []
        for tile in tiles:
            places.append((file.tell(), len(tile)))
            file.write(tile)
        link = 8  # where the offset of the next directory stands
        for downsample in itertools.takewhile(lambda factor: side // factor > 700, (2**n for n in range(20))):
            size = -(-side // downsample)
            count = (-(-size // TILE)) ** 2
            chosen = np.random.default_rng(downsample).integers(0, len(places), count)
            offsets, sizes = (np.array([place[axis] for place in places], dtype="<u8")[chosen] for axis in (0, 1))
            at_offsets = file.tell()
            file.write(offsets.tobytes())
            at_sizes = file.tell()
            file.write(sizes.tobytes())
            per_cm = _packed("<2I", round(1e4 / (MPP * downsample)), 1)
            tags = [  # tag, type, count, value (TIFF 6.0, and BigTIFF's 8 bytes of value)
                (254, 4, 1, int(downsample > 1)),
                (256, 4, 1, size),
                (257, 4, 1, size),
                (258, 3, 3, _packed("<4H", 8, 8, 8, 0)),
                (259, 3, 1, 7),
                (262, 3, 1, 6),
                (277, 3, 1, 3),
                (282, 5, 1, per_cm),
                (283, 5, 1, per_cm),
                (284, 3, 1, 1),
                (296, 3, 1, 3),
                (322, 4, 1, TILE),
                (323, 4, 1, TILE),
                (324, 16, count, at_offsets),
                (325, 16, count, at_sizes),
                (530, 3, 2, _packed("<4H", 2, 2, 0, 0)),
            ]
            start = file.tell()
            file.write(struct.pack("<Q", len(tags)))
            for tag, kind, number, value in tags:
                file.write(struct.pack("<HHQQ", tag, kind, number, value))
            file.write(struct.pack("<Q", 0))
            end = file.tell()
            file.seek(link)
            file.write(struct.pack("<Q", start))
            file.seek(end)
            link = end - 8


def _packed(form: str, *numbers: int) -> int:
    """Numbers as the 8 bytes of a tag's value."""
    (value,) = struct.unpack("<Q", struct.pack(form, *numbers))
    return int(value)


def write_map(folder: Path, slide: Path) -> None:
    """A map with a hundred detections."""
    with open_slide(slide) as opened:
        shape, mpp = opened.shape, opened.mpp or MPP
    rng = np.random.default_rng(0)
    prob_map = rng.uniform(0, 0.2, map_shape(shape, STRIDE)).astype(np.float32)
    for row, col in zip(*(rng.integers(5, side - 5, 100) for side in prob_map.shape), strict=True):
        prob_map[row - 3 : row + 3, col - 3 : col + 3] = rng.uniform(0.5, 1)
    folder.mkdir()
    np.save(folder / f"{slide.stem}.npy", prob_map)
    content = {"slide": slide.name, "shape": list(shape), "stride": STRIDE, "mpp": mpp}
    (folder / f"{slide.stem}.json").write_text(json.dumps(content), encoding="utf-8")


class Browser:
    """Asks as a browser does, and keeps what each tile took."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pool = ThreadPoolExecutor(AT_ONCE)
        self.seconds: list[float] = []
        self.seen: set[str] = set()

    def get(self, path: str) -> bytes:
        """What the server answers."""
        with urllib.request.urlopen(self.address + path, timeout=120) as answer:
            content: bytes = answer.read()
        return content

    def _timed(self, path: str) -> None:
        start = time.perf_counter()
        self.get(path)
        self.seconds.append(time.perf_counter() - start)

    def tiles(self, paths: list[str]) -> None:
        """Ask for the tiles of a screen, and wait for all."""
        new = [path for path in paths if path not in self.seen]
        self.seen.update(new)
        list(self.pool.map(self._timed, new))


def tiles_below(slide: dict[str, Any], top: int, left: int, downsample: int) -> list[str]:
    """The tiles below a screen whose corner is at a level-0 pixel."""
    rows, cols = (
        range(
            max(0, start // downsample // TILE),
            min(-(-full // downsample // TILE) - 1, (start // downsample + side) // TILE) + 1,
        )
        for start, side, full in ((top, SCREEN[0], slide["height"]), (left, SCREEN[1], slide["width"]))
    )
    base = f"slides/{slide['number']}/{slide['version']}/tiles/{downsample}"
    return [f"{base}/{row}/{col}.jpg" for row in rows for col in cols]


def first_view(browser: Browser) -> tuple[dict[str, Any], float]:
    """What a browser asks for until the whole slide is seen, and the seconds it takes."""
    start = time.perf_counter()
    for name in ("", "files/openseadragon.min.js", "files/app.js", "files/review.css"):
        browser.get(name)
    (row,) = json.loads(browser.get("worklist"))["slides"]
    slide = json.loads(browser.get(f"slides/{row['number']}"))
    downsample = 1
    while max(slide["height"] // downsample - SCREEN[0], slide["width"] // downsample - SCREEN[1]) > 0:
        downsample *= 2
    browser.tiles([f"slides/{slide['number']}/{slide['version']}/map/10/1/0/0.png"])
    browser.tiles(tiles_below(slide, 0, 0, downsample))
    return slide, time.perf_counter() - start


def memory_mb(process: int) -> float:
    """The largest resident memory that a process had so far."""
    text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Make the slide, start the server, pan, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slide", type=Path, help="another slide than the one that is made")
    parser.add_argument("--screens", type=int, default=60, help="how often the reader moves at each magnification")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'review'")
    arguments = parser.parse_args()
    machine = machine_line()
    print(machine, flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        slide_path = arguments.slide or folder / "large.tif"
        if arguments.slide is None:
            write_repeated(slide_path, SIDE, tissue_tiles(16))
        write_map(folder / "maps", slide_path)
        command = [sys.executable, str(ROOT / "bundle/scripts/cli/main.py"), "review", "--browser=false"]
        command += [f"--maps={folder / 'maps'}", f"--slides={slide_path}", f"--output={folder / 'verdicts'}"]
        started = time.perf_counter()
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            line = server.stdout.readline() if server.stdout else ""
            browser = Browser(line.split()[-1])
            rows = [["the command listens after", f"{time.perf_counter() - started:.1f} s", ""]]
            slide, seconds = first_view(browser)
            size = f"{slide['width']} x {slide['height']} px"
            rows.append([f"first view of a slide of {size} after", f"{seconds:.2f} s", "under 2 s"])
            rows += pan(browser, slide, arguments.screens)
            rows.append(["largest memory of the server", f"{memory_mb(server.pid):.0f} MB", ""])
        finally:
            server.terminate()
            server.wait()
    table = markdown_table(["what", "found", "wanted"], rows)
    print(table)
    if arguments.markdown is not None:
        replace_block(arguments.markdown, "review", "\n\n".join([f"```\n{command_line()}\n```", machine, table]))


def pan(browser: Browser, slide: dict[str, Any], num_screens: int) -> list[list[str]]:
    """Move about at each magnification; the rows of the table."""
    rng = np.random.default_rng(1)
    rows, everything = [], []
    for downsample in (1, 2, 4, 16):
        browser.seconds = []
        sides = [max(1, slide[key] - downsample * size) for key, size in (("height", SCREEN[0]), ("width", SCREEN[1]))]
        top, left = (int(side * rng.uniform(0.2, 0.5)) for side in sides)
        for _ in range(num_screens):
            browser.tiles(tiles_below(slide, top, left, downsample))
            top = min(sides[0], max(0, top + int(rng.integers(-1, 2) * SCREEN[0] * downsample / 3)))
            left = min(sides[1], left + int(SCREEN[1] * downsample / 3))
            time.sleep(0.05)  # a hand moves the mouse
        rows.append(row_of(f"downsample {downsample}", browser.seconds, ""))
        everything += browser.seconds
    return [*rows, row_of("all", everything, "95% within 50 ms")]


def row_of(name: str, seconds: list[float], wanted: str) -> list[str]:
    """The median and the 95th percentile of tiles."""
    ms = [1000 * value for value in seconds]
    found = f"median {statistics.median(ms):.0f} ms, 95% within {np.percentile(ms, 95):.0f} ms"
    return [f"{len(ms)} tiles, {name}", found, wanted]


if __name__ == "__main__":
    main()
