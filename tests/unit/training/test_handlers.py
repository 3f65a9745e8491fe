from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from tqdm import tqdm

from scripts.errors import InputError
from scripts.training import handlers
from scripts.training.augmentation import Augmentation
from scripts.training.handlers import (
    Attaching,
    CrispEnd,
    EarlyStopping,
    EpochBar,
    EpochSeed,
    GradientClipping,
    class_weight,
    loss_of,
)


def run(max_norm: float | None) -> float:
    """Norm of the gradients with which one step of a trainer was made."""
    network = torch.nn.Linear(3, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": torch.full((2, 3), 5.0), "label": torch.zeros(2, 1)}],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        loss_function=torch.nn.MSELoss(),
        train_handlers=[GradientClipping(network, max_norm)],
        decollate=False,
    )
    trainer.run()
    return float((1 - network.weight.detach()).norm())  # with a rate of 1 the step is the gradient


def test_gradients_are_clipped_to_the_norm() -> None:
    assert run(None) > 100
    assert run(0.5) == pytest.approx(0.5, abs=1e-4)
    assert run(1e6) == pytest.approx(run(None))


@pytest.mark.parametrize("max_norm", [0, -1])
def test_bad_norm_is_refused(max_norm: float) -> None:
    with pytest.raises(InputError, match="max_grad_norm must be positive or null"):
        GradientClipping(torch.nn.Linear(1, 1), max_norm)


def test_a_bar_is_there_before_the_first_step_and_tells_the_loss_of_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = []

    def step(engine: Engine, batch: float) -> dict[str, torch.Tensor]:
        before.append(capsys.readouterr().err)
        return {"loss": torch.tensor(batch)}

    engine = Engine(step)
    monkeypatch.setattr(handlers, "tqdm", partial(tqdm, mininterval=0, miniters=1))
    EpochBar("training", loss_of).attach(engine)
    engine.run([0.75, 0.5, 0.25], max_epochs=2)
    for epoch in (1, 2):
        first, second, third = before[3 * epoch - 3 : 3 * epoch]
        assert f"training [{epoch}/2]: [0/3]   0%|" in first
        assert f"training [{epoch}/2]: [1/3]  33%|" in second
        assert "loss=0.75 [" in second
        assert f"training [{epoch}/2]: [2/3]  67%|" in third
        assert "loss=0.5 [" in third


def test_a_bar_without_a_loss_tells_none(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine(lambda engine, batch: None)
    EpochBar("validation").attach(engine)
    engine.run([1, 2])
    found = capsys.readouterr().err
    assert "validation: [0/2]" in found
    assert "loss" not in found


def numbers(seed: int, rank: int, first_epoch: int = 0) -> list[float]:
    """A random number of each epoch, from a generator that was at some other place before."""
    engine = Engine(lambda engine, batch: float(torch.rand(())))
    found: list[float] = []

    def start(engine: Engine) -> None:
        engine.state.epoch = first_epoch
        torch.manual_seed(99 + first_epoch)

    engine.add_event_handler(Events.STARTED, start)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: found.append(engine.state.output))  # type: ignore[arg-type]
    EpochSeed(seed, rank).attach(engine)
    with torch.random.fork_rng():
        engine.run([0], max_epochs=3)
    return found


def test_each_epoch_has_its_own_random_numbers_also_after_resuming() -> None:
    found = numbers(seed=1, rank=0)
    assert len(set(found)) == 3
    assert numbers(seed=1, rank=0, first_epoch=2) == found[2:]
    everything = found + numbers(seed=1, rank=1) + numbers(seed=2, rank=0)
    assert len(set(everything)) == 9, "and each process and seed"


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_bad_seed_is_refused(seed: Any) -> None:
    with pytest.raises(InputError, match="seed must be an integer from 0 on"):
        EpochSeed(seed)


