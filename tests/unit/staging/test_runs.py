"""What is said of nodes: by maps, by a table, by an output of stage, by a judge in place of the rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.drawn_nodes import write_nodes
from scripts.errors import InputError
from scripts.staging.nodes import NodeSettings
from scripts.staging.runs import read_run
from scripts.staging.staging import stage_folder

KINDS = ["negative", "macro", "itc"]
NAMES = ["patient_000_node_0", "patient_000_node_1", "patient_001_node_0"]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nodes(tmp_path_factory.mktemp("nodes"), KINDS)


def test_maps_a_table_and_a_staging_say_the_same(nodes: Path, tmp_path: Path) -> None:
    stage_folder(nodes / "maps", None, tmp_path / "out")
    runs = [read_run(source, NodeSettings()) for source in (nodes / "maps", nodes / "labels.csv", tmp_path / "out")]
    for run in runs:
        assert {key: row["class"] for key, row in run.rows.items()} == dict(zip(NAMES, KINDS, strict=True))
        assert [row["slide"] for row in run.rows.values()] == [f"{name}.tif" for name in NAMES]
    assert [len(run.infos) for run in runs] == [3, 0, 0]


def test_a_judge_gives_class_and_score_and_the_measures_stay(nodes: Path) -> None:
    def judge(lesions: Any, prob_map: np.ndarray[Any, Any], info: Any) -> tuple[str, float]:
        return "micro", len(lesions.regions) / 4

    plain, judged = (read_run(nodes / "maps", NodeSettings(), chosen).rows[NAMES[1]] for chosen in (None, judge))
    assert (judged["class"], judged["score"]) == ("micro", 0.25)
    assert judged["size_um"] == plain["size_um"] > 2000
    assert plain["score"] == plain["max_probability"]


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read_run(tmp_path / "none", NodeSettings())
    with pytest.raises(InputError, match="no probability maps"):
        read_run(tmp_path, NodeSettings())
