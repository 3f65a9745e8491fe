from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.challenge import learning
from scripts.challenge.cohort import make_member, members_content
from scripts.challenge.layout import COHORT, Layout
from scripts.challenge.learning import Mining, SecondTraining, Training, TrainingMaps
from scripts.errors import InputError
from scripts.files import write_json


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(str(tmp_path / "root"), str(tmp_path / "output"))
    names = ("tumor_001", "tumor_010", "tumor_002", "normal_001", "normal_002", "test_001")
    members = [make_member(f"{name}.tif", ["test_001"]) for name in names]
    layout.folder("verify").mkdir(parents=True)
    write_json(layout.folder("verify") / COHORT, members_content([member for member in members if member], {}))
    layout.folder("labels").mkdir()
    rows = [f"{name},500,500,{','.join('0' * 9)}\n" for name in ("Tumor_001", "tumor_010", "normal_001")]
    (layout.folder("labels") / "training.csv").write_text("".join(rows))
    return layout


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the last run of a config was given."""
    found: dict[str, Any] = {}

    def run(run_id: str, config: str, values: dict[str, Any], overlays: list[str]) -> None:
        found.clear()
        found.update(values, config=config, overlays=overlays)

    monkeypatch.setattr(learning, "run_bundle", run)
    monkeypatch.setattr("scripts.challenge.mapping.run_bundle", run)
    return found


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_training_resumes_only_what_was_begun_with_the_same_settings(
    layout: Layout, given: dict[str, Any], goes_on: bool
) -> None:
    last = layout.folder("training") / "last.pt"
    last.parent.mkdir()
    last.touch()
    Training(layout, seed=4, training={"epochs": 3}, overlays="train_dense.json").run(goes_on)
    assert last.exists() is goes_on
    assert (given["resume"], given["seed"], given["epochs"]) == (True, 4, 3)
    assert given["overlays"] == ["train_dense.json"]
    assert "weights" not in given, "those that train.json begins with"


def test_the_second_training_starts_from_the_first_on_what_was_mined(layout: Layout, given: dict[str, Any]) -> None:
    stage = SecondTraining(layout)
    stage.run(False)
    first = layout.folder("training") / "model.pt"
    assert given["weights"] == str(first)
    assert given["training_file"] == str(layout.folder("mining") / "training_2.csv")
    assert first in stage.inputs()


def test_only_slides_that_were_trained_on_and_annotated_throughout_are_mined(
    layout: Layout, given: dict[str, Any]
) -> None:
    TrainingMaps(layout, stride=32).run(False)
    assert given["slides"] == [str(layout.root / "tumor_001.tif"), str(layout.root / "normal_001.tif")]
    assert (given["stride"], given["output_dir"]) == (32, str(layout.folder("training_maps")))


@pytest.mark.parametrize(
    ("weights", "rounds", "expected"),
    [(None, 2, [True, True, True, True]), (None, 1, [True, False, False, False]), ("shipped", 2, [False] * 4)],
)
def test_which_stages_a_run_has(weights: str | None, rounds: int, expected: list[bool]) -> None:
    layout = Layout("root", "output", weights, rounds)
    stages = (Training(layout), TrainingMaps(layout), Mining(layout), SecondTraining(layout))
    assert [stage.left_out() is None for stage in stages] == expected


def test_wrong_values_are_refused_before_anything_runs(layout: Layout) -> None:
    with pytest.raises(InputError, match=r"second_training: train\.json has no id 'lr'"):
        SecondTraining(layout, training={"lr": 1}).check()
    with pytest.raises(InputError, match=r"inference: inference\.json has no id 'tile'"):
        TrainingMaps(layout, inference={"tile": 1}).check()
    with pytest.raises(InputError, match=r"^threshold: expected a number in \[0, 1\), found 2; mend it"):
        Mining(layout, 2).check()
    with pytest.raises(InputError, match=r"^limit_per_slide: expected a positive whole number of rows, found 0"):
        Mining(layout, 0.5, 0).check()


def test_mining_takes_the_first_rounds_labels_and_maps(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(learning, "mine_hard_negatives", lambda *paths, **limits: asked.append((paths, limits)))
    Mining(layout, 0.3, None).run(False)
    folders = [layout.folder("training_maps"), layout.annotations, layout.folder("mining") / "training_2.csv"]
    assert asked == [
        (
            (*folders, layout.folder("labels") / "training.csv"),
            {"threshold": 0.3, "limit_per_slide": None, "corrections": None},
        )
    ]


def test_a_slide_that_turns_out_to_be_damaged_in_training_is_set_aside(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training goes on with regions of others in its place, and so it does in a later run."""
    asked: list[tuple[bool, list[str]]] = []
    damaged = {"tumor_001"}

    def run(run_id: str, config: str, values: dict[str, Any], overlays: list[str]) -> None:
        names = [line.partition(",")[0].lower() for line in Path(values["training_file"]).read_text().splitlines()]
        asked.append((values["resume"], names))
        for name in damaged.intersection(names):
            try:
                raise InputError(f"{layout.root}/{name}.tif: the tiles at level 0 cannot be decoded by cucim")
            except InputError as error:
                raise RuntimeError("Failed to evaluate $@checkpoints.run(@train#trainer)") from error

    monkeypatch.setattr(learning, "run_bundle", run)
    (layout.folder("labels") / "validation.csv").write_text("normal_002,500,500,0,0,0,0,0,0,0,0,0\n")
    for goes_on in (False, True):
        outcome = Training(layout).run(goes_on)
        assert list(outcome.set_aside) == ["tumor_001.tif"]
        assert "cannot be decoded" in outcome.set_aside["tumor_001.tif"]
    without = ["tumor_010", "normal_001", "tumor_010"]
    assert asked == [(True, ["tumor_001", "tumor_010", "normal_001"]), (True, without), (True, without)]
    assert Training(layout).run(False).set_aside.keys() == {"tumor_001.tif"}, "begun anew, it is met again"
    damaged.add("tumor_010")
    with pytest.raises(RuntimeError):  # two of five slides: something else is wrong
        Training(layout).run(True)


def test_an_error_that_names_no_slide_ends_the_training(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: Any) -> None:
        raise InputError("epochs: expected a whole number")

    monkeypatch.setattr(learning, "run_bundle", run)
    with pytest.raises(InputError, match="epochs"):
        Training(layout).run(False)
