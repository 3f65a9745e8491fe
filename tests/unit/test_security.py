"""What strangers' files must not do; docs/security.md lists each guard with its test."""

from __future__ import annotations

import ast
import json
import logging
import pickle
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from helpers.damaged_slides import SLIDES, SlideFuzzer, damage
from helpers.fuzzing import CASES, read_stranger
from scripts.annotations.annotations import read_annotation
from scripts.annotations.coords import read_coords
from scripts.errors import InputError
from scripts.files import check_name, read_json, read_npy
from scripts.folders.names import check_cell
from scripts.maps.files import MapInfo, read_map, read_map_infos
from scripts.masks.files import MAX_MASK_PIXELS, read_mask_array
from scripts.masks.foreground_files import read_mask
from scripts.network.network import load_checkpoint
from scripts.slides.slide import open_slide
from scripts.training.patch_images import PatchImageDataset, patch_datalist

ROOT = Path(__file__).parents[2]


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def write_png(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes whose header claims a size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    path.write_bytes(content + chunk(b"IEND", b""))
    return path


# --- nothing runs ----------------------------------------------------------------------------------------------------


def test_weights_run_nothing(tmp_path: Path) -> None:
    torch.save({"weight": Evil(tmp_path / "ran")}, tmp_path / "model.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    for name in ("model.pt", "plain.pt"):
        with pytest.raises(InputError, match="not a file of weights"):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_arrays_run_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([Evil(tmp_path / "ran")], dtype=object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    for name in ("a.npy", "b.npy"):
        with pytest.raises(InputError, match="not a readable numpy array"):
            read_npy(tmp_path / name)
        with pytest.raises(InputError, match="not a readable numpy array"):
            read_mask_array(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_no_code_reads_pickles() -> None:
    """Every call that could: `torch.load` says weights_only, `numpy.load` says allow_pickle, `pickle` reads nothing."""
    wanted = {"torch": ("weights_only", True), "np": ("allow_pickle", False)}
    for path in sorted((ROOT / "bundle" / "scripts").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if node.func.attr in ("load", "loads") and owner in ("pickle", "cloudpickle", "joblib", "yaml", "dill"):
                pytest.fail(f"{path.name}, line {node.lineno}: reads what may run")
            if node.func.attr == "load" and owner in wanted:
                key, value = wanted[owner]
                given_values = {item.arg: getattr(item.value, "value", None) for item in node.keywords}
                assert given_values.get(key) is value, (
                    f"{path.name}, line {node.lineno}: {owner}.load needs {key}={value}"
                )


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY x "x"><!ENTITY y "&x;&x;&x;&x;">]>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/a.dtd"> %x;]>',
    ],
    ids=["expansion", "file", "fetch", "parameter"],
)
def test_xml_expands_and_fetches_nothing(tmp_path: Path, doctype: str) -> None:
    (tmp_path / "a.xml").write_text(f'<?xml version="1.0"?>{doctype}<ASAP_Annotations>&x;</ASAP_Annotations>')
    with pytest.raises(InputError, match="not a readable XML file"):
        read_annotation(tmp_path / "a.xml")


# --- nothing is larger than it may be --------------------------------------------------------------------------------


def test_mask_pictures_are_measured_before_they_are_decoded(tmp_path: Path) -> None:
    side = int(MAX_MASK_PIXELS**0.5) + 1
    for size in ((side, side), (2_000_000, 2_000_000)):
        with pytest.raises(InputError, match=r"at most .* pixels|not a readable mask"):
            read_mask_array(write_png(tmp_path / "a.png", *size))


def test_foreground_masks_are_measured_before_they_are_decoded(tmp_path: Path) -> None:
    for side in (30_000, 2_000_000):
        with pytest.raises(InputError, match=r"must have shape|not a readable mask picture"):
            read_mask(write_png(tmp_path / "a.png", side, side), (1000, 2000), 64)


def test_patch_pictures_are_measured_before_they_are_decoded(tmp_path: Path) -> None:
    for side in (5000, 2_000_000):
        sample = {"image": str(write_png(tmp_path / "a.png", side, side)), "label": 0.0}
        with pytest.raises(InputError, match=r"at most 16,777,216 pixels|not a readable picture"):
            PatchImageDataset([sample])[0]


@pytest.mark.parametrize("shape", [(2**20, 2**20), (2**62, 2), (2**31, 2**31, 2), (10**30,)])
def test_arrays_are_no_larger_than_their_files(tmp_path: Path, shape: tuple[int, ...]) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(100))
    with pytest.raises(InputError, match="not a readable numpy array"):
        read_map(MapInfo(path, "a.tif", (301, 449), 64, 0.25))


def test_overviews_of_slides_are_bounded(tmp_path: Path) -> None:
    from scripts.slides.pyramid import write_pyramid

    write_pyramid(tmp_path / "a.tif", np.full((701, 903, 3), 240, dtype=np.uint8), 0.243)
    with open_slide(tmp_path / "a.tif", "openslide") as slide:
        slide.shape = (2**31, 2**31)  # what a file may claim
        with pytest.raises(InputError, match=r"make an overview of .*, more than 1,073,741,824; give a larger stride"):
            slide.read_overview(64)


@pytest.mark.parametrize("text", ["[" * 200_000, "9" * 5000, '{"a":' * 100_000], ids=["lists", "digits", "objects"])
def test_json_that_is_too_deep_or_too_long(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="not a readable JSON file"):
        read_json(tmp_path / "a.json")


# --- nothing leaves its folder ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/etc/passwd", "..\\a", "a\0b", "a\nb", "x" * 201])
def test_names_that_are_no_file_names(name: str) -> None:
    with pytest.raises(InputError, match="cannot be a file's name"):
        check_name(name, "there")


@pytest.mark.parametrize("name", ["a", "Tumor_001.tif", "Präparat 7.svs", "a..b"])
def test_names_that_are_file_names(name: str) -> None:
    assert check_name(name, "there") == name


@pytest.mark.parametrize("slide", ["/etc/a.tif", "../../a.tif", "b/a.tif", "..", ""])
def test_a_sidecar_names_no_path(tmp_path: Path, slide: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 8), dtype=np.float32))
    sidecar = {"slide": slide, "shape": [301, 449], "stride": 64, "mpp": 0.25}
    (tmp_path / "a.json").write_text(json.dumps(sidecar))
    with pytest.raises(InputError, match="slide: expected a file named 'a' like the map"):
        read_map_infos(tmp_path)


