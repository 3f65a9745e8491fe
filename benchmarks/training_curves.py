"""Draw how trainings went: the AUC on validation patches after each epoch.

    python benchmarks/training_curves.py runs/seed_0 runs/seed_1 --labels "four seeds" "" --output curves.png

A run is a training's output folder, of which the TensorBoard events are read, or a file of what it printed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

METRIC = "val_auc"
_PRINTED = re.compile(rf"Epoch\[(\d+)\] Metrics -- .*?{METRIC}: ([0-9.]+)")


def read_curve(run: Path) -> dict[int, float]:
    """The metric by epoch.

    Raises:
        ValueError: if the run has none.
    """
    if run.is_dir():
        events = EventAccumulator(str(run))
        events.Reload()
        found = {event.step: event.value for event in events.Scalars(METRIC)} if METRIC in events.scalars.Keys() else {}
    else:
        text = run.read_text(encoding="utf-8", errors="replace")
        found = {int(epoch): float(value) for epoch, value in _PRINTED.findall(text)}
    if not found:
        raise ValueError(f"{run}: expected epochs with {METRIC}, found none; give a training's folder or its output")
    return found


def draw(curves: Sequence[dict[int, float]], labels: Sequence[str], low: float, path: Path) -> None:
    """Draw all in one plot.

    Args:
        curves: see `read_curve`.
        labels: of each; one without a label belongs to the curve before it and gets its color.
        low: least AUC that is shown.
        path: the picture.
    """
    figure, axes = plt.subplots(figsize=(7.2, 4.0), layout="constrained")
    color = 0
    for index, (curve, label) in enumerate(zip(curves, labels, strict=True)):
        color += bool(label) and index > 0
        epochs = sorted(curve)
        axes.plot(epochs, [curve[epoch] for epoch in epochs], color=f"C{color}", label=label or None, linewidth=1.4)
    axes.set(xlabel="epoch", ylabel="AUC on validation patches", ylim=(low, None), xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--labels", nargs="+", help="of each; an empty one belongs to the run before it")
    parser.add_argument("--low", type=float, default=0.8, help="least AUC that is shown")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    labels = options.labels or [run.stem for run in options.runs]
    if len(labels) != len(options.runs):
        parser.error(f"{len(options.runs)} runs need as many labels, not {len(labels)}")
    draw([read_curve(run) for run in options.runs], labels, options.low, options.output)


if __name__ == "__main__":
    main()
