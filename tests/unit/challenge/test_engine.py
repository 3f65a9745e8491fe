"""Stages of no work: which run, what is kept when one is killed anywhere, what is begun anew."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scripts.challenge.costs import Cost, Probe
from scripts.challenge.engine import Outcome, run_stages
from scripts.challenge.layout import Layout
from scripts.challenge.ledger import Ledger
from scripts.errors import InputError


@dataclass
class Copy:
    """Copies the file of the stage before it, in two parts, and tells what was asked of it."""

    name: str
    source: Path
    target: Path
    told: list[str]
    setting: int = 0
    is_out: str | None = None
    set_aside: dict[str, str] = field(default_factory=dict)
    fail: Callable[[str], None] = lambda where: None

    def left_out(self) -> str | None:
        return self.is_out

    def check(self) -> None:
        self.fail(f"{self.name} is checked")

    def settings(self) -> dict[str, Any]:
        return {"setting": self.setting}

    def inputs(self) -> list[Path]:
        return [self.source]

    def outputs(self) -> list[Path]:
        return [self.target]

    def cost(self, probe: Probe) -> Cost:
        return Cost()

    def clear(self) -> None:
        self.target.unlink(missing_ok=True)

    def run(self, goes_on: bool) -> Outcome:
        self.told.append(f"{self.name}{' goes on' if goes_on else ''}")
        self.fail(f"{self.name} begins")
        part = self.target.with_suffix(".part")
        part.write_text(self.source.read_text())
        self.fail(f"{self.name} in the middle")
        part.replace(self.target)
        self.fail(f"{self.name} ends")
        return Outcome(f"{self.name} is done", self.set_aside)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "slide").write_text("1")
    (tmp_path / "output").mkdir()
    return Layout(str(tmp_path / "root"), str(tmp_path / "output"))


def stages(layout: Layout, told: list[str]) -> list[Copy]:
    paths = [layout.root / "slide", *(layout.output / name for name in "abc")]
    return [Copy(path.name, before, path, told) for before, path in itertools.pairwise(paths)]


def run(layout: Layout, chain: list[Copy], begin_at: str | None = None) -> dict[str, str]:
    return run_stages(chain, Ledger(layout.output), layout, begin_at, say=lambda line: None)


def test_a_second_run_does_nothing(layout: Layout) -> None:
    told: list[str] = []
    run(layout, stages(layout, told))
    assert told == ["a", "b", "c"]
    run(layout, stages(layout, told))
    assert told == ["a", "b", "c"]


def test_what_changed_runs_again_and_what_follows_only_if_it_changes(layout: Layout) -> None:
    told: list[str] = []
    run(layout, stages(layout, told))
    told.clear()
    chain = stages(layout, told)
    chain[1].setting = 5
    run(layout, chain)
    assert told == ["b"], "its result is the same, so c has nothing to do"
    told.clear()
    (layout.root / "slide").write_text("2")
    run(layout, chain)
    assert told == ["a", "b", "c"]
    assert (layout.output / "c").read_text() == "2"
    told.clear()
    (layout.output / "b").unlink()
    run(layout, chain)
    assert told == ["b"]


@pytest.mark.parametrize("stage", "abc")
@pytest.mark.parametrize("where", ["begins", "in the middle", "ends"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, InputError, MemoryError])
def test_killed_anywhere_it_goes_on(layout: Layout, stage: str, where: str, kind: type[BaseException]) -> None:
    told: list[str] = []
    chain = stages(layout, told)
    place = f"{stage} {where}"

    def fail(at: str) -> None:
        if at == place:
            raise kind(at)

    for link in chain:
        link.fail = fail
    with pytest.raises(kind):
        run(layout, chain)
    before = list(told)
    told.clear()
    chain = stages(layout, told)
    run(layout, chain)
    assert told == [f"{stage} goes on", *[name for name in "abc" if name > stage]]
    assert before == [name for name in "abc" if name <= stage]
    assert (layout.output / "c").read_text() == "1"


def test_an_interrupted_stage_does_not_go_on_with_other_settings(layout: Layout) -> None:
    told: list[str] = []
    chain = stages(layout, told)

    def fail(at: str) -> None:
        raise InputError(at)

    chain[0].fail = fail
    with pytest.raises(InputError):
        run(layout, chain)
    told.clear()
    chain = stages(layout, told)
    chain[0].setting = 7
    run(layout, chain)
    assert told == ["a", "b", "c"]


def test_from_begins_anew_and_a_run_without_it_goes_on(layout: Layout) -> None:
    told: list[str] = []
    run(layout, stages(layout, told))
    told.clear()
    chain = stages(layout, told)

    def fail(at: str) -> None:
        if at == "c begins":
            assert not (layout.output / "c").exists(), "what was there is removed"
            raise InputError(at)

    chain[2].fail = fail
    with pytest.raises(InputError, match="c begins"):
        run(layout, chain, "b")
    assert told == ["b", "c"]
    told.clear()
    run(layout, stages(layout, told))
    assert told == ["c goes on"]


def test_a_stage_that_is_left_out_is_no_stage_of_the_run(layout: Layout) -> None:
    told: list[str] = []
    chain = stages(layout, told)
    chain[2].is_out = "weights are given"
    run(layout, chain)
    assert told == ["a", "b"]
    with pytest.raises(InputError, match="from: expected a stage of this run, a, b, found 'c'"):
        run(layout, chain, "c")


def test_slides_set_aside_are_named_again_by_a_run_that_skips_their_stage(layout: Layout) -> None:
    told: list[str] = []
    chain = stages(layout, told)
    chain[0].set_aside = {"test_002.tif": "truncated"}
    chain[2].set_aside = {"test_002.tif": "no map", "test_003.tif": "damaged"}
    expected = {"test_002.tif": "a: truncated", "test_003.tif": "c: damaged"}
    assert run(layout, chain) == expected
    assert run(layout, stages(layout, told)) == expected
    assert told == ["a", "b", "c"]


def test_from_also_begins_a_stage_anew_whose_results_are_not_removed(layout: Layout) -> None:
    told: list[str] = []
    run(layout, stages(layout, told))
    told.clear()
    chain = stages(layout, told)
    for link in chain:
        link.clear = lambda: None  # type: ignore[method-assign]
    run(layout, chain, "a")
    assert told == ["a", "b", "c"]
