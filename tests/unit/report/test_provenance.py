from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.made_maps import write_map
from scripts.maps.files import read_map_infos
from scripts.maps.run_file import read_run
from scripts.report.provenance import made_with, read_sidecars

SIDECAR = {
    "weights": "model.pt",
    "weights_sha256": "86de723e076e",
    "mode": "refined",
    "refine_above": 0.2,
    "refine_below": 0.95,
    "tta": False,
    "runtime": "openvino",
    "precision": "bfloat16",
    "model_mpp": 0.243,
    "patch_size": 224,
    "tile_size": 2048,
    "backend": "cucim",
    "foreground": {"saturation": None, "max_hole_um2": 50000.0},
    "versions": {"torch": "2.15.0", "numpy": "2.4.6"},
}
RUN = {"slides_done": [{}, {}], "slides_skipped": [{}], "slides_failed": [], "seconds": 184.4, "processes": 2}


def lines(folder: Path, *changes: dict[str, Any]) -> dict[str, str]:
    for index, change in enumerate(changes):
        write_map(folder, f"s{index}", changes=change)
    infos = read_map_infos(folder)
    return dict(made_with(infos, read_sidecars(infos), read_run(infos[0].path.parent)))


def test_settings_and_times_of_maps(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(RUN | {"bound_by": "compute"}))
    found = lines(tmp_path, *(SIDECAR | {"seconds": seconds} for seconds in (60.25, 2.0, 131.06)))
    assert found == {
        "Weights of the maps": "model.pt (SHA-256 86de723e…)",
        "Mode": "refined, again above 0.2 and up to 0.95",
        "Stride (one map pixel)": "32 level-0 pixels, 8.0 µm",
        "Resolution of the network": "0.243 µm per pixel, patches of 224 px, tiles of 2048 px",
        "Foreground": "saturation null, max_hole_um2 50000.0",
        "Runtime and precision": "openvino, bfloat16",
        "Slides read with": "cucim",
        "Seconds per slide": "median 60.2, from 2.0 to 131.1",
        "The last run": "slides: 2 computed, 1 kept, 0 failed; 184 s; processes: 2; most time in: compute",
        "Versions": "torch 2.15.0, numpy 2.4.6",
    }
    for no_limit in ({"refine_below": 1.0}, {"refine_below": None}):
        assert lines(tmp_path, *(SIDECAR | no_limit,) * 3)["Mode"] == "refined, again above 0.2"


def test_maps_that_differ_are_counted(tmp_path: Path) -> None:
    masks = {"mode": "dense", "tta": True, "foreground": "53409107", "mask": "/of/nobody/s1.png"}
    found = lines(tmp_path, SIDECAR | {"seconds": 3}, SIDECAR | masks | {"seconds": 5}, SIDECAR | {"mode": "sliding"})
    assert found["Mode"] == (
        "refined, again above 0.2 and up to 0.95: 1 slide; dense, mean of eight orientations: 1 slide; sliding: 1 slide"
    )
    assert "masks that were given (--foreground_dir): 1 slide" in found["Foreground"]
    assert "nobody" not in str(found), "no folders of the machine that made the maps"
    assert found["Seconds per slide"] == "median 4.0, from 3.0 to 5.0; 1 not stated"
    assert found["Weights of the maps"] == "model.pt (SHA-256 86de723e…)"


def test_maps_of_other_origin_state_little(tmp_path: Path) -> None:
    found = lines(tmp_path, {}, {"weights": "other.pt"})
    assert found["Weights of the maps"] == "not stated: 1 slide; other.pt: 1 slide"
    assert {found[name] for name in ("Mode", "Seconds per slide", "Versions", "Foreground")} == {"not stated"}
    assert "The last run" not in found
