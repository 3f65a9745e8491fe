"""Tables of what weights say of pieces of real tissue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from report import markdown_table
from scipy.special import logit
from tissue_pieces import Piece
from tissue_positions import labels, seen, stride_of, tumor_share

from scripts.inference.agreement import compare_logits
from scripts.scoring.roc import roc_auc

LIMITS = (0.5, 0.8, 0.9)
Map = npt.NDArray[np.float64]


class Run(NamedTuple):
    """The maps of one file of weights in one mode: the probabilities at the positions of each piece."""

    scale: str
    weights: str
    mode: str
    maps: dict[str, Map]


def shares(values: Map) -> str:
    """Share of positions above each of `LIMITS`, in percent."""
    return " / ".join(f"{100 * np.mean(values > limit):.1f}" for limit in LIMITS) if len(values) else ""


def normal_table(pieces: Sequence[Piece], runs: Sequence[Run]) -> str:
    """Share of false alarms on tissue that holds no tumor, by tile."""
    tiles = [piece for piece in pieces if piece.kind == "tiles"]
    rows = []
    for run in runs:
        values = [run.maps[piece.name][np.isfinite(run.maps[piece.name])] for piece in tiles]
        cells = [shares(found) for found in values]
        rows.append([f"{run.scale}: {run.weights}", run.mode, *cells, f"{np.concatenate(values).mean():.3f}"])
    return markdown_table(["weights", "mode", *(piece.title for piece in tiles), "mean probability"], rows)


def tumor_table(pieces: Sequence[Piece], runs: Sequence[Run]) -> str:
    """How well positions are told apart on pieces with tumor."""
    rows = []
    for run in runs:
        for kind, title in (("strip", "strip"), ("masks", "pictures with masks")):
            group = [seen(piece, run.scale) for piece in pieces if piece.kind == kind]
            if not group:
                continue
            values = np.concatenate([run.maps[piece.name].ravel() for piece in group])
            truth = np.concatenate([labels(piece, run.scale).ravel() for piece in group])
            share = np.concatenate([tumor_share(piece, stride_of(piece, run.scale)).ravel() for piece in group])
            is_known, is_inside = np.isfinite(truth), np.isfinite(values)
            aucs = [
                float(roc_auc(values[chosen], tumor[chosen])[0])
                for chosen, tumor in ((is_known, truth == 1), (is_inside, share > 0))
            ]
            rows.append(
                [
                    f"{run.scale}: {run.weights}",
                    run.mode,
                    title,
                    *(f"{auc:.3f}" for auc in aucs),
                    str(int((truth == 1).sum())),
                    shares(values[truth == 1]),
                    str(int((truth == 0).sum())),
                    shares(values[truth == 0]),
                ]
            )
    header = ["weights", "mode", "pieces", "AUC", "AUC, any tumor", "tumor positions", "of them above"]
    header += ["normal positions", "of them above"]
    return markdown_table(header, rows)


def agreement_table(pieces: Sequence[Piece], runs: Sequence[Run]) -> str:
    """How far mode dense agrees with sliding, by piece; of pictures with masks, together."""
    rows = []
    for run in (run for run in runs if run.mode == "dense"):
        of_patches = [other for other in runs if other.mode == "sliding" and other[:2] == run[:2]]
        groups = {piece.title: [piece] for piece in pieces if piece.kind != "masks"}
        masked = [piece for piece in pieces if piece.kind == "masks"]
        groups |= {f"{len(masked)} pictures with masks": masked} if masked else {}
        for title, group in groups.items() if of_patches else ():
            dense, sliding = (
                np.concatenate([maps[piece.name][np.isfinite(maps[piece.name])] for piece in group])
                for maps in (run.maps, of_patches[0].maps)
            )
            dense, sliding = (logit(values.clip(1e-7, 1 - 1e-7)) for values in (dense, sliding))
            found = compare_logits(dense, sliding)
            rows.append(
                [
                    f"{run.scale}: {run.weights}",
                    title,
                    str(found["num_checks"]),
                    f"{found['logit_correlation']:.3f}",
                    f"{np.abs(dense - sliding).mean():.2f}",
                    f"{np.mean(dense - sliding):+.2f}",
                    f"{100 * found['crossings']:.1f} %",
                ]
            )
    header = ["weights", "piece", "positions", "correlation of logits", "mean distance", "mean difference", "cross 0.5"]
    return markdown_table(header, rows)
