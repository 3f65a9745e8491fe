from __future__ import annotations

import pytest
import torch
from monai.data import DataLoader

from scripts.training.evaluation import SingleEvaluator


@pytest.mark.parametrize("fails", [False, True])
def test_the_readers_of_an_evaluation_end_with_it(fails: bool) -> None:
    samples = [{"image": torch.ones(3), "label": torch.ones(1)} for _ in range(4)]
    loader = DataLoader(samples, batch_size=2, num_workers=1, persistent_workers=True)
    outputs = []

    def predict(pixels: torch.Tensor, network: torch.nn.Module) -> torch.Tensor:
        processes.extend(loader._iterator._workers)
        if fails:
            raise ValueError("of a network")
        outputs.append(network(pixels))
        return outputs[-1]

    processes: list[torch.multiprocessing.Process] = []
    evaluator = SingleEvaluator(torch.device("cpu"), loader, torch.nn.Linear(3, 1), inferer=predict)
    if fails:
        with pytest.raises(ValueError, match="of a network"):
            evaluator.run()
    else:
        evaluator.run()
    assert len(outputs) == (0 if fails else 2)
    assert {process.exitcode for process in processes} == {0}
