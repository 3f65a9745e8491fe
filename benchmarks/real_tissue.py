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
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import machine_line, publish  # noqa: E402
from tissue_pictures import draw_grid, draw_maps  # noqa: E402
from tissue_pieces import KINDS, Piece, read_pieces, write_piece  # noqa: E402
from tissue_positions import SCALES, positions, seen, stride_of  # noqa: E402
from tissue_tables import Map, Run, agreement_table, normal_table, tumor_table  # noqa: E402

from scripts.errors import InputError, explain  # noqa: E402
from scripts.files import make_output_dir  # noqa: E402
from scripts.masks.files import write_mask  # noqa: E402
from scripts.network.modes import MODES  # noqa: E402
from scripts.workflow import run_bundle  # noqa: E402

SHIPPED = {"40x": "model.pt", "10x": "model_10x.pt"}
CARD_PICTURE = "masks_10679"
CARD_RUNS = (("40x", "refined"), ("10x", "sliding"))


def named(text: str) -> tuple[str, Path]:
    """``NAME=FILE``, or a file that is its own name."""
    name, separator, path = text.partition("=")
    return (name, Path(path)) if separator else (text, Path(text))


def compute(
    pieces: Sequence[Piece],
    scale: str,
    weights: Path,
    mode: str,
    root: Path,
    num_checks: int = 0,
    screen: Path | None = None,
) -> dict[str, Map]:
    """Run inference on pieces as seen; return the probabilities, (rows, cols), NaN where a patch lies not inside.

    Args:
        pieces: as `seen` at the scale.
        scale: of `SCALES`.
        weights: of that scale.
        mode: of inference.
        root: folder for slides and maps.
        num_checks: positions that modes dense and refined check themselves.
        screen: weights at 10x, which mode cascade needs besides.
    """
    found = {}
    for stride in sorted({stride_of(piece, scale) for piece in pieces}):
        group = [piece for piece in pieces if stride_of(piece, scale) == stride]
        slides, masks = (make_output_dir(root / kind / f"{scale}_{stride}") for kind in ("slides", "positions"))
        for piece in group:
            write_mask(masks / f"{piece.name}.png", positions(piece, scale))
        content = b"".join(path.read_bytes() for path in (weights, screen) if path)
        digest = hashlib.sha256(content).hexdigest()[:12]
        output = root / "maps" / f"{scale}_{stride}_{digest}_{mode}"
        settings: dict[str, Any] = {
            "slides": [str(write_piece(piece, slides)) for piece in group],
            "weights": str(weights),
            "output_dir": str(output),
            "foreground_dir": str(masks),
            "mode": mode,
            "stride": stride,
            "num_checks": num_checks,
            "num_workers": 0,
            **({"screen_weights": str(screen)} if screen else {}),
        }
        if not all((output / f"{piece.name}.npy").is_file() for piece in group):
            run_bundle("inference", "inference.json", settings, SCALES[scale].overlays)
        for piece in group:
            values = np.load(output / f"{piece.name}.npy").astype(np.float64)
            found[piece.name] = np.where(positions(piece, scale), values, np.nan)
    return found


def draw_pictures(pieces: Sequence[Piece], runs: Sequence[Run], folder: Path) -> None:
    """Draw each piece with the maps of all weights and modes of a resolution."""
    for scale in dict.fromkeys(run.scale for run in runs):
        for piece in (seen(piece, scale) for piece in pieces):
            maps = {f"{run.weights}, {run.mode}": run.maps[piece.name] for run in runs if run.scale == scale}
            draw_maps(folder / f"{scale}_{piece.name}.jpg", piece, maps, stride_of(piece, scale))


def draw_card(pieces: Sequence[Piece], runs: Sequence[Run], path: Path) -> None:
    """Draw the tiles and one picture with its mask under the maps of the first weights of either resolution."""
    masked = [piece for piece in pieces if piece.name == CARD_PICTURE]
    columns = [piece for piece in pieces if piece.kind == "tiles"] + masked
    chosen = [next(run for run in runs if run.scale == scale and run.mode == mode) for scale, mode in CARD_RUNS]
    rows = {f"{SHIPPED[run.scale]}, mode {run.mode}": run for run in chosen}
    as_seen = {title: [seen(piece, run.scale) for piece in columns] for title, run in rows.items()}
    maps = {
        title: [(piece, rows[title].maps[piece.name], stride_of(piece, rows[title].scale)) for piece in group]
        for title, group in as_seen.items()
    }
    draw_grid(path, columns, maps)


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
    parser.add_argument("--card", type=Path, help="the picture of the model card, of all pieces and both weights")
    options = parser.parse_args(arguments)
    machine, root = machine_line(), make_output_dir(options.output)
    try:
        pieces = read_pieces(options.data, options.pieces)
        runs: list[Run] = []
        for scale, weights in (("40x", options.weights), ("10x", options.weights_10x)):
            if options.only not in (None, scale):
                continue
            as_seen = [seen(piece, scale) for piece in pieces]
            for index, (name, path) in enumerate(weights):
                for mode in options.modes:
                    if mode == "cascade" and scale == "10x":  # which is its screen
                        continue
                    of_screen = options.weights_10x[min(index, len(options.weights_10x) - 1)][1]
                    screen = of_screen if mode == "cascade" else None
                    maps = compute(as_seen, scale, path, mode, root, screen=screen)
                    runs.append(Run(scale, name, mode, maps))
        tables = [normal_table(pieces, runs)] if "tiles" in options.pieces else []
        tables += [tumor_table(pieces, runs)] if {"strip", "masks"} & set(options.pieces) else []
        tables += [agreement_table(pieces, runs)] if {"dense", "sliding"} <= set(options.modes) else []
        publish(options.markdown, "real tissue", machine, *tables)
        if options.card:
            draw_card(pieces, runs, options.card)
        draw_pictures(pieces, runs, root / "pictures")
    except (InputError, OSError, RuntimeError) as error:  # MONAI wraps what a component raises
        sys.exit(f"error: {explain(error)}")


if __name__ == "__main__":
    main()
