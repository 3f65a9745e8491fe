"""What weights say of real contiguous tissue, by all modes, and how far the modes agree there.

    python benchmarks/real_tissue.py ../shared/data --output tissue --markdown docs/benchmarks.md
    python benchmarks/real_tissue.py ../shared/data --output tissue --only 10x --modes sliding dense \
        --weights_10x before=bundle/models/model_10x.pt after=runs/model_10x.pt

Pieces are tiles of normal tissue of CAMELYON17, one of each of its five centres; the strip that comes with the bundle;
and pictures at 10x with tumor masks. Each is a slide for `infer`. Positions are those whose patch lies in the piece
whole, tissue or not. They are 64 pixels of 0.243 µm apart for weights at 40x, 128 for those at 10x, and 128 for both on
the pictures with masks, which weights at 40x get enlarged four times. Maps stay in the output folder and are not
computed again for the same weights; pictures of the maps lie beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import machine_line, markdown_table, publish  # noqa: E402
from scipy.special import logit  # noqa: E402
from tissue_pictures import draw_maps  # noqa: E402
from tissue_pieces import (  # noqa: E402
    FACTOR,
    KINDS,
    MPP_40X,
    Piece,
    enlarged,
    inside,
    read_pieces,
    tumor_share,
    write_piece,
)

from scripts.errors import InputError, explain  # noqa: E402
from scripts.files import make_output_dir  # noqa: E402
from scripts.inference.agreement import compare_logits  # noqa: E402
from scripts.masks.files import write_mask  # noqa: E402
from scripts.network.modes import MODES  # noqa: E402
from scripts.scoring.roc import roc_auc  # noqa: E402
from scripts.workflow import run_bundle  # noqa: E402

LIMITS = (0.5, 0.8, 0.9)
TUMOR_FROM = 0.5
"""A position is tumor if so much of its central square is, and normal if nothing of it is; others are left out."""

SHIPPED = {"40x": "model.pt", "10x": "model_10x.pt"}
Map = npt.NDArray[np.float64]


class Scale(NamedTuple):
    """How weights of one resolution see pieces.

    Attributes:
        overlays: configs over inference.json.
        patch: side of a patch in pixels of 0.243 µm.
        stride: from one position to the next, likewise.
    """

    overlays: Sequence[str]
    patch: int
    stride: int


SCALES = {"40x": Scale((), 224, 64), "10x": Scale(("screen_10x.json",), 96 * FACTOR, 128)}


class Run(NamedTuple):
    """The maps of one file of weights in one mode: the probabilities at the positions of each piece."""

    scale: str
    weights: str
    mode: str
    maps: dict[str, Map]


def named(text: str) -> tuple[str, Path]:
    """``NAME=FILE``, or a file that is its own name."""
    name, separator, path = text.partition("=")
    return (name, Path(path)) if separator else (text, Path(text))


def seen(piece: Piece, scale: str) -> Piece:
    """A piece as weights get it: those at 40x get pictures at 10x enlarged."""
    return enlarged(piece) if scale == "40x" and piece.kind == "masks" else piece


def stride_of(piece: Piece, scale: str) -> int:
    """Level-0 pixels of a piece, as seen, from one position to the next."""
    stride = SCALES["10x" if piece.kind == "masks" else scale].stride  # the same positions for both weights
    return round(stride * MPP_40X / piece.mpp)


def positions(piece: Piece, scale: str) -> npt.NDArray[np.bool_]:
    """Where a piece, as seen, is evaluated: a bool map."""
    patch = SCALES[scale].patch * MPP_40X / piece.mpp
    return inside((piece.image.shape[0], piece.image.shape[1]), stride_of(piece, scale), patch)


def compute(pieces: Sequence[Piece], scale: str, weights: Path, mode: str, root: Path) -> dict[str, Map]:
    """Run inference on pieces; return the probabilities, (rows, cols), NaN where a patch does not lie inside."""
    found = {}
    for stride in sorted({stride_of(piece, scale) for piece in pieces}):
        group = [piece for piece in pieces if stride_of(piece, scale) == stride]
        slides, masks = (make_output_dir(root / kind / f"{scale}_{stride}") for kind in ("slides", "positions"))
        for piece in group:
            write_mask(masks / f"{piece.name}.png", positions(piece, scale))
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
        output = root / "maps" / f"{scale}_{stride}_{digest}_{mode}"
        settings: dict[str, Any] = {
            "slides": [str(write_piece(piece, slides)) for piece in group],
            "weights": str(weights),
            "output_dir": str(output),
            "foreground_dir": str(masks),
            "mode": mode,
            "stride": stride,
            "num_checks": 0,
            "num_workers": 0,
        }
        run_bundle("inference", "inference.json", settings, SCALES[scale].overlays)
        for piece in group:
            values = np.load(output / f"{piece.name}.npy").astype(np.float64)
            found[piece.name] = np.where(positions(piece, scale), values, np.nan)
    return found


def shares(values: Map) -> str:
    """Share of positions above each of `LIMITS`, in percent."""
    return " / ".join(f"{100 * np.mean(values > limit):.1f}" for limit in LIMITS) if len(values) else ""


def labels(piece: Piece, scale: str) -> Map:
    """1 where a position is tumor, 0 where it is normal, NaN where it is neither or lies outside; (rows, cols)."""
    share = tumor_share(piece, stride_of(piece, scale))
    found = np.where(share >= TUMOR_FROM, 1.0, np.where(share == 0, 0.0, np.nan))
    return np.where(positions(piece, scale), found, np.nan)


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
            group = [piece for piece in pieces if piece.kind == kind]
            if not group:
                continue
            values = np.concatenate([run.maps[piece.name].ravel() for piece in group])
            truth = np.concatenate([labels(seen(piece, run.scale), run.scale).ravel() for piece in group])
            share = np.concatenate(
                [tumor_share(seen(piece, run.scale), stride_of(piece, run.scale)).ravel() for piece in group]
            )
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute maps, print the tables, and draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with camelyon17_40x and masks_10x")
    parser.add_argument("--output", type=Path, required=True, help="folder for slides, maps and pictures")
    for scale, flag in (("40x", "--weights"), ("10x", "--weights_10x")):
        text = f"files of weights at {scale}, or NAME=FILE; by default the shipped"
        parser.add_argument(
            flag, type=named, nargs="+", default=[("shipped", ROOT / "bundle/models" / SHIPPED[scale])], help=text
        )
    parser.add_argument("--only", choices=SCALES, help="leave the other weights out")
    parser.add_argument("--pieces", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument(
        "--modes",
        choices=[mode for mode in MODES if mode != "auto"],
        nargs="+",
        default=["sliding", "dense", "refined"],
    )
    parser.add_argument("--markdown", type=Path, help="a page with a block 'real tissue'")
    options = parser.parse_args(arguments)
    machine, root = machine_line(), make_output_dir(options.output)
    try:
        pieces = read_pieces(options.data, options.pieces)
        runs: list[Run] = []
        for scale, weights in (("40x", options.weights), ("10x", options.weights_10x)):
            if options.only not in (None, scale):
                continue
            as_seen = [seen(piece, scale) for piece in pieces]
            for name, path in weights:
                runs += [Run(scale, name, mode, compute(as_seen, scale, path, mode, root)) for mode in options.modes]
            columns = {f"{run.weights}, {run.mode}": run.maps for run in runs if run.scale == scale}
            for piece in as_seen:
                maps = {title: found[piece.name] for title, found in columns.items()}
                draw_maps(root / "pictures" / f"{scale}_{piece.name}.jpg", piece, maps, stride_of(piece, scale))
        tables = [normal_table(pieces, runs)] if "tiles" in options.pieces else []
        tables += [tumor_table(pieces, runs)] if {"strip", "masks"} & set(options.pieces) else []
        tables += [agreement_table(pieces, runs)] if {"dense", "sliding"} <= set(options.modes) else []
        publish(options.markdown, "real tissue", machine, *tables)
    except (InputError, OSError, RuntimeError) as error:  # MONAI wraps what a component raises
        sys.exit(f"error: {explain(error)}")


if __name__ == "__main__":
    main()
