"""Between which probabilities mode refined has to compute again, on contiguous real tissue.

    python benchmarks/real_tissue.py ../shared/data --output tissue
    python benchmarks/refinement.py tissue/maps --markdown docs/benchmarks.md

Reads the maps of the shipped 40x weights that real_tissue.py wrote in modes dense and sliding; nothing is computed by
the network. For each limit the table shows how many positions mode refined computes again, and how many then still lie
on another side of 0.5 than in mode sliding: those of a probability below the limit in mode dense, above 0.5 in sliding.
The second table is of upper limits, where there is tumor: how much less is computed again, and what mode sliding says
of the positions that are left as they are.
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
LOWER = 0.2
UPPER = (0.8, 0.9, 0.95, 0.98)


def read_maps(folder: Path, weights: Path) -> dict[str, npt.NDArray[np.float64]]:
    """By piece, (2, N) probabilities of mode dense and of mode sliding at the positions that both computed."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    found = {}
    for dense in sorted(folder.glob(f"40x_*_{digest}_dense")):
        sliding = dense.with_name(dense.name.replace("_dense", "_sliding"))
        for path in sorted(dense.glob("*.npy")):
            if (sliding / path.name).is_file():
                both = np.stack([np.load(path), np.load(sliding / path.name)]).astype(np.float64)
                name = path.stem.replace("_", " ").replace("masks", "picture")
                found[name] = both[:, (both > 0).all(axis=0)]  # 0 stands where nothing was computed
    if not found:
        sys.exit(f"error: {folder}: no maps of {weights} in modes dense and sliding; real_tissue.py makes them")
    return found


def row_of(name: str, probabilities: npt.NDArray[np.float64]) -> list[str]:
    """A row of the table."""
    dense, sliding = probabilities
    crosses = (dense > 0.5) != (sliding > 0.5)
    cells = [name, str(dense.size), f"{100 * (sliding > 0.5).mean():.1f} %", f"{100 * crosses.mean():.2f} %"]
    return cells + [f"{100 * (dense > limit).mean():.1f} %, {(crosses & (dense <= limit)).sum()}" for limit in LIMITS]


def upper_row(name: str, probabilities: npt.NDArray[np.float64]) -> list[str]:
    """A row of the table of upper limits."""
    dense, sliding = probabilities
    refined = (dense > LOWER).sum()
    cells = [name, str(refined)]
    for limit in UPPER:
        left = dense > limit
        if not left.any():
            cells.append("0 %")
            continue
        distance = np.abs(dense - sliding)[left]
        cells.append(
            f"{100 * left.sum() / refined:.0f} %, at least {sliding[left].min():.2f}, "
            f"by {distance.mean():.3f}, {distance.max():.2f}"
        )
    return cells


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("maps", type=Path, help="the folder maps that real_tissue.py wrote")
    parser.add_argument("--weights", type=Path, default=ROOT / "bundle" / "models" / "model.pt")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'refinement'")
    options = parser.parse_args()
    found = read_maps(options.maps, options.weights)
    of_kind = {
        kind: np.concatenate([values for name, values in found.items() if name.startswith(start)], axis=1)
        for kind, start in (("all centres", "centre"), ("all pictures", "picture"))
    }
    tiles = {name: values for name, values in found.items() if not name.startswith("picture")}
    rows = [row_of(name, values) for name, values in (tiles | {"all centres": of_kind["all centres"]}).items()]
    header = ["piece", "positions", "sliding above 0.5", "dense crosses 0.5", *(f"above {limit}" for limit in LIMITS)]
    upper = {name: values for name, values in found.items() if (values[0] > UPPER[0]).any()}
    upper_rows = [upper_row(name, values) for name, values in (upper | of_kind).items()]
    upper_header = ["piece", f"above {LOWER}", *(f"above {limit}" for limit in UPPER)]
    tables = markdown_table(header, rows), markdown_table(upper_header, upper_rows)
    publish(options.markdown, "refinement", machine_line(), "\n\n".join(tables))


if __name__ == "__main__":
    main()
