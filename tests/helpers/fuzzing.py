"""Files from strangers: made-up and damaged ones for every reader, and what a reader may answer."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image

from scripts.annotations.annotations import read_annotation
from scripts.annotations.coords import read_coords
from scripts.errors import InputError
from scripts.inference.folder_results import ResultFolder
from scripts.labels.loclabel import read_loclabels
from scripts.maps.files import MapInfo, read_map, read_map_infos
from scripts.masks.files import read_mask_array
from scripts.masks.foreground_files import read_mask
from scripts.masks.truth import read_truth
from scripts.network.network import load_weights
from scripts.network.purpose import read_purpose, sidecar_path

NAMES = st.sampled_from(["a", "Tumor_001", "=1+1", "../../etc/passwd", "", "a,b", 'a"b', "\u202e", "x" * 300, "a\nb"])
NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.sampled_from(["1e999", "NaN", "-0", "1_000", "0x10", "٣", "9" * 5000, "1.5", " 7 ", ""]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, NAMES, st.text(max_size=8))
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)


def _object(keys: list[str]) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(keys), JSON, max_size=len(keys))


POINTS = st.lists(st.one_of(st.lists(NUMBERS, max_size=3), SCALARS), max_size=6)
NCRF = st.fixed_dictionaries(
    {},
    optional={
        key: st.one_of(st.lists(st.one_of(st.fixed_dictionaries({"vertices": POINTS}), JSON), max_size=3), JSON)
        for key in ("positive", "negative")
    },
)
GEOMETRY = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Polygon", "MultiPolygon", "Point", "Circle", None]),
        "coordinates": JSON | st.lists(POINTS),
    }
)
FEATURE = st.fixed_dictionaries(
    {"type": st.just("Feature"), "geometry": GEOMETRY | JSON},
    optional={"properties": _object(["name", "classification", "objectType"]) | JSON, "id": SCALARS},
)
GEOJSON = st.one_of(
    st.lists(FEATURE | JSON, max_size=3),
    st.fixed_dictionaries({"type": st.just("FeatureCollection"), "features": st.lists(FEATURE, max_size=3) | JSON}),
)
SIDECAR = st.fixed_dictionaries(
    {}, optional={key: JSON for key in ("slide", "shape", "stride", "mpp", "tissue_fraction", "slide_bytes", "mode")}
)
GOOD_XML = (
    '<?xml version="1.0"?><ASAP_Annotations><Annotations><Annotation Name="A" Type="Polygon" PartOfGroup="Tumor">'
    '<Coordinates><Coordinate Order="0" X="1" Y="2"/><Coordinate Order="1" X="9" Y="2"/>'
    '<Coordinate Order="2" X="5" Y="9"/></Coordinates></Annotation></Annotations></ASAP_Annotations>'
)
GOOD_CSV = "Tumor_001,100,200\nNormal_002,300,400\n"
GOOD_LABELS = "Tumor_001,100,200,0,1,0,1,0,1,0,1,0\n"


def _damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """Bytes with some cut out, put in or changed."""

    @st.composite
    def draw_damage(draw: Callable[..., Any]) -> bytes:
        content = bytearray(good)
        for _ in range(draw(st.integers(1, 6))):
            at = draw(st.integers(0, max(0, len(content))))
            kind = draw(st.sampled_from(["cut", "insert", "change", "repeat"]))
            if kind == "cut":
                del content[at : at + draw(st.integers(1, 40))]
            elif kind == "repeat":
                content[at:at] = content[: at + 20] * draw(st.integers(1, 3))
            else:
                new = draw(
                    st.binary(min_size=1, max_size=6) | st.sampled_from([b"<!DOCTYPE x>", b"&a;", b"\0", b'"', b","])
                )
                content[at : at + (len(new) if kind == "change" else 0)] = new
        return bytes(content)

    return draw_damage()


def _npy(shape: tuple[int, ...], dtype: str, content: bytes) -> bytes:
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


NPY = st.one_of(
    st.builds(
        _npy,
        st.lists(st.sampled_from([0, 1, 5, 8, 2**20, 2**31, 2**40, 2**62, 2**63, 10**30, -1]), max_size=4).map(tuple),
        st.sampled_from(["'<f4'", "'|u1'", "'|O'", "'<M8[s]'", "'V7'", "[('a', '<f4')]", "'nonsense'", "3"]),
        st.binary(max_size=200),
    ),
    _damaged(_npy((5, 8), "'<f4'", np.zeros(40, dtype=np.float32).tobytes())),
    st.binary(max_size=100),
    st.just(b"PK\x03\x04" + bytes(40)),
)


def _png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.eye(5, 8, dtype=np.uint8) * np.uint8(255)).save(file, "PNG")
    return file.getvalue()


def _weights(state: Any, is_zip: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=is_zip)
    return file.getvalue()


STATE = {"weight": torch.arange(6, dtype=torch.float32).reshape(2, 3), "bias": torch.ones(2)}
WEIGHTS = st.one_of(
    _damaged(_weights(STATE)),
    _damaged(_weights(STATE, is_zip=False)),
    st.sampled_from(
        [
            _weights(STATE),
            *(_weights({**STATE, "bias": value}) for value in (torch.ones(2, dtype=torch.int64), torch.ones(3), None)),
            *(_weights(value) for value in ([1, 2], {0: torch.ones(2)}, {"weight": STATE}, torch.nan * STATE["bias"])),
        ]
    ),
    st.binary(max_size=100),
)
PURPOSE = st.fixed_dictionaries(
    {}, optional={key: JSON for key in ("sha256", "mpp", "patch_size", "trained_on", "version")}
)


def _text(good: str, *others: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    parts = [other.map(lambda text: text.encode("utf-8", errors="surrogatepass")) for other in others]
    return st.one_of(_damaged(good.encode()), st.binary(max_size=60), *parts)


def _lines(num_fields: int) -> st.SearchStrategy[str]:
    fields = st.lists(st.one_of(NAMES, NUMBERS.map(str), st.text(max_size=6)), max_size=num_fields + 2)
    return st.lists(fields.map(",".join), max_size=5).map("\n".join)


class Case(NamedTuple):
    """A reader, and files for it.

    Attributes:
        file: name of the file.
        content: its bytes.
        read: reads it.
    """

    file: str
    content: st.SearchStrategy[bytes]
    read: Callable[[Path], object]


def _json(strategy: st.SearchStrategy[Any], *extra: bytes) -> st.SearchStrategy[bytes]:
    found = strategy.map(lambda value: json.dumps(value).encode())
    deep = st.sampled_from([b"[" * 5000, b'{"positive":' * 5000, b"9" * 5000, b"[1e999]", b"\xff\xfe[\x00", *extra])
    return st.one_of(found, found.flatmap(_damaged), deep)


def _read_maps(path: Path) -> None:
    np.save(path.with_suffix(".npy"), np.zeros((5, 8), dtype=np.float32))
    for info in read_map_infos(path.parent):
        read_map(info)


def _outdated(path: Path) -> None:
    np.save(path.with_suffix(".npy"), np.zeros((5, 8), dtype=np.float32))
    ResultFolder(path.parent).outdated(path.stem, {})  # nothing that would differ first


def _read_purpose(path: Path) -> None:
    weights = path.with_suffix(".pt")
    if not weights.exists():
        weights.write_bytes(_weights(STATE))
    assert sidecar_path(weights) == path
    read_purpose(weights)


CASES = {
    "annotation JSON of NCRF": Case("a.json", _json(NCRF), read_annotation),
    "annotation GeoJSON": Case("a.geojson", _json(GEOJSON | JSON), read_annotation),
    "annotation XML": Case("a.xml", _text(GOOD_XML), read_annotation),
    "coordinate CSV": Case("a.csv", _text(GOOD_CSV, _lines(3)), read_coords),
    "loclabel CSV": Case("a.csv", _text(GOOD_LABELS, _lines(12)), read_loclabels),
    "sidecar of a map": Case("a.json", _json(SIDECAR | JSON), _read_maps),
    "sidecar of an earlier run": Case("a.json", _json(SIDECAR | JSON), _outdated),
    "map": Case("a.npy", NPY, lambda path: read_map(MapInfo(path, "a.tif", (301, 449), 64, 0.25))),
    "weights": Case("a.pt", WEIGHTS, lambda path: load_weights(torch.nn.Linear(3, 2), path, is_start=False)),
    "sidecar of weights": Case("a.json", _json(PURPOSE | JSON), _read_purpose),
    "mask array": Case("a.npy", NPY, lambda path: read_truth(path, (301, 449), 64, 64)),
    "mask picture": Case("a.png", _damaged(_png()), read_mask_array),
    "foreground mask": Case("a.png", _damaged(_png()), lambda path: read_mask(path, (301, 449), 64)),
}
"""By what is read."""


def read_stranger(case: Case, content: bytes, folder: Path) -> str | None:
    """Let a reader read a file.

    Returns:
        The message of its `InputError`, one line; None if it took the file. Anything else it raises is a fault.
    """
    path = folder / case.file
    path.write_bytes(content)
    try:
        case.read(path)
    except InputError as error:
        return str(error)
    return None
