from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import tifffile

from scripts import bundle_root
from scripts.challenge.probe import Speed, duration
from scripts.cli import doctor as module
from scripts.cli.doctor import describe_machine, describe_slide, doctor
from scripts.errors import InputError
from scripts.slides.fallbacks import tell_fallbacks
from scripts.slides.pyramid import write_pyramid


def write_slide(path: Path, mpp: float | None, shape: tuple[int, int] = (601, 903)) -> Path:
    image = np.random.default_rng(3).integers(256, size=(*shape, 3), dtype=np.uint8)
    write_pyramid(path, image, mpp, downsamples=(1, 4))
    return path


def facts(lines: list[str]) -> dict[str, str]:
    """The lines as label and text."""
    return {line[:28].strip(): line[28:] for line in lines}


def slide_facts(lines: list[str]) -> dict[str, str]:
    return {line[2:12].strip(): line[14:] for line in lines[1:]}


def test_the_machine() -> None:
    found = facts(describe_machine())
    assert found["python"].startswith("3.")
    for package in ("monai", "torch", "numpy", "openslide-python", "openslide-bin", "tifffile"):
        assert found[package][0].isdigit(), package
    assert found["device"].startswith(("cpu (", "cuda ("))
    assert found["device"].endswith(tuple(f"precision auto is {name}" for name in ("int8", "bfloat16", "float32")))
    assert found["backend openslide"] == "works"
    assert found["backend cucim"].startswith(("works", "not installed"))


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "cucim-cu13":
            raise PackageNotFoundError(name)
        return "1.2"

    monkeypatch.setattr(module, "version", version)
    monkeypatch.setattr(module, "import_cucim", lambda: None)
    found = facts(describe_machine())
    assert (found["monai"], found["cucim-cu13"]) == ("1.2", "not installed")
    assert found["backend cucim"] == "not installed (Linux only); OpenSlide serves"


@pytest.mark.parametrize("mpp", [0.243, 0.25, 0.22])
def test_a_slide_near_the_models_resolution_is_read_as_it_is(tmp_path: Path, mpp: float) -> None:
    lines, _ = describe_slide(write_slide(tmp_path / "a.tif", mpp))
    found = slide_facts(lines)
    assert lines[0] == str(tmp_path / "a.tif")
    assert found["format"].startswith("generic-tiff, pixels by ")
    assert found["levels"] == "601 x 903 (1), 151 x 226 (4)  height x width (downsample)"
    assert found["resolution"] == f"{mpp:g} µm per level-0 pixel; that of model.pt is 0.243 µm"
    assert found["model gets"] == "level 0 as it is"
    assert "note" not in found


@pytest.mark.parametrize(
    ("mpp", "expected", "is_enlarged"),
    [
        (0.486, "level 0, enlarged so that 1 px is 0.5 level-0 px", True),
        (0.1215, "level 0, reduced so that 1 px is 2 level-0 px", False),
        (0.0486, "level 1, reduced so that 1 px is 5 level-0 px", False),
    ],
)
def test_a_slide_of_another_resolution_is_resampled(
    tmp_path: Path, mpp: float, expected: str, is_enlarged: bool
) -> None:
    found = slide_facts(describe_slide(write_slide(tmp_path / "a.tif", None), assume_mpp=mpp)[0])
    assert found["model gets"] == expected
    assert ("note" in found) == is_enlarged


def test_a_slide_without_a_resolution(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "a.tif", None)
    found = slide_facts(describe_slide(path)[0])
    assert found["resolution"] == "not stated: inference needs --assume_mpp with µm per level-0 pixel"
    assert slide_facts(describe_slide(path, assume_mpp=0.243)[0])["model gets"] == "level 0 as it is"


@pytest.mark.cucim
def test_the_backend_is_named(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "a.tif", 0.243, (604, 904))
    for backend in ("cucim", "openslide"):
        assert slide_facts(describe_slide(path, backend)[0])["format"] == f"generic-tiff, pixels by {backend}"


@pytest.mark.cucim
def test_a_slide_that_is_read_slower_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = np.full((700, 903, 3), (190, 100, 170), dtype=np.uint8)
    options = {"photometric": "rgb", "metadata": None, "tile": (256, 256)}
    tifffile.imwrite(tmp_path / "a.tif", image, compression="packbits", **options)
    write_pyramid(tmp_path / "b.tif", image, 0.243, downsamples=(1, 4))
    report, _ = doctor([str(tmp_path / "a.tif")])
    assert (
        "generic-tiff, pixels by openslide, several times slower than by cuCIM: compression 32773 is none that cuCIM "
        "is known to decode right"
    ) in report
    facts = slide_facts(describe_slide(tmp_path / "b.tif")[0])
    assert facts["format"] == "generic-tiff, pixels by cucim, of level 1 by openslide"
    tell_fallbacks()
    assert not [message for message in caplog.messages if "OpenSlide" in message], "told in the report already"


def test_without_slides_there_is_only_the_machine() -> None:
    report, failures = doctor()
    assert failures == 0
    assert report == "\n".join(describe_machine())


def test_failing_slides_are_counted_and_the_others_described(tmp_path: Path) -> None:
    good = write_slide(tmp_path / "b.tif", 0.243)
    whole = write_slide(tmp_path / "c.tif", 0.243).read_bytes()
    (tmp_path / "c.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a.svs").write_text("no slide")
    report, failures = doctor([str(tmp_path)])
    assert failures == 2
    for name in ("a.svs", "c.tif"):
        assert f"\n{tmp_path / name}\n  FAILS       {tmp_path / name}: cannot be opened as a slide" in report
    assert f"\n{good}\n  format " in report
    assert report.index("a.svs") < report.index("b.tif") < report.index("c.tif")


