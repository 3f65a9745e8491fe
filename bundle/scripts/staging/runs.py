"""A run over nodes: what maps, a table or an earlier output of ``stage`` say of each node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..errors import InputError
from ..folders.names import name_key
from ..maps.files import MapInfo, read_map, read_map_infos
from .nodes import NodeLesions, NodeSettings, find_node_lesions, node_class, node_row
from .tables import read_labels

Judge = Callable[[NodeLesions, npt.NDArray[np.floating[Any]], MapInfo], tuple[str, float]]
"""Gives the class of a node and the probability of tumor in it, in place of the rule."""


class NodeRun(NamedTuple):
    """What is said of nodes.

    Attributes:
        rows: of each node, by `folders.names.name_key` of the slide's name: ``slide`` and ``class``, and of maps also
            what `nodes.node_row` says.
        infos: the sidecars of the maps, or nothing of a table.
    """

    rows: dict[str, dict[str, Any]]
    infos: list[MapInfo]


def read_run(source: str | Path, settings: NodeSettings, judge: Judge | None = None) -> NodeRun:
    """Read what is said of nodes, whichever form it has.

    Args:
        source: a folder of maps; a table, see `tables.read_labels`; or an output of ``stage``, whose ``nodes.csv`` it
            is.
        settings: how maps are measured.
        judge: in place of the rule, for maps.

    Raises:
        InputError: if there is nothing of the kind, or a file is damaged.
    """
    path = Path(source)
    if path.is_dir() and not (path / "stage.json").is_file():
        return run_of_maps(path, settings, judge)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a table of nodes, a folder of maps or a staging")
    return run_of_table(path / "nodes.csv" if path.is_dir() else path)


def run_of_table(path: str | Path) -> NodeRun:
    """What a table says of nodes, see `tables.read_labels`."""
    table = read_labels(path)
    return NodeRun({key: {"slide": table.slides[key], "class": name} for key, name in table.classes.items()}, [])


def run_of_maps(folder: str | Path, settings: NodeSettings, judge: Judge | None = None) -> NodeRun:
    """What maps say of nodes; one map is in memory at a time.

    Raises:
        InputError: if there are no maps in the folder, or one is damaged.
    """
    infos = read_map_infos(folder)
    rows: dict[str, dict[str, Any]] = {}
    for info in tqdm(infos, desc="stage", unit="slide"):
        prob_map = read_map(info)
        lesions = find_node_lesions(prob_map, info, settings)
        row = node_row(lesions, prob_map, info)
        if judge is None:
            row["class"] = node_class(float(lesions.extent_um[0]) if lesions.regions else None, settings)
        else:
            row["class"], row["score"] = judge(lesions, prob_map, info)
        rows[name_key(info.name)] = {"slide": info.slide, **row}
    return NodeRun(rows, infos)