def resampled(share: float, first_epoch: int = 1) -> list[float]:
    """The share of resampled patches in each epoch, up to the fifth."""
    augmentation, found = Augmentation((8, 8), resample_prob=0.7), []
    trainer = Engine(lambda engine, batch: found.append(augmentation.resample_prob))
    CrispEnd(augmentation, share).attach(trainer)
    trainer.state.epoch = first_epoch - 1
    trainer.state.max_epochs, trainer.state.epoch_length = 5, 1
    trainer.run([0])
    return found


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, [0.7] * 5), (0.05, [0.7] * 5), (0.2, [0.7] * 4 + [0.0]), (0.58, [0.7] * 2 + [0.0] * 3), (1.0, [0.0] * 5)],
    ids=["none", "less than one", "last", "three", "all"],
)
def test_the_last_epochs_resample_nothing(share: float, expected: list[float]) -> None:
    assert resampled(share) == expected
    for first_epoch in (2, 5):
        assert resampled(share, first_epoch) == expected[first_epoch - 1 :], "nor does a run that is resumed"


def test_a_training_that_changes_nothing_has_no_crisp_end() -> None:
    trainer = Engine(lambda engine, batch: None)
    CrispEnd(None, 0.5).attach(trainer)
    trainer.run([0], max_epochs=2)
    assert trainer.state.epoch == 2


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan"), "0.2"])
def test_bad_share_of_crisp_epochs_is_refused(share: Any) -> None:
    with pytest.raises(InputError, match="crisp_share must be"):
        CrispEnd(Augmentation((8, 8)), share)


def epochs_trained(values: list[float], patience: int | None) -> int:
    """How many epochs a training makes whose validation gives these values."""
    evaluator, trainer = Engine(lambda engine, batch: None), Engine(lambda engine, batch: None)
    evaluator.state.best_metric, evaluator.state.best_metric_epoch = -1.0, -1

    def validate(engine: Engine) -> None:
        value = values[engine.state.epoch - 1]
        if value > evaluator.state.best_metric:
            evaluator.state.best_metric, evaluator.state.best_metric_epoch = value, engine.state.epoch

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    EarlyStopping(evaluator, patience).attach(trainer)
    trainer.run([0, 1], max_epochs=len(values))
    return trainer.state.epoch


@pytest.mark.parametrize(
    ("patience", "expected"), [(None, 7), (1, 3), (2, 4), (3, 7)], ids=["never", "one", "two", "three"]
)
def test_training_stops_when_patience_is_used_up(patience: int | None, expected: int) -> None:
    assert epochs_trained([0.5, 0.7, 0.6, 0.65, 0.8, 0.7, 0.7], patience) == expected


def test_without_a_metric_training_goes_on() -> None:
    assert epochs_trained([float("nan")] * 5, 2) == 5


@pytest.mark.parametrize("patience", [0, -1, 1.5])
def test_bad_patience_is_refused(patience: Any) -> None:
    with pytest.raises(InputError, match="patience must be a positive number of epochs or null"):
        EarlyStopping(Engine(lambda engine, batch: None), patience)


def test_without_validation_there_is_no_patience() -> None:
    trainer = Engine(lambda engine, batch: None)
    EarlyStopping(None).attach(trainer)
    trainer.run([0, 1], max_epochs=3)
    assert trainer.state.epoch == 3
    with pytest.raises(InputError, match="patience must be null in a training without validation, but got 2"):
        EarlyStopping(None, 2)


def test_loss_is_a_number() -> None:
    found = loss_of({"loss": torch.tensor(0.25, requires_grad=True)})
    assert found == 0.25
    assert isinstance(found, float)


def test_class_weight_weighs_tumor_patches() -> None:
    logits, labels = torch.tensor([2.0, 2.0]), torch.tensor([0.0, 1.0])
    plain = torch.nn.BCEWithLogitsLoss(reduction="none")(logits, labels)
    weight = class_weight(3, torch.device("cpu"))
    weighted = torch.nn.BCEWithLogitsLoss(reduction="none", pos_weight=weight)(logits, labels)
    torch.testing.assert_close(weighted, plain * torch.tensor([1.0, 3.0]))
    with pytest.raises(InputError, match="pos_weight must be positive, but got 0"):
        class_weight(0, torch.device("cpu"))


def test_a_handler_with_an_id_is_attached() -> None:
    attached = []

    class Handler:
        def attach(self, engine: Engine) -> None:
            attached.append(engine)

    engine = Engine(lambda *_: None)
    Attaching(Handler()).attach(engine)
    assert attached == [engine]
