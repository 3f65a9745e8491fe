from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import tifffile

from scripts.slides import cucim_backend
from scripts.slides.cucim_backend import CucimPixels, import_cucim, prepare_cufile, read_tile_layouts
from scripts.slides.pyramid import write_pyramid

BUNDLE = Path(cucim_backend.__file__).parents[2]
SHAPE = (301, 405)

IMPORT = """
import torch
import monai
from scripts.slides.cucim_backend import import_cucim
assert import_cucim().CuImage
"""

WORKERS = """
import sys
import numpy as np
from torch.utils.data import DataLoader, Dataset
from scripts.slides.pool import SlidePool

class Regions(Dataset):
    def __init__(self, path):
        self.path, self.pool = path, SlidePool("cucim")

    def __len__(self):
        return 6

    def __getitem__(self, index):
        slide = self.pool.get(self.path)
        assert slide.backend == "cucim"
        return slide.read_level((10 * index, 20 * index), (50, 70), 0).copy()

if __name__ == "__main__":
    import monai

    regions = Regions(sys.argv[1])
    expected = np.stack([regions[index] for index in range(6)])  # the parent has cuCIM and the slide open
    for method in ("fork", "spawn"):
        loader = DataLoader(regions, num_workers=1, multiprocessing_context=method, batch_size=6)
        assert np.array_equal(next(iter(loader)).numpy(), expected), method
    np.testing.assert_array_equal(regions[3], expected[3])
"""


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def run_python(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run as a user would, from a folder of their own, with nothing set for libcufile."""
    script = folder / "script.py"
    script.write_text(code)
    work = folder / "work"
    work.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CUFILE")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *arguments],
        env=environment | {"PYTHONPATH": str(BUNDLE)}, cwd=work, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert os.listdir(work) == [], "left files in the working directory"
    return done


@pytest.mark.cucim
def test_import_after_torch_and_monai_ends_and_is_silent(tmp_path: Path) -> None:
    done = run_python(IMPORT, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.cucim
def test_workers_read_by_fork_and_by_spawn(tmp_path: Path, image: np.ndarray) -> None:
    write_pyramid(tmp_path / "slide.tif", image, 0.25, downsamples=(1,), tile_size=128)
    done = run_python(WORKERS, tmp_path, str(tmp_path / "slide.tif"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("has_modules", [False, True])
def test_prepare_cufile_sets_what_the_kernel_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_modules: bool
) -> None:
    for name in ("CUFILE_ENV_PATH_JSON", "CUFILE_LOGFILE_PATH"):
        monkeypatch.setenv(name, "so that it is restored")
        monkeypatch.delenv(name)
    monkeypatch.setattr(cucim_backend, "_KERNEL_MODULES", tmp_path if has_modules else tmp_path / "missing")
    prepare_cufile()
    assert os.environ["CUFILE_LOGFILE_PATH"] == os.devnull
    if has_modules:
        assert "CUFILE_ENV_PATH_JSON" not in os.environ
    else:
        config = json.loads(Path(os.environ["CUFILE_ENV_PATH_JSON"]).read_text())
        assert config == {"properties": {"allow_compat_mode": False}}


def test_prepare_cufile_respects_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cucim_backend, "_KERNEL_MODULES", tmp_path / "missing")
    monkeypatch.setenv("CUFILE_ENV_PATH_JSON", "mine.json")
    monkeypatch.setenv("CUFILE_LOGFILE_PATH", "mine.log")
    prepare_cufile()
    assert os.environ["CUFILE_ENV_PATH_JSON"] == "mine.json"
    assert os.environ["CUFILE_LOGFILE_PATH"] == "mine.log"


@pytest.mark.parametrize("module", [None, object()], ids=["missing", "without CuImage"])
def test_without_cucim(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: object) -> None:
    monkeypatch.setitem(sys.modules, "cucim", module)  # type: ignore[arg-type]
    assert import_cucim() is None
    with pytest.raises(ImportError, match="cuCIM is not installed"):
        CucimPixels(tmp_path / "slide.tif", (SHAPE,))


def test_native_messages_of_damage_raise(capfd: pytest.CaptureFixture[str]) -> None:
    for text in (b"ERROR in line 183 while\nreading JPEG header\n", b"Failed to decode\n", b"data corrupted"):
        with pytest.raises(OSError, match=" ".join(text.decode().split())), cucim_backend._messages_as_errors():
            ctypes.CDLL(None).printf(text)
    assert capfd.readouterr() == ("", "")


def test_ordinary_native_messages_pass(capfd: pytest.CaptureFixture[str]) -> None:
    with cucim_backend._messages_as_errors():
        ctypes.CDLL(None).printf(b"a word about\n")
        os.write(2, b"the GPU\n")
        os.write(2, b"/a/slide.tif: AdobeDeflate compression support is not configured.\n")
    assert capfd.readouterr() == ("", "a word about\nthe GPU\n")  # what was captured goes to stderr, less known noise
    os.write(1, b"afterwards\n")
    assert capfd.readouterr().out == "afterwards\n"


def test_exceptions_pass_through_a_capture(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError, match="mine"), cucim_backend._messages_as_errors():
        raise KeyError("mine")
    assert capfd.readouterr() == ("", "")
    with cucim_backend._messages_as_errors():
        pass


def capture_in_child(reply: Connection) -> None:
    reply.send(cucim_backend._CAPTURE_LOCK.acquire(timeout=10))


def test_a_fork_during_a_capture_does_not_lock_the_child() -> None:
    captured = threading.Event()

    def capture() -> None:
        with cucim_backend._messages_as_errors():
            captured.set()
            time.sleep(0.3)

    thread = threading.Thread(target=capture)
    thread.start()
    captured.wait()
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=capture_in_child, args=(there,))
    child.start()
    thread.join()
    assert here.poll(30)
    assert here.recv() is True
    child.join(30)
    assert child.exitcode == 0


def test_tile_layouts(tmp_path: Path, image: np.ndarray) -> None:
    write_pyramid(tmp_path / "slide.tif", image, 0.25, downsamples=(1, 4), tile_size=128)
    layouts = read_tile_layouts(tmp_path / "slide.tif", (SHAPE, (76, 102)))
    assert [layout.tile_shape for layout in layouts] == [(128, 128)] * 2
    assert [layout.is_missing.shape for layout in layouts] == [(3, 4), (1, 1)]
    assert not any(layout.is_missing.any() for layout in layouts)


def test_tile_layouts_of_other_files(tmp_path: Path, image: np.ndarray) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, image, photometric="rgb")
    with pytest.raises(OSError, match="no tiled TIFF page has"):
        read_tile_layouts(path, (SHAPE,))
    tifffile.imwrite(path, image, photometric="rgb", tile=(128, 128), compression="packbits")
    with pytest.raises(OSError, match="3 samples of 8 bits, planes 1, compression 32773 and predictor 1, and not as"):
        read_tile_layouts(path, (SHAPE,))
    path.write_text("slide,x,y\n")
    with pytest.raises(OSError, match="not a TIFF file"):
        read_tile_layouts(path, (SHAPE,))


@pytest.mark.cucim
def test_pixels_of_rounded_levels(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (1231, 1709, 3), dtype=np.uint8)
    path = tmp_path / "slide.tif"
    write_pyramid(path, image, 0.25, downsamples=(1, 3, 10), compression="lzw")
    shapes = ((1231, 1709), (411, 570), (124, 171))
    pixels = CucimPixels(path, shapes)
    with tifffile.TiffFile(path) as tiff:
        for level, (height, width) in enumerate(shapes):
            expected = tiff.pages[level].asarray()
            for row, col in zip(rng.integers(0, height - 9, 50), rng.integers(0, width - 7, 50), strict=True):
                found = pixels.read((int(row), int(col)), (9, 7), level)
                np.testing.assert_array_equal(found, expected[row : row + 9, col : col + 7])
    pixels.close()


@pytest.mark.cucim
def test_cucim_must_see_the_levels_that_openslide_sees(tmp_path: Path, image: np.ndarray) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, image, 0.25, downsamples=(1, 4), tile_size=128)
    with pytest.raises(OSError, match="it sees levels"):
        CucimPixels(path, (SHAPE,))
