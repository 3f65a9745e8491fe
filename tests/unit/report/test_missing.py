from __future__ import annotations

from pathlib import Path

from scripts.maps.files import MapInfo
from scripts.report.missing import MissingMap, find_missing


def test_slides_without_a_map_are_found_by_name() -> None:
    infos = [MapInfo(Path("maps/Tumor_001.npy"), "Tumor_001.tif", (300, 500), 16, 0.25)]
    slides = [Path("slides") / name for name in ("tumor_001.tif", "b.svs", "c.tif")]
    failures = {"c.tif": "c.tif: damaged", "gone.tif": "gone.tif: no such file", "Tumor_001.tif": "older map stays"}
    assert find_missing(infos, slides, failures) == [
        MissingMap("b.svs", "Inference was not run on it, or did not come so far."),
        MissingMap("c.tif", "Inference failed: c.tif: damaged"),
        MissingMap("gone.tif", "Inference failed: gone.tif: no such file"),
    ]
    assert find_missing(infos, slides[:1], {}) == []
