"""What 10,000 and 1,000,000 slides take: storage, transfer and computing, from figures that are given.

    python benchmarks/plan.py --mm2_per_second 0.159 --worker "2 CPU cores" --markdown docs/scaling.md

Figures come from a run.json (``--run``: ``mm2_per_second`` and the tissue per slide of that run) or one by one. Nothing
is measured here, nor are prices known: ``--price_hour`` and ``--price_tb_month`` give those of a provider.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import command_line, markdown_table, replace_block  # noqa: E402

COUNTS = (10_000, 1_000_000)
GB_PER_SLIDE = 700 / 399
"""CAMELYON16: 399 slides of about 700 GB in all (docs/data.md)."""


def plan_rows(arguments: argparse.Namespace) -> list[list[str]]:
    """Rows of the table, one quantity each, a column per number of slides.

    Args:
        arguments: see `parse`.
    """
    seconds = arguments.mm2_per_slide / arguments.mm2_per_second + arguments.seconds_per_slide
    worker_hours = [count * seconds / 3600 for count in COUNTS]
    terabytes = [count * arguments.gb_per_slide / 1000 for count in COUNTS]
    workers = [max(1, round(hours / (24 * arguments.days))) for hours in worker_hours]
    gbits = [8000 * size / (arguments.days * 86400) for size in terabytes]
    rows = [
        ["slides", *(f"{count:,}" for count in COUNTS)],
        ["storage of slides, TB", *(f"{size:,.1f}" for size in terabytes)],
        ["storage of maps, TB", *(f"{count * arguments.map_mb / 1e6:,.3f}" for count in COUNTS)],
        [f"computing, hours of {arguments.worker}", *(f"{hours:,.0f}" for hours in worker_hours)],
        [f"such workers for {arguments.days:g} days", *(f"{count:,}" for count in workers)],
        ["transfer meanwhile, Gbit/s in all", *(f"{rate:,.2f}" for rate in gbits)],
        ["of it each worker, Mbit/s", *(f"{1000 * r / n:,.1f}" for r, n in zip(gbits, workers, strict=True))],
        ["cache of each worker, GB", *(f"{4 * arguments.gb_per_slide:.1f}" for _ in COUNTS)],
        ["run.json, MB", *(f"{count * arguments.entry_bytes / 1e6:,.1f}" for count in COUNTS)],
    ]
    if arguments.price_hour is not None:
        rows.append(["price of computing", *(f"{hours * arguments.price_hour:,.0f}" for hours in worker_hours)])
    if arguments.price_tb_month is not None:
        rows.append(["price of storage a month", *(f"{size * arguments.price_tb_month:,.0f}" for size in terabytes)])
    return rows


def parse(texts: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="run.json of a run on slides such as those to come")
    parser.add_argument("--mm2_per_second", type=float, help="tissue that a worker does, decoding included")
    parser.add_argument("--mm2_per_slide", type=float, default=100.0, help="tissue of a slide; 100 is an assumption")
    parser.add_argument("--seconds_per_slide", type=float, default=1.0, help="besides: opening, foreground, writing")
    parser.add_argument("--gb_per_slide", type=float, default=GB_PER_SLIDE, help="default: CAMELYON16's mean")
    parser.add_argument("--map_mb", type=float, default=4 * 2400 * 1400 / 1e6, help="default: 2400 x 1400 positions")
    parser.add_argument("--entry_bytes", type=float, default=130.0, help="of a slide in run.json")
    parser.add_argument("--days", type=float, default=7.0, help="in which all shall be done")
    parser.add_argument("--worker", default="one worker", help="what did so, for the table")
    parser.add_argument("--price_hour", type=float, help="of a worker")
    parser.add_argument("--price_tb_month", type=float, help="of storage")
    parser.add_argument("--markdown", type=Path, help="page whose block 'plan' to write")
    arguments = parser.parse_args(texts)
    if arguments.run is not None:
        run = json.loads(arguments.run.read_text(encoding="utf-8"))
        arguments.mm2_per_second = arguments.mm2_per_second or run["mm2_per_second"]
        arguments.mm2_per_slide = run["tissue_mm2"] / max(1, len(run["slides_done"]))
    if not arguments.mm2_per_second:
        parser.error("give --run run.json or --mm2_per_second")
    return arguments


def main() -> None:
    """Print the table, and write it into a page."""
    arguments = parse()
    given = (
        f"From {arguments.mm2_per_second:g} mm²/s by {arguments.worker}, {arguments.mm2_per_slide:g} mm² of tissue and "
        f"{arguments.gb_per_slide:.2f} GB a slide, and {arguments.seconds_per_slide:g} s a slide besides."
    )
    header, *rows = plan_rows(arguments)
    table = markdown_table(header, rows)
    text = f"```\n{command_line()}\n```\n\n{given}\n\n{table}"
    print(text)
    if arguments.markdown is not None:
        replace_block(arguments.markdown, "plan", text)


if __name__ == "__main__":
    main()
