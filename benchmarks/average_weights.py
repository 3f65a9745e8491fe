"""Write the mean of files of weights, in float16.

python benchmarks/average_weights.py runs/base/model.pt runs/tuned/model.pt --output model.pt
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

import torch  # noqa: E402

from scripts.errors import InputError  # noqa: E402
from scripts.files import atomic_path  # noqa: E402
from scripts.network.network import load_checkpoint  # noqa: E402


def mean_weights(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Mean of state dicts of one network, in float16; whole numbers are taken from the last.

    Raises:
        InputError: if they are of several networks.
    """
    if any(state.keys() != states[0].keys() for state in states):
        raise InputError("weights of several networks cannot be averaged; give those of one")
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0).half()
        if value.is_floating_point()
        else value
        for name, value in states[-1].items()
    }


def main() -> None:
    """Read, average, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    with atomic_path(options.output) as temporary:
        torch.save(mean_weights([load_checkpoint(path) for path in options.weights]), temporary)


if __name__ == "__main__":
    main()
