from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from helpers.deadly_slide import change_frame
from scripts.slides import cucim_backend
from scripts.slides.cucim_backend import CucimPixels, import_cucim, prepare_cufile
from scripts.slides.pyramid import write_pyramid
from scripts.slides.tile_layout import read_tile_layouts

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
        env=environment | {"PYTHONPATH": str(BUNDLE)}, cwd=work, capture_output=True, text=True, timeout=900,
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


CUCIM = """
try:
    import cupy
    has_cupy = True
except ImportError:
    has_cupy = False
CuImage = object
"""


@pytest.mark.parametrize(
    ("with_cupy", "is_imported", "found"), [(True, False, True), (False, False, False), (False, True, True)]
)
def test_cucim_comes_without_cupy_where_it_shall(
    with_cupy: bool, is_imported: bool, found: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cucim.py").write_text(CUCIM)
    (tmp_path / "cupy.py").touch()
    for name in ("cucim", "cupy"):
        monkeypatch.setitem(sys.modules, name, None)  # so that it is restored
        del sys.modules[name]
    monkeypatch.syspath_prepend(tmp_path)
    if is_imported:
        importlib.import_module("cupy")
    cucim = import_cucim(with_cupy)
    assert cucim is not None
    assert cucim.has_cupy is found
    assert importlib.import_module("cupy").__file__ == str(tmp_path / "cupy.py")  # others can import it still


@pytest.mark.parametrize("module", [None, object()], ids=["missing", "without CuImage"])
def test_without_cucim(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: object) -> None:
    monkeypatch.setitem(sys.modules, "cucim", module)  # type: ignore[arg-type]
    assert import_cucim() is None
    with pytest.raises(ImportError, match="cuCIM is not installed"):
        CucimPixels(tmp_path / "slide.tif", (SHAPE,), ())


@pytest.mark.cucim
def test_pixels_of_rounded_levels(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (1231, 1709, 3), dtype=np.uint8)
    path = tmp_path / "slide.tif"
    write_pyramid(path, image, 0.25, downsamples=(1, 3, 10), compression="lzw")
    shapes = ((1231, 1709), (411, 570), (124, 171))
    pixels = CucimPixels(path, shapes, read_tile_layouts(path, shapes))
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
        CucimPixels(path, (SHAPE,), read_tile_layouts(path, (SHAPE,)))


@pytest.mark.cucim
@pytest.mark.parametrize("size", [{"height": 417}, {"width": 129}, {"height": 64}, {"width": 0}])
def test_a_jpeg_tile_of_another_size_is_not_given_to_cucim(
    tmp_path: Path, image: np.ndarray, size: dict[str, int]
) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, image, 0.25, downsamples=(1,), tile_size=128, compression="jpeg")
    start = change_frame(path, 5, **size)  # 3 x 4 tiles: row 1, column 1
    pixels = CucimPixels(path, (SHAPE,), read_tile_layouts(path, (SHAPE,)))
    for location in ((0, 0), (127, 256), (256, 0)):
        pixels.read(location, (1, 128), 0)
    shape = f"{size.get('height', 128)} x {size.get('width', 128)}"
    expected = f"JPEG stream at byte {start} has {shape} pixels of 3 components of 8 bits, but the TIFF says 128 x 128"
    for location, region in (((0, 0), SHAPE), ((127, 127), (2, 2)), ((255, 255), (1, 1))):
        with pytest.raises(OSError, match=expected):
            pixels.read(location, region, 0)
    pixels.close()
