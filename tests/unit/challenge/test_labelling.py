from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scripts.annotations.writers import write_ncrf_json
from scripts.challenge import labelling
from scripts.challenge.cohort import make_member, members_content
from scripts.challenge.costs import Cost, Probe
from scripts.challenge.labelling import Labels
from scripts.challenge.layout import COHORT, Layout
from scripts.errors import InputError
from scripts.files import write_json
from scripts.labels.loclabel import read_loclabels

SQUARE = np.array([(0.0, 0.0), (0.0, 2000.0), (2000.0, 2000.0), (2000.0, 0.0)])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "output"))
    names = ("tumor_001", "tumor_010", "tumor_072", "normal_001", "normal_101", "test_001")
    members = [make_member(f"{name}.tif", ["test_001"]) for name in names]
    layout.folder("verify").mkdir(parents=True)
    write_json(layout.folder("verify") / COHORT, members_content([member for member in members if member], {}))
    return layout


def write_coords(folder: Path) -> None:
    folder.mkdir()
    for file, lines in {
        "tumor_train.txt": ("Tumor_001,1000,1000", "Tumor_005,9,9"),
        "normal_train.txt": ("Normal_001,500,700",),
        "tumor_valid.txt": ("Tumor_072,5000,5000",),
        "normal_valid.txt": ("Normal_101,600,600", "Normal_144,1,1"),
    }.items():
        (folder / file).write_text("".join(f"{line}\n" for line in lines))


def test_coordinates_of_the_slides_of_this_run_are_labelled(layout: Layout, tmp_path: Path) -> None:
    write_coords(tmp_path / "coords")
    (tmp_path / "jsons").mkdir()
    for name in ("Tumor_001", "Tumor_072"):
        write_ncrf_json(tmp_path / "jsons" / f"{name}.json", [SQUARE])
    stage = Labels(layout, str(tmp_path / "coords"), str(tmp_path / "jsons"))
    outcome = stage.run(False)
    assert "training: 2 regions of 2 slides" in outcome.line
    assert "1 of other slides left out" in outcome.line
    training, validation = (read_loclabels(path) for path in stage.outputs())
    assert [(row["name"], bool(row["label"].all())) for row in training] == [("Tumor_001", True), ("Normal_001", False)]
    assert [row["name"] for row in validation] == ["Tumor_072", "Normal_101"]


@pytest.mark.parametrize("pace", [0.001, 0.004])
def test_the_plan_takes_the_time_from_some_of_the_coordinates(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pace: float
) -> None:
    """On a clock that moves by 2 for the annotations and by the pace for each line."""
    write_coords(tmp_path / "coords")
    (tmp_path / "coords" / "tumor_train.txt").write_text("Tumor_001,1000,1000\n" * 50_000 + "Tumor_005,9,9\n")
    clock = SimpleNamespace(now=0.0)

    def label(coords: Path, annotations: Path, output: Path, *arguments: Any, **settings: Any) -> str:
        clock.now += 2 + pace * len(coords.read_text().splitlines())
        return "labels"

    monkeypatch.setattr(labelling, "generate_loclabels", label)
    monkeypatch.setattr(labelling, "time", SimpleNamespace(monotonic=lambda: clock.now))
    members = layout.members("training")
    probe = Probe(layout, members)
    stage = Labels(layout, str(tmp_path / "coords"))
    assert stage.cost(probe) == Cost(), "no slide is there"
    probe.shapes = {member.name: (900, 1200) for member in members}
    expected = 2 + pace * 50_001 + 2 + pace * 2
    assert stage.cost(probe).seconds == pytest.approx(expected)
    assert clock.now < 20 + pace * 9000, "only some are labelled"


def test_a_folder_without_coordinates_names_what_is_expected(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "coords").mkdir()
    with pytest.raises(InputError, match=r"tumor_train\.txt: no such file; give NCRF's folder 'coords'"):
        Labels(layout, str(tmp_path / "coords")).run(False)


def test_regions_are_drawn_from_different_slides_and_no_normal_ones_where_tumor_is_unmarked(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[set[str], int, int | None]] = []

    def sample(slides: list[Path], truth: Path, output: Path, settings: Any, **others: Any) -> str:
        asked.append(({path.stem for path in slides}, settings.num_tumor, settings.num_normal))
        output.write_text(f"{output.stem}\n")
        return "regions"

    monkeypatch.setattr(labelling, "sample_regions", sample)
    stage = Labels(layout, num_tumor=10, num_validation=4, validation_share=0.3)
    stage.run(False)
    (wholly, num_tumor, num_normal), (partly, of_partly, no_normal), (held, *_) = asked
    assert partly == {"tumor_010"}
    assert (num_tumor, num_normal, of_partly, no_normal) == (5, 10, 5, 0)
    assert len(held) == 2
    assert not held & (wholly | partly)
    assert [path.read_text() for path in stage.outputs()] == ["training\ntraining_partly\n", "validation\n"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_share": 2}, "validation_share: expected a number between 0 and 1, found 2; mend it"),
        ({"validation_share": "a"}, "validation_share: expected a number between 0 and 1, found 'a'; mend it"),
        ({"coords_dir": "nowhere"}, "coords_dir nowhere: no such folder; give NCRF's coords, or leave it out"),
    ],
    ids=["share", "text", "coords"],
)
def test_wrong_settings_are_refused_before_a_run(layout: Layout, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Labels(layout, **settings).check()
