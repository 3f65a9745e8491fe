from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from scripts.errors import InputError
from scripts.inference.inferers import CascadeInferer, make_inferer
from scripts.inference.screening import make_screen
from scripts.inference.tile_inferer import TileInferer, warm_up
from scripts.inference.timing import Timing
from scripts.network.preprocessing import PrepareTile, Scaling

DOUBLED = PrepareTile(lambda sample: {"image": sample["image"] * 2.0})
EXACT: dict[str, Any] = {"precision": "float32", "runtime": "torch"}


class Inferer:
    """Notes what it is given, and whether that is in evaluation mode; then fails, if it shall."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.found: list[tuple[Any, Scaling | None, bool]] = []
        self.error = error

    def warm_up(self, network: Any, scaling: Scaling | None) -> None:
        self.found.append((network, scaling, network.training))
        if self.error is not None:
            raise self.error


class Moments(Timing):
    """Notes what time is counted for."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: list[str] = []

    def add(self, what: str) -> None:
        self.counted.append(what)


def engine_of(network: torch.nn.Module, inferer: Inferer) -> Any:
    return SimpleNamespace(network=network, prepare_batch=DOUBLED, inferer=inferer)


@pytest.mark.parametrize("error", [None, InputError("not for OpenVINO"), RuntimeError("no memory")])
def test_the_network_is_made_ready_as_the_engine_runs_it(error: Exception | None) -> None:
    network, inferer, timing = torch.nn.Conv2d(3, 1, 2).train(), Inferer(error), Moments()
    warm_up(engine_of(network, inferer), timing)
    assert inferer.found == [(network, Scaling(2.0, 0.0), False)]
    assert network.training
    assert timing.counted == ["decode", "compute"]


def test_an_engine_of_another_kind_is_left_alone() -> None:
    inferer = Inferer()
    network, timing = torch.nn.Identity(), Moments()
    warm_up(SimpleNamespace(network=network, prepare_batch=lambda batch: batch, inferer=inferer), timing)
    warm_up(SimpleNamespace(network=network, prepare_batch=DOUBLED, inferer=None), timing)
    warm_up(SimpleNamespace(), timing)
    assert inferer.found == []


def test_whoever_stops_a_run_stops_it_here() -> None:
    with pytest.raises(KeyboardInterrupt):
        warm_up(engine_of(torch.nn.Identity(), Inferer(KeyboardInterrupt())), Moments())


@pytest.fixture
def made_ready(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Networks that were made ready, in turn."""
    found: list[Any] = []
    make_ready = TileInferer._make_ready

    def noted(self: TileInferer, network: Any) -> None:
        found.append(network)
        make_ready(self, network)

    monkeypatch.setattr(TileInferer, "_make_ready", noted)
    return found


@pytest.mark.parametrize("mode", ["sliding", "dense", "auto"])
def test_a_network_is_made_ready_once(mode: str, made_ready: list[Any]) -> None:
    network, inferer = torch.nn.AvgPool2d(224, 32), make_inferer(mode, **EXACT)
    for scaling in (None, None, Scaling(2.0, 0.0), Scaling(2.0, 0.0)):
        inferer.warm_up(network, scaling)
    assert made_ready == [network, network], "for each scaling"


def test_a_network_that_could_not_be_made_ready_is_not_taken_for_ready(
    made_ready: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, inferer = torch.nn.AvgPool2d(224, 32), make_inferer("sliding", **EXACT)
    inferer.warm_up(network, None)
    with monkeypatch.context() as patch:
        patch.setattr("scripts.inference.tile_inferer.make_runtime", fail)
        with pytest.raises(InputError, match="no memory"):
            inferer.warm_up(network, Scaling(2.0, 0.0))
    inferer.warm_up(network, Scaling(2.0, 0.0))
    assert made_ready == [network] * 3


def fail(*arguments: Any, **named: Any) -> Any:
    raise InputError("no memory")


def test_in_mode_cascade_the_screen_is_made_ready(made_ready: list[Any]) -> None:
    network, screen_network = torch.nn.AvgPool2d(224, 32), torch.nn.AvgPool2d(96, 32)
    screen = make_screen(0.972, 0.243, 96, above=0.1, margin_um=0)
    CascadeInferer(screen, screen_network, **EXACT).warm_up(network, None)
    assert made_ready == [screen_network]
