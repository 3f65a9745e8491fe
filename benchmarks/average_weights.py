"""Write the mean of files of weights, in float16, and beside it what the last of them says that it is for.

Activations are those of other weights, so they are left out: describe_weights.py measures them.

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
from scripts.network.network import load_checkpoint  # noqa: E402
from scripts.network.purpose import read_purpose, write_weights  # noqa: E402


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
    mean = mean_weights([load_checkpoint(path) for path in options.weights])
    purpose = read_purpose(options.weights[-1])
    write_weights(options.output, mean, None if purpose is None else purpose._replace(activations=None))


if __name__ == "__main__":
    main()