def test_a_slide_whose_pixels_are_damaged_fails(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "a.tif", 0.243)
    content = bytearray(path.read_bytes())
    content[1000:-3000] = b"\0" * (len(content) - 4000)
    path.write_bytes(content)
    report, failures = doctor([str(path)])
    assert failures == 1
    assert f"FAILS       {path}: " in report


def test_a_missing_slide_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nope\.tif: no such file or folder"):
        doctor([str(tmp_path / "nope.tif")])
    with pytest.raises(InputError, match="no slides found; expected files ending in"):
        doctor([str(tmp_path)])


def test_real_slides(shared_data: Path) -> None:
    report, failures = doctor([str(shared_data / "slides")])
    assert failures == 0
    aperio, dicom, run = report.split("\n\n")[1:]
    assert "2967 x 2220 (1)" in aperio
    assert "0.499 µm" in aperio
    assert "enlarged so that 1 px is 0.487 level-0 px" in aperio
    assert "700 x 1152 (1)" in dicom
    assert "dicom, pixels by openslide" in dicom
    assert "model.pt fits poorly, the slide is 2.05 times coarser; model_10x.pt fits" in aperio
    assert "model.pt does not fit, the slide is 119 times coarser, and infer refuses it" in dicom
    assert run.startswith("inference of 1 of 2 slides with model.pt")


# --- tissue, weights, and what a run takes ---


def write_stained(path: Path, mpp: float | None = 0.243, color: tuple[int, int, int] = (190, 100, 170)) -> Path:
    image = np.full((1301, 1603, 3), 243, dtype=np.uint8)
    image[300:900, 500:1200] = color
    write_pyramid(path, image, mpp, downsamples=(1, 4), compression="zlib")
    return path


def test_tissue_is_said_and_that_there_is_none(tmp_path: Path) -> None:
    lines, needs = describe_slide(write_stained(tmp_path / "a.tif"))
    assert slide_facts(lines)["tissue"].endswith(f" of the slide, {needs.num_positions} positions at stride 64")
    assert 60 < needs.num_positions < 140
    lines, needs = describe_slide(write_stained(tmp_path / "blank.tif", color=(243, 243, 243)))
    assert slide_facts(lines)["tissue"].startswith("none found: apart from areas up to 20,000 µm² (min_tissue_um2)")
    assert needs.num_positions == 0


@pytest.mark.parametrize("mpp", [0.243, None])
def test_a_gray_slide_fails(tmp_path: Path, mpp: float | None) -> None:
    path = write_stained(tmp_path / "gray.tif", mpp, (130, 130, 130))
    report, failures = doctor([str(path)])
    assert failures == 1
    assert f"FAILS       {path}: expected a stained slide in RGB, found gray pixels alone" in report


@pytest.mark.parametrize(
    ("mpp", "expected"),
    [
        (0.243, "model.pt fits; model_10x.pt fits, with --config_file screen_10x.json"),
        (0.5, "model.pt fits poorly, the slide is 2.06 times coarser; model_10x.pt fits, with"),
        (0.972, "model.pt does not fit, the slide is 4 times coarser, and infer refuses it; model_10x.pt fits, with"),
        (
            4.0,
            "model.pt does not fit, the slide is 16.5 times coarser, and infer refuses it; model_10x.pt does not fit",
        ),
    ],
)
def test_which_weights_fit(tmp_path: Path, mpp: float, expected: str) -> None:
    lines, needs = describe_slide(write_stained(tmp_path / "a.tif", None), assume_mpp=mpp)
    assert slide_facts(lines)["weights"].startswith(expected)
    assert (needs.num_positions > 0) == (mpp < 0.9)


def test_the_settings_are_those_of_the_config() -> None:
    defaults = json.loads((Path(bundle_root()) / "configs" / "inference.json").read_text())
    assert (defaults["stride"], defaults["max_enlargement"]) == (module._STRIDE, module._MOST_ENLARGED)


def test_what_a_run_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stained(tmp_path / "b.tif")
    write_stained(tmp_path / "a.tif", color=(243, 243, 243))
    report, _ = doctor([str(tmp_path)])
    assert "inference of 1 of 2 slides with model.pt at stride 64" in report
    assert " MB of maps; " in report
    assert "--probe measures it" in report
    asked = []
    monkeypatch.setattr(module, "measure_speed", lambda path, *_: asked.append(path.name) or Speed(2.0, 2, 3.0))
    monkeypatch.setattr(module, "available_gb", lambda: -1.0)
    report, _ = doctor([str(tmp_path)], probe=True)
    assert asked == ["b.tif"], "the first slide with tissue"
    write_stained(tmp_path / "c.tif")
    write_stained(tmp_path / "d.tif", mpp=0.5)
    asked.clear()
    text, _ = doctor([str(tmp_path)], probe=True)
    assert asked == ["b.tif", "d.tif"], "one of each resolution"
    assert "from a probe of 4 tiles" in text
    _, needs = describe_slide(tmp_path / "b.tif")
    assert f"about {duration(2.0 * needs.num_positions)} here, from a probe of 2 tiles\n" in report
    assert "3.0 GB in the probe; 2.0 GB are free, which is too little" in report
    for name in "bcd":
        (tmp_path / f"{name}.tif").unlink()
    assert "there is no tile to measure it on" in doctor([str(tmp_path)], probe=True)[0]
