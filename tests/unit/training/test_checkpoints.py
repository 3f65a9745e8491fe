from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, ValidationHandler
from monai.optimizers import Novograd

from helpers.forked_ranks import run_ranks
from scripts import bundle_root
from scripts.errors import InputError
from scripts.folders.lock import FolderLock
from scripts.network.purpose import Purpose, make_purpose, read_purpose
from scripts.training.averaging import WeightAverage
from scripts.training.checkpoints import TrainingCheckpoints

CPU = torch.device("cpu")
PURPOSE = make_purpose(0.5, [96, 96], {"training_file": "a.csv"})
SAMPLES = [
    {"image": torch.linspace(-1, 1, 12).reshape(3, 4).roll(shift), "label": torch.tensor([float(shift % 2)])}
    for shift in range(6)
]


class _Scripted(Metric):
    """A key metric that takes the given values, one after the other."""

    def __init__(self, values: list[float], first_epoch: int = 1) -> None:
        self.values = values
        self.index = first_epoch - 1
        super().__init__(output_transform=lambda output: output)

    def reset(self) -> None:
        pass

    def update(self, output: Any) -> None:
        pass

    def compute(self) -> float:
        self.index += 1
        return self.values[self.index - 1]


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


class Run(NamedTuple):
    """The parts of a small training run, wired as configs/train.json does."""

    trainer: SupervisedTrainer
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.CosineAnnealingLR
    evaluator: SupervisedEvaluator
    checkpoints: TrainingCheckpoints


def make_run(
    output_dir: Path,
    epochs: int,
    values: list[float] | None = None,
    first_epoch: int = 1,
    batch_size: int = 2,
    resume: bool = True,
    width: int = 4,
    val_interval: int = 1,
    decay: float = 0.0,
    half: bool = False,
    rank: int = 0,
    loss: torch.nn.Module | None = None,
    is_validated: bool = True,
    purpose: Purpose = PURPOSE,
    network: torch.nn.Module | None = None,
) -> Run:
    torch.manual_seed(1)
    network = network or torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(12, width), torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 1)
    )
    loss = torch.nn.BCEWithLogitsLoss() if loss is None else loss
    optimizer = Novograd([*network.parameters(), *loss.parameters()], lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    loader = torch.utils.data.DataLoader(SAMPLES, batch_size=batch_size)  # type: ignore[arg-type]
    evaluator = SupervisedEvaluator(
        device=CPU,
        val_data_loader=loader,
        network=network,
        key_val_metric={"val_auc": _Scripted(values or [0.5 + epoch / 100 for epoch in range(99)], first_epoch)},
    )
    average = WeightAverage(network, decay)
    checkpoints = TrainingCheckpoints(
        output_dir,
        network,
        average,
        optimizer,
        scheduler,
        evaluator if is_validated else None,
        resume,
        half,
        rank,
        loss,
        purpose=purpose,
    )
    trainer = SupervisedTrainer(
        device=CPU,
        max_epochs=epochs,
        train_data_loader=loader,
        network=network,
        optimizer=optimizer,
        loss_function=loss,
        train_handlers=[
            LrScheduleHandler(scheduler, print_lr=False),
            *([ValidationHandler(val_interval, evaluator)] if is_validated else []),
            checkpoints,
        ],
    )
    return Run(trainer, network, optimizer, scheduler, evaluator, checkpoints)


def test_two_trainings_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.folders.lock._LOCK_SECONDS", 0.0)
    other = FolderLock(tmp_path)
    other.acquire()
    with pytest.raises(
        InputError, match=f"output_dir {tmp_path}: another run is writing there; wait for it, or choose"
    ):
        make_run(tmp_path, 1).trainer.run()
    assert not (tmp_path / "last.pt").exists()
    make_run(tmp_path, 1, rank=1).trainer.run()  # the first of several processes answers for the folder
    other.release()
    (tmp_path / ".last.123.tmp.pt").touch()
    failing = make_run(tmp_path, 2)
    stop_after(failing, 1)
    with pytest.raises(KeyboardInterrupt):
        failing.trainer.run()
    with pytest.raises(InputError, match="another run is writing there"):
        FolderLock(tmp_path).acquire()
    make_run(tmp_path, 2).trainer.run()  # again in the same process
    FolderLock(tmp_path).acquire()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "last.pt", "model.json", "model.pt"]


