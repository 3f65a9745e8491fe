"""The report as one HTML page: Jinja2 fills the templates, every text escaped; plots become SVG inside the page."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import bundle_root
from ..files import atomic_path
from ..maps.palette import heat_gradient

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE_COLORS = {
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    "#1f5fa8": "var(--accent)",
    "#c8452c": "var(--wrong)",
    "#5a5a5a": "var(--muted)",
    "#e2e2e2": "var(--line)",
}
"""Colors of plots that follow the page's, light or dark."""

_PLOT_SIZE = (4.9, 3.9)  # inches: letters are readable where three plots stand side by side


def write_page(path: str | Path, content: dict[str, Any]) -> int:
    """Fill the page and write it.

    The page forbids itself, by its Content-Security-Policy, to load anything and to run any script but its own.

    Args:
        path: the HTML file.
        content: what ``report.html`` names; texts need no escaping, of what is marked safe there plots alone are given.

    Returns:
        Its size in bytes.

    Raises:
        InputError: if it cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(bundle_root()) / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (folder / "report.css").read_text(encoding="utf-8")
    script = (folder / "report.js").read_text(encoding="utf-8")
    parts = environment.get_template("report.html").generate(
        style=f":root{{--heat:{heat_gradient()}}}\n{style}",
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
        **content,
    )
    with atomic_path(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(parts)
        return temporary.stat().st_size


def figure_svg(figure: Figure, name: str) -> str:
    """A plot as SVG to stand inside a page: text stays text, and takes the page's colors.

    Args:
        figure: drawn black on white.
        name: begins the ids, which must differ from those of other plots of the page; letters.

    Returns:
        ``<svg ...>...</svg>``
    """
    import matplotlib

    file = io.StringIO()
    figure.set_size_inches(_PLOT_SIZE)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)  # as wide as the page has room
    for drawn, shown in _PAGE_COLORS.items():
        text = text.replace(drawn, shown)
    # text without a color of its own is black to SVG
    return text.replace("<svg ", '<svg fill="currentColor" aria-hidden="true" ', 1)


def file_size(num_bytes: int) -> str:
    """A size in words: ``1.4 MB``."""
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e5 else f"{num_bytes / 1e3:.0f} kB"


def length(length_um: float) -> str:
    """A length in words: ``850 µm``, ``2.40 mm``."""
    return f"{length_um / 1000:.2f} mm" if length_um >= 1000 else f"{length_um:.0f} µm"


def with_interval(value: float | None, interval: list[float] | None) -> tuple[str, str]:
    """A score and its interval in words; the second is empty where there is none.

    Args:
        value: or None.
        interval: [low, high], or None.

    Returns:
        Such as ("0.853", "95% interval 0.801 to 0.902").
    """
    shown = "–" if value is None else f"{value:.3f}"
    return shown, "" if interval is None else f"95% interval {interval[0]:.3f} to {interval[1]:.3f}"