@pytest.mark.parametrize("file", ["../secret.png", "/etc/secret.png", "a/../../secret.png"])
def test_a_table_of_pictures_names_none_outside_its_folder(tmp_path: Path, file: str) -> None:
    (tmp_path / "labels.csv").write_text(f"file,label\n{file},1\n")
    with pytest.raises(InputError, match="leads out of the table's folder"):
        patch_datalist(tables=tmp_path / "labels.csv")


# --- nothing becomes a formula ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)"])
def test_names_that_spreadsheets_take_for_formulas(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(f"{name},100,200\n")
    with pytest.raises(InputError, match="and spreadsheets take that for a formula"):
        read_coords(tmp_path / "a.csv")
    with pytest.raises(InputError, match="formula"):
        check_cell(name, "there")


# --- nothing else comes out of a reader ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")  # of damaged weights
@pytest.mark.parametrize("name", CASES)
def test_readers_of_strangers_files_raise_input_errors_alone(name: str, tmp_path: Path) -> None:
    """A few of what benchmarks/fuzz_readers.py runs for minutes."""
    messages: list[str | None] = []

    @settings(max_examples=30, database=None, suppress_health_check=list(HealthCheck))
    @given(content=CASES[name].content)
    def check(content: bytes) -> None:
        messages.append(read_stranger(CASES[name], content, tmp_path))

    logging.disable(logging.CRITICAL)
    try:
        check()
    finally:
        logging.disable(logging.NOTSET)
    refused = [message for message in messages if message is not None]
    # a sidecar of an earlier run is never an error: its slide is computed again
    assert refused or name == "sidecar of an earlier run", "nothing that was wrong was tried"


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 10
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in named if f"def {name}(" not in code and f"/{name}.py" not in page] == []


def test_damaged_slides_are_read_or_refused(tmp_path: Path) -> None:
    fuzzer = SlideFuzzer(tmp_path)
    for kind, content in SLIDES.items():
        assert fuzzer.read(kind, content) is None
        for number in range(12):
            fuzzer.read(kind, damage(kind, np.random.default_rng(number)))
    fuzzer.close()
    assert [error for error, _ in fuzzer.crashes] == []
    assert sum(fuzzer.counts.values()) == 13 * len(SLIDES)