def test_a_training_that_failed_leaves_its_folder_to_others(tmp_path: Path) -> None:
    run = make_run(tmp_path, 2)
    stop_after(run, 1)
    (checkpoints,) = {
        handler.__self__
        for handlers in run.trainer._event_handlers.values()
        for handler, *_ in handlers
        if isinstance(getattr(handler, "__self__", None), TrainingCheckpoints)
    }
    with pytest.raises(KeyboardInterrupt):
        checkpoints.run(run.trainer)
    FolderLock(tmp_path).acquire()


def stop_after(run: Run, epoch: int) -> None:
    """Make a run fail in the middle of the epoch after ``epoch``, as if the machine went down."""

    def fail(engine: Engine) -> None:
        if engine.state.epoch == epoch + 1:
            raise KeyboardInterrupt

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=epoch * 3 + 2), fail)


def assert_same_state(found: Run, expected: Run) -> None:
    assert found.trainer.state.epoch == expected.trainer.state.epoch
    assert found.trainer.state.iteration == expected.trainer.state.iteration
    torch.testing.assert_close(found.network.state_dict(), expected.network.state_dict(), rtol=0, atol=0)
    found_state, expected_state = found.optimizer.state_dict(), expected.optimizer.state_dict()
    assert found_state["state"].keys() == expected_state["state"].keys()
    assert found_state["state"], "there is something to compare"
    torch.testing.assert_close(found_state["state"], expected_state["state"], rtol=0, atol=0)
    for group, other in zip(found_state["param_groups"], expected_state["param_groups"], strict=True):
        assert group["lr"] == pytest.approx(other["lr"], rel=1e-12, abs=1e-15)
    scheduler, other_scheduler = found.scheduler.state_dict(), expected.scheduler.state_dict()
    assert scheduler.pop("_last_lr") == pytest.approx(other_scheduler.pop("_last_lr"), rel=1e-12, abs=1e-15)
    assert scheduler == other_scheduler
    assert found.evaluator.state.best_metric == expected.evaluator.state.best_metric
    assert found.evaluator.state.best_metric_epoch == expected.evaluator.state.best_metric_epoch


def test_last_holds_the_last_epoch_and_model_the_best(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "a", 3, values=[0.6, 0.8, 0.7])
    states: list[dict[str, torch.Tensor]] = []
    run.trainer.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda: states.append({name: value.clone() for name, value in run.network.state_dict().items()}),
    )
    run.trainer.run()
    folder = tmp_path / "runs" / "a"
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "last.pt", "model.json", "model.pt"]
    model = load(folder / "model.pt")
    torch.testing.assert_close(model, states[1], rtol=0, atol=0)
    last = load(folder / "last.pt")
    torch.testing.assert_close(last["network"], states[2], rtol=0, atol=0)
    assert last["epoch"] == 3
    assert last["epoch_length"] == 3
    assert (last["best_metric"], last["best_metric_epoch"]) == (0.8, 2)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    straight = make_run(tmp_path / "straight", 5)
    straight.trainer.run()

    first = make_run(tmp_path / "cut", 5)
    stop_after(first, 2)
    with pytest.raises(KeyboardInterrupt):
        first.trainer.run()
    assert load(tmp_path / "cut" / "last.pt")["epoch"] == 2
    second = make_run(tmp_path / "cut", 5, first_epoch=3)
    second.trainer.run()
    assert_same_state(second, straight)


