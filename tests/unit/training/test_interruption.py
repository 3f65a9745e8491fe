from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents

from helpers.forked_ranks import run_ranks
from scripts.errors import InputError, Stopped
from scripts.network.purpose import make_purpose
from scripts.training.averaging import WeightAverage, WeightAveraging
from scripts.training.checkpoints import TrainingCheckpoints
from scripts.training.handlers import EpochSeed
from scripts.training.interruption import RandomNumbers
from scripts.training.samplers import RankSampler

SAMPLES = [
    {"image": torch.linspace(-1, 1, 12).roll(shift), "label": torch.tensor([shift % 2.0])} for shift in range(16)
]
STEPS = 4
EPOCHS = 3


class _Noise(torch.nn.Module):
    """Random numbers of each step, as of augmentation."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels + torch.rand_like(pixels) / 2


class _OtherSampler(torch.utils.data.SequentialSampler):
    """One that cannot leave steps out."""


def make_run(
    output_dir: Path, rank: int = 0, num_ranks: int = 1, workers: int = 0, resume: bool = True, known: bool = True
) -> tuple[SupervisedTrainer, TrainingCheckpoints]:
    torch.manual_seed(1)
    network = torch.nn.Sequential(_Noise(), torch.nn.Linear(12, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    sampler = RankSampler(SAMPLES, 4, rank, num_ranks, shuffle=True, seed=5, fill=True)
    loader = torch.utils.data.DataLoader(
        SAMPLES,  # type: ignore[arg-type]
        batch_size=sampler.local_batch_size(),
        sampler=sampler if known else _OtherSampler(SAMPLES),
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    average = WeightAverage(network, 0.8)
    checkpoints = TrainingCheckpoints(
        *(output_dir, network, average, optimizer, scheduler, None, resume), rank=rank, purpose=make_purpose(0.5, 96)
    )
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=EPOCHS,
        train_data_loader=loader,
        network=network,
        optimizer=optimizer,
        loss_function=torch.nn.BCEWithLogitsLoss(),
        train_handlers=[EpochSeed(3, rank), WeightAveraging(average), checkpoints],
    )
    return trainer, checkpoints


def interrupt(trainer: Engine, iteration: int, event: Any = Events.ITERATION_STARTED) -> None:
    """Send Ctrl-C to this process in the middle of a step."""
    trainer.add_event_handler(event(once=iteration), lambda: os.kill(os.getpid(), signal.SIGINT))


def load(folder: Path) -> Any:
    return torch.load(folder / "last.pt", weights_only=True)


@pytest.mark.parametrize(
    ("workers", "iteration", "epoch", "step", "where"),
    [
        (0, 1, 0, 1, "epoch 1 of 3, step 1 of 4,"),
        (1, 4, 1, 0, "epoch 1 of 3"),
        (1, 7, 1, 3, "epoch 2 of 3, step 3 of 4,"),
        (0, 12, 3, 0, "epoch 3 of 3"),
    ],
)
def test_a_run_stops_after_its_step_and_goes_on_as_if_it_had_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], workers: int, iteration: int, epoch: int, step: int, where: str
) -> None:
    trainer, checkpoints = make_run(tmp_path / "straight", workers=workers)
    checkpoints.run(trainer)
    before = signal.getsignal(signal.SIGINT)
    trainer, checkpoints = make_run(tmp_path / "cut", workers=workers)
    interrupt(trainer, iteration)
    with pytest.raises(Stopped) as stopped:
        checkpoints.run(trainer)
    assert stopped.value.code == 130
    assert signal.getsignal(signal.SIGINT) is before
    first, *_, last = capfd.readouterr().err.strip().splitlines()
    assert first == "stopping after this step, to save it; Ctrl-C again stops at once"
    assert last == (f"stopped; {where} is saved in {tmp_path / 'cut' / 'last.pt'}; the same command goes on from there")
    saved = load(tmp_path / "cut")
    assert (saved["epoch"], saved.get("step", 0)) == (epoch, step)

    trainer, checkpoints = make_run(tmp_path / "cut", workers=workers)
    checkpoints.run(trainer)
    assert trainer.state.iteration == EPOCHS * STEPS
    assert trainer.data_loader._iterator is None, "its processes have ended"
    torch.testing.assert_close(load(tmp_path / "cut"), load(tmp_path / "straight"), rtol=0, atol=0)


def test_a_run_may_be_stopped_again_and_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer, checkpoints = make_run(tmp_path / "straight")
    checkpoints.run(trainer)
    caplog.set_level("INFO")
    for iteration in (2, 3, 6):
        trainer, checkpoints = make_run(tmp_path / "cut")
        interrupt(trainer, iteration)
        with pytest.raises(Stopped):
            checkpoints.run(trainer)
    trainer, checkpoints = make_run(tmp_path / "cut")
    checkpoints.run(trainer)
    torch.testing.assert_close(load(tmp_path / "cut"), load(tmp_path / "straight"), rtol=0, atol=0)
    said = [record.getMessage() for record in caplog.records if "resuming in" in record.getMessage()]
    places = [line.split(": ")[1] for line in said]
    assert places == [
        "resuming in epoch 1 of 3, after step 2 of 4",
        "resuming in epoch 1 of 3, after step 3 of 4",
        "resuming in epoch 2 of 3, after step 2 of 4",
    ]


def test_a_signal_during_validation_lets_it_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trainer, checkpoints = make_run(tmp_path)
    interrupt(trainer, 4, Events.ITERATION_COMPLETED)  # after its last step
    with pytest.raises(Stopped):
        checkpoints.run(trainer)
    first, *_, last = capfd.readouterr().err.strip().splitlines()
    assert first.startswith("stopping after this epoch's validation")
    assert last.startswith("stopped; epoch 1 of 3 is saved in ")
    assert load(tmp_path)["epoch"] == 1


def test_without_resume_the_line_names_the_way(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trainer, checkpoints = make_run(tmp_path, resume=False)
    interrupt(trainer, 2)
    with pytest.raises(Stopped):
        checkpoints.run(trainer)
    assert capfd.readouterr().err.endswith("; the same command with --resume true goes on from there\n")


def test_where_no_step_can_be_resumed_the_line_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for iteration, line in (
        (2, "stopped; epoch 1 of 3 was not finished, and nothing is saved\n"),
        (6, f"stopped; epoch 2 of 3 is not, but the epoch before it is saved in {tmp_path}/last.pt; the same command "),
    ):
        trainer, checkpoints = make_run(tmp_path, known=False)
        interrupt(trainer, iteration)
        with pytest.raises(Stopped):
            checkpoints.run(trainer)
        assert line in capfd.readouterr().err
        assert (tmp_path / "last.pt").exists() == (iteration == 6)


def test_a_step_is_not_resumed_with_a_sampler_that_cannot(tmp_path: Path) -> None:
    trainer, checkpoints = make_run(tmp_path)
    interrupt(trainer, 2)
    with pytest.raises(Stopped):
        checkpoints.run(trainer)
    trainer, checkpoints = make_run(tmp_path, known=False)
    with pytest.raises(InputError, match=r"last\.pt: stopped within an epoch; go on with the same train#sampler"):
        checkpoints.run(trainer)


def run_interrupted(rank: int, folder: Path, iteration: int) -> tuple[int, int, int]:
    """The second process alone gets the signal."""
    trainer, checkpoints = make_run(folder, rank, 2)
    if rank == 1 and iteration:
        interrupt(trainer, iteration)
    status = 0
    try:
        checkpoints.run(trainer)
    except Stopped as stopped:
        status = int(str(stopped.code))
    return trainer.state.iteration, status, len(list(folder.glob("last.pt")))


def test_all_processes_stop_after_the_same_step(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert run_ranks(run_interrupted, 2, tmp_path, tmp_path / "run", 6) == [(6, 130, 1)] * 2
    last = load(tmp_path / "run")
    assert (last["epoch"], last["step"], len(last["random_numbers"]["cpu"])) == (1, 2, 2)


def train_shared(rank: int, folder: Path, iteration: int) -> dict[str, Any]:
    """What a process has learned at its end, of steps that both take together; batch statistics are its own."""
    trainer, checkpoints = make_run(folder, rank, 2)

    def share(engine: Engine) -> None:
        for parameter in trainer.network.parameters():
            idist.all_reduce(parameter.grad)

    trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, share)
    if rank == 1 and iteration:
        interrupt(trainer, iteration)
    with suppress(Stopped):
        checkpoints.run(trainer)
    return {name: value.detach().numpy().tolist() for name, value in trainer.network.named_parameters()}


@pytest.mark.parametrize("iteration", [2, 7])
def test_two_processes_that_were_stopped_within_an_epoch_go_on_as_if_they_had_not(
    tmp_path: Path, iteration: int
) -> None:
    results = []
    for name, at in (("straight", 0), ("cut", iteration), ("cut", 0)):
        meeting = tmp_path / f"{name}_{at}"
        meeting.mkdir()
        results.append(run_ranks(train_shared, 2, meeting, tmp_path / name, at))
    straight, cut, resumed = results
    assert resumed == straight
    torch.testing.assert_close(load(tmp_path / "cut"), load(tmp_path / "straight"), rtol=0, atol=0)
    assert cut != straight


def test_a_later_process_goes_on_with_its_numbers() -> None:
    states = [torch.Generator().manual_seed(seed).get_state() for seed in (1, 2)]
    numbers = RandomNumbers(rank=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ignite.distributed.get_world_size", lambda: 2)
        numbers.resume({"cpu": torch.stack(states)})
    numbers._set()
    assert torch.equal(torch.get_rng_state(), states[1])


def test_another_number_of_processes_goes_on_with_other_numbers() -> None:
    numbers = RandomNumbers()
    numbers.resume({"cpu": torch.zeros(2, 5056, dtype=torch.uint8)})
    before = torch.get_rng_state()
    numbers._set()
    assert torch.equal(torch.get_rng_state(), before)
