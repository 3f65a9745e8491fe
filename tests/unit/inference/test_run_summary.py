from __future__ import annotations

from typing import Any

import pytest

from scripts.inference.run_summary import RunSummary, still_failed
from scripts.inference.slide_queue import SlideQueue
from scripts.inference.timing import Timing


class Told(SlideQueue):
    """A queue of three processes, two of which have told."""

    num_ranks = 3

    def __init__(self, parts: list[dict[str, Any]]) -> None:
        self.parts = parts

    def tell(self, part: dict[str, Any], is_last: bool = False) -> None:
        self.parts.append({**part, "is_last": is_last})

    def others(self) -> list[dict[str, Any]]:
        return self.parts


def work(queue: SlideQueue, name: str, tiles: int, decode: float) -> RunSummary:
    summary = RunSummary(queue)
    summary.done.append({"slide": f"{name}.tif", "num_positions": 5, "seconds": 1.0, "cucim_fault": None})
    summary.failed[f"bad_{name}.tif"] = f"bad {name}"
    summary.timing.num_tiles = tiles
    summary.timing.mm2 = tiles / 2
    summary.timing.seconds_in = {"decode": decode, "compute": 2.0, "write": 0.5}
    return summary


def test_what_all_processes_did_is_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Timing, "seconds", 2.0)
    parts: list[dict[str, Any]] = []
    for name, tiles in (("b", 3), ("c", 4)):
        work(Told(parts), name, tiles, decode=3.0).tell(is_last=True)
    assert all(part["is_last"] for part in parts)
    summary = work(Told(parts), "a", 10, decode=0.25)
    summary.skipped.append("z.tif")
    summary.skipped_without_tissue.append("z.tif")
    parts[0]["done"][0]["num_positions"] = 0
    parts[1]["done"][0]["cucim_fault"] = "an odd compression"
    content = summary.content()
    assert content["processes"] == 3
    assert [slide["slide"] for slide in content["slides_done"]] == ["a.tif", "b.tif", "c.tif"]
    assert [slide["slide"] for slide in content["slides_failed"]] == ["bad_a.tif", "bad_b.tif", "bad_c.tif"]
    assert content["slides_skipped"] == ["z.tif"]
    assert content["slides_without_tissue"] == ["z.tif", "b.tif"]
    assert content["slides_without_cucim"] == {"an odd compression": ["c.tif"]}
    assert content["tiles"] == 17
    assert content["tissue_mm2"] == 8.5
    assert content["seconds_in"] == {"decode": 6.25, "compute": 6.0, "write": 1.5}
    assert content["bound_by"] == "decode"
    assert (content["seconds"], content["tiles_per_second"], content["mm2_per_second"]) == (2.0, 8.5, 4.25)
    assert summary.rates() == "8.5 tiles/s, 4.25 mm²/s"
    assert summary.num_by_others() == 4
    assert summary.all_failed()["bad_c.tif"] == "bad c"


def test_failures_of_earlier_runs_stay_until_they_are_mended() -> None:
    names = ("a", "bad_a", "z", "other")
    failed = [{"slide": f"elsewhere/{name}.svs", "reason": f"old {name}"} for name in names]
    summary = work(SlideQueue(), "a", 2, decode=9.0)
    summary.skipped.append("z.tif")
    summary.earlier = {"slides_failed": failed}
    assert summary.content()["slides_failed"] == [
        {"slide": "bad_a.tif", "reason": "bad a"},
        {"slide": "elsewhere/other.svs", "reason": "old other"},
    ]


@pytest.mark.parametrize("earlier", [{}, {"slides_failed": None}, {"slides_failed": ["a.tif", 1, {}]}])
def test_what_an_earlier_run_left_may_be_anything(earlier: dict[str, Any]) -> None:
    assert [entry for entry in still_failed(earlier, []) if entry] == []


def test_one_process_has_no_others() -> None:
    content = work(SlideQueue(), "a", 2, decode=9.0).content()
    assert (content["processes"], content["tiles"], content["bound_by"]) == (1, 2, "decode")
    assert len(content["slides_done"]) == len(content["slides_failed"]) == 1