@pytest.mark.parametrize("done", [1, 2, 4])
def test_more_epochs_go_on_along_the_longer_schedule(tmp_path: Path, done: int) -> None:
    # the first epochs run at the shorter cosine's rates; from then on the longer one's count
    make_run(tmp_path / "short", done).trainer.run()
    longer = make_run(tmp_path / "short", 6, first_epoch=done + 1)
    rates: list[float] = []
    longer.trainer.add_event_handler(Events.EPOCH_STARTED, lambda: rates.append(longer.optimizer.param_groups[0]["lr"]))
    longer.trainer.run()

    straight = make_run(tmp_path / "straight", 6)
    expected: list[float] = []
    straight.trainer.add_event_handler(
        Events.EPOCH_STARTED, lambda: expected.append(straight.optimizer.param_groups[0]["lr"])
    )
    straight.trainer.run()
    assert rates == pytest.approx(expected[done:], rel=1e-9)
    assert longer.trainer.state.epoch == 6
    assert longer.scheduler.T_max == 6
    if done == 1:  # the first epoch's rate is the same in both
        assert_same_state(longer, straight)


def test_resume_keeps_the_best_epoch_of_before(tmp_path: Path) -> None:
    make_run(tmp_path, 2, values=[0.9, 0.6]).trainer.run()
    best = load(tmp_path / "model.pt")
    make_run(tmp_path, 4, values=[0.9, 0.6, 0.7, 0.8], first_epoch=3).trainer.run()
    torch.testing.assert_close(load(tmp_path / "model.pt"), best, rtol=0, atol=0)
    last = load(tmp_path / "last.pt")
    assert (last["epoch"], last["best_metric"], last["best_metric_epoch"]) == (4, 0.9, 1)

    make_run(tmp_path, 5, values=[0, 0, 0, 0, 0.95], first_epoch=5).trainer.run()
    assert load(tmp_path / "last.pt")["best_metric_epoch"] == 5
    newer = load(tmp_path / "model.pt")
    assert not torch.equal(newer["1.weight"], best["1.weight"])


def test_without_resume_a_run_starts_anew(tmp_path: Path) -> None:
    make_run(tmp_path, 2).trainer.run()
    run = make_run(tmp_path, 1, resume=False)
    run.trainer.run()
    assert run.trainer.state.epoch == 1
    assert load(tmp_path / "last.pt")["epoch"] == 1


def test_a_finished_run_says_so_and_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_run(tmp_path, 2).trainer.run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with caplog.at_level(logging.WARNING, logger="scripts.training.checkpoints"):
        make_run(tmp_path, 2).trainer.run()
    (record,) = [record for record in caplog.records if record.name == "scripts.training.checkpoints"]
    assert "2 epochs are done, which is all; raise --epochs to train on" in record.getMessage()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_resume_says_where(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_run(tmp_path, 1).trainer.run()
    with caplog.at_level(logging.INFO, logger="scripts.training.checkpoints"):
        make_run(tmp_path, 3, first_epoch=2).trainer.run()
    assert "resuming after epoch 1 of 3" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), None], ids=["undefined metric", "no validation"])
def test_without_a_metric_the_latest_weights_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: float | None
) -> None:
    run = make_run(tmp_path, 3, values=[value] * 3 if value is not None else None, val_interval=1 if value else 9)
    with caplog.at_level(logging.WARNING, logger="scripts.training.checkpoints"):
        run.trainer.run()
    model = load(tmp_path / "model.pt")
    torch.testing.assert_close(model, run.network.state_dict(), rtol=0, atol=0)
    (record,) = [record for record in caplog.records if record.name == "scripts.training.checkpoints"]
    assert "the latest weights" in record.getMessage()


def test_a_metric_that_comes_later_decides_from_then_on(tmp_path: Path) -> None:
    run = make_run(tmp_path, 4, val_interval=2, values=[0.7, 0.6])
    run.trainer.run()
    last = load(tmp_path / "last.pt")
    assert (last["best_metric"], last["best_metric_epoch"]) == (0.7, 2)
    model = load(tmp_path / "model.pt")
    assert not torch.equal(model["1.weight"], run.network.state_dict()["1.weight"])


def test_without_validation_the_latest_weights_are_kept_and_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="scripts.training.checkpoints"):
        make_run(tmp_path, 1, is_validated=False).trainer.run()
        run = make_run(tmp_path, 3, is_validated=False)
        run.trainer.run()
    torch.testing.assert_close(load(tmp_path / "model.pt"), run.network.state_dict(), rtol=0, atol=0)
    assert (load(tmp_path / "last.pt")["epoch"], load(tmp_path / "last.pt")["best_metric_epoch"]) == (3, -1)
    (record,) = [record for record in caplog.records if record.name == "scripts.training.checkpoints"]
    assert "resuming after epoch 1 of 3" in record.getMessage()


