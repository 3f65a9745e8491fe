"""From which probability on mode refined has to compute again, on contiguous real tissue.

    python benchmarks/real_tissue.py ../shared/data --output tissue
    python benchmarks/refinement.py tissue/maps --markdown docs/benchmarks.md

Reads the maps of the shipped 40x weights that real_tissue.py wrote in modes dense and sliding; nothing is computed by
the network. For each limit the table shows how many positions mode refined computes again, and how many then still lie
on another side of 0.5 than in mode sliding: those of a probability below the limit in mode dense, above 0.5 in sliding.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import machine_line, markdown_table, publish  # noqa: E402

LIMITS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


def read_maps(folder: Path, weights: Path) -> dict[str, npt.NDArray[np.float64]]:
    """By piece, (2, N) probabilities of mode dense and of mode sliding at the positions that both computed."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    (dense,), (sliding,) = (list(folder.glob(f"40x_64_{digest}_{mode}")) for mode in ("dense", "sliding"))
    found = {}
    for path in sorted(dense.glob("*.npy")):
        if (sliding / path.name).is_file():
            both = np.stack([np.load(path), np.load(sliding / path.name)]).astype(np.float64)
            found[path.stem.replace("_", " ")] = both[:, (both > 0).all(axis=0)]  # 0 stands where nothing was computed
    return found


def row_of(name: str, probabilities: npt.NDArray[np.float64]) -> list[str]:
    """A row of the table."""
    dense, sliding = probabilities
    crosses = (dense > 0.5) != (sliding > 0.5)
    cells = [name, str(dense.size), f"{100 * (sliding > 0.5).mean():.1f} %", f"{100 * crosses.mean():.2f} %"]
    return cells + [f"{100 * (dense > limit).mean():.1f} %, {(crosses & (dense <= limit)).sum()}" for limit in LIMITS]


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("maps", type=Path, help="the folder maps that real_tissue.py wrote")
    parser.add_argument("--weights", type=Path, default=ROOT / "bundle" / "models" / "model.pt")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'refinement'")
    options = parser.parse_args()
    found = read_maps(options.maps, options.weights)
    normal = np.concatenate([values for name, values in found.items() if name.startswith("centre")], axis=1)
    rows = [row_of(name, values) for name, values in (found | {"all centres": normal}).items()]
    header = ["piece", "positions", "sliding above 0.5", "dense crosses 0.5", *(f"above {limit}" for limit in LIMITS)]
    publish(options.markdown, "refinement", machine_line(), markdown_table(header, rows))


if __name__ == "__main__":
    main()
