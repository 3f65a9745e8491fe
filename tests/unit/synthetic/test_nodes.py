"""Drawn nodes: what they are meant to be, what their truth says, and that the seed makes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scripts.maps.files import read_map, read_map_infos
from scripts.staging.tables import read_labels
from scripts.synthetic import nodes
from scripts.synthetic.nodes import draw_node, write_nodes


@pytest.mark.parametrize("kind", ["negative", "itc", "micro", "macro"])
def test_draw_node_is_of_its_class(kind: str) -> None:
    found = [draw_node(np.random.default_rng(seed), kind) for seed in range(3)]
    assert [node.kind for node in found].count(kind) >= 2  # a nest's outline may be longer than meant
    for node in found:
        assert node.prob_map.dtype == np.float32
        assert 0 <= node.prob_map.min() < node.prob_map.max() <= 1
    bright = [int((node.prob_map > 0.5).sum()) for node in found]
    assert min(bright) > 4000 if kind == "macro" else max(bright) < 12_000


def test_write_nodes_are_maps_with_labels_and_the_seed_draws_them(tmp_path: Path) -> None:
    maps, labels = write_nodes(tmp_path / "a", 2, seed=3)
    again, _ = write_nodes(tmp_path / "b", 1, seed=3)
    infos = read_map_infos(maps)
    assert [info.name for info in infos] == sorted(read_labels(labels).classes)
    assert len(infos) == 10
    assert infos[0].notes == ("synthetic",)
    np.testing.assert_array_equal(read_map(infos[0]), read_map(read_map_infos(again)[0]))
    other, _ = write_nodes(tmp_path / "c", 1, seed=4)
    assert (read_map(infos[0]) != read_map(read_map_infos(other)[0])).any()
    content = json.loads(infos[0].path.with_suffix(".json").read_text(encoding="utf-8"))
    assert (content["stride"], content["mpp"]) == (nodes.STRIDE, nodes.MPP)