# --- a loss that is trained too -----------------------------------------------------------------------------------


class _TrainedLoss(torch.nn.Module):
    """Binary cross entropy on logits, normalized and scaled by what is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.BatchNorm1d(1), torch.nn.Linear(1, 1))

    def forward(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(self.layers(pred), label)


def test_a_trained_loss_is_resumed_too(tmp_path: Path) -> None:
    torch.manual_seed(2)
    losses = [_TrainedLoss() for _ in range(3)]
    straight = make_run(tmp_path / "straight", 5, loss=losses[0])
    start = {name: value.clone() for name, value in losses[0].state_dict().items()}
    straight.trainer.run()
    losses[1].load_state_dict(start)
    first = make_run(tmp_path / "cut", 5, loss=losses[1])
    stop_after(first, 2)
    with pytest.raises(KeyboardInterrupt):
        first.trainer.run()
    second = make_run(tmp_path / "cut", 5, first_epoch=3, loss=losses[2])
    second.trainer.run()
    assert_same_state(second, straight)
    torch.testing.assert_close(losses[2].state_dict(), losses[0].state_dict(), rtol=0, atol=0)
    assert load(tmp_path / "cut" / "model.pt").keys() == straight.network.state_dict().keys()


def test_a_loss_without_parameters_is_not_saved_and_old_checkpoints_go_on(tmp_path: Path) -> None:
    weighted = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0))
    assert list(weighted.state_dict()) == ["pos_weight"]
    make_run(tmp_path, 1, loss=weighted).trainer.run()
    assert "loss" not in load(tmp_path / "last.pt")
    run = make_run(tmp_path, 2, first_epoch=2, loss=weighted)
    run.trainer.run()
    assert run.trainer.state.epoch == 2


# --- what cannot be resumed -------------------------------------------------------------------------------------


def test_other_epoch_length_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path, 1, batch_size=2).trainer.run()
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(InputError, match=r"last\.pt: made with 3 iterations per epoch, this run has 2; give --resume"):
        make_run(tmp_path, 2, batch_size=3).trainer.run()
    assert (tmp_path / "last.pt").read_bytes() == before


def test_another_network_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path, 1).trainer.run()
    with pytest.raises(InputError, match=r"last\.pt: does not fit this run .*; give --resume false") as caught:
        make_run(tmp_path, 2, width=6).trainer.run()
    assert "\n" not in str(caught.value).split("(")[0]


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"last\.pt: not a file of weights"):
        make_run(tmp_path, 2).trainer.run()
    assert (tmp_path / "last.pt").read_bytes() == content


@pytest.mark.parametrize("content", [{}, [1, 2], torch.zeros(3), {"epoch_length": 3}])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(InputError, match=r"last\.pt: does not fit this run"):
        make_run(tmp_path, 2).trainer.run()


def test_weights_in_place_of_a_checkpoint_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path, 1).trainer.run()
    shutil.copy(tmp_path / "model.pt", tmp_path / "last.pt")
    with pytest.raises(InputError, match=r"last\.pt: does not fit this run \('epoch_length'\)"):
        make_run(tmp_path, 2).trainer.run()


@pytest.mark.parametrize("name", ["models", "models/../models", "scripts/../models/"])
def test_the_shipped_weights_are_never_overwritten(name: str) -> None:
    models = Path(bundle_root()) / "models"
    before = sorted(models.iterdir())
    with pytest.raises(InputError, match="holds the shipped weights; choose another folder"):
        make_run(Path(bundle_root()) / name, 1)
    assert sorted(models.iterdir()) == before


def test_an_output_that_cannot_be_made_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        make_run(tmp_path / "file" / "run", 1)


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, 1).trainer.run()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fill_the_disk(state: Any, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fill_the_disk)
    with pytest.raises(InputError, match="No space left on device"):
        make_run(tmp_path, 2, first_epoch=2).trainer.run()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_averaged_weights_are_kept_and_resumed(tmp_path: Path) -> None:
    straight = make_run(tmp_path / "straight", 4, decay=0.8)
    straight.trainer.run()
    average = load(tmp_path / "straight" / "last.pt")["average"]
    torch.testing.assert_close(
        load(tmp_path / "straight" / "model.pt"),
        {name.removeprefix("module."): value for name, value in average.items() if name.startswith("module.")},
    )
    first = make_run(tmp_path / "cut", 4, decay=0.8)
    first.trainer.add_event_handler(Events.EPOCH_COMPLETED(once=2), lambda engine: engine.terminate())
    first.trainer.run()
    make_run(tmp_path / "cut", 4, first_epoch=3, decay=0.8).trainer.run()
    torch.testing.assert_close(load(tmp_path / "cut" / "last.pt")["average"], average, rtol=0, atol=0)


def test_half_of_the_size(tmp_path: Path) -> None:
    run = make_run(tmp_path, 1, half=True)
    run.trainer.run()
    weights = load(tmp_path / "model.pt")
    assert {value.dtype for value in weights.values()} == {torch.float16, torch.int64}
    for name, value in run.network.state_dict().items():
        torch.testing.assert_close(weights[name].to(value.dtype), value, rtol=1e-3, atol=1e-3)
    assert load(tmp_path / "last.pt")["network"]["1.weight"].dtype == torch.float32


def test_only_the_first_process_saves_and_all_resume(tmp_path: Path) -> None:
    make_run(tmp_path, 1, rank=1).trainer.run()
    assert not list(tmp_path.iterdir())
    make_run(tmp_path, 1).trainer.run()
    before = (tmp_path / "last.pt").stat().st_mtime_ns
    first, second = make_run(tmp_path, 2), make_run(tmp_path, 2, rank=1)
    second.trainer.run()
    assert (tmp_path / "last.pt").stat().st_mtime_ns == before
    first.trainer.run()
    assert_same_state(second, first)


def start_from(rank: int, folders: list[Path]) -> str:
    try:
        make_run(folders[rank], 2, rank=rank).trainer.run()
    except InputError as error:
        return str(error)
    return ""


def test_processes_that_find_different_checkpoints_are_told(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    make_run(folders[0], 1).trainer.run()
    for message in run_ranks(start_from, 2, tmp_path, folders):
        assert "last.pt: the processes found different checkpoints, of epochs [1, 0]; give an output_dir" in message


# --- what the weights are for -------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [False, True])
def test_weights_say_what_they_are_for_after_every_better_epoch(tmp_path: Path, half: bool) -> None:
    run = make_run(tmp_path, 3, values=[0.6, 0.8, 0.7], half=half)
    found: list[Purpose | None] = []
    run.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: found.append(read_purpose(tmp_path / "model.pt")))
    run.trainer.run()
    assert found == [PURPOSE] * 3, "a sidecar of other weights would be refused"


def test_weights_state_the_highest_activations_of_what_is_saved(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    run, inputs = make_run(tmp_path, 2, decay=0.5, network=network), torch.randn(5, 3, 4)
    run.checkpoints.inputs = [inputs[:3], inputs[3:]]
    run.trainer.run()
    saved = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    saved.load_state_dict(load(tmp_path / "model.pt"))
    with torch.no_grad():
        expected = float(saved[:3](inputs).max())
    found = read_purpose(tmp_path / "model.pt")
    assert found is not None
    assert found.activations == {"2": [pytest.approx(expected, abs=1e-4)]}


def test_a_run_is_not_resumed_at_another_resolution(tmp_path: Path) -> None:
    make_run(tmp_path, 1).trainer.run()
    with pytest.raises(InputError, match=r"last\.pt: made at mpp 0\.5 with patch_size \[96, 96\], this run takes"):
        make_run(tmp_path, 2, purpose=make_purpose(0.972, 96)).trainer.run()
    make_run(tmp_path, 2, purpose=make_purpose(0.51, 96)).trainer.run()


def test_another_file_beside_the_weights_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(InputError, match=r"model\.json: no sidecar of weights"):
        make_run(tmp_path, 1)
