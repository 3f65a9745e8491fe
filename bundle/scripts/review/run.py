"""The ``review`` step: reads the maps, listens, and serves until it is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..annotations.verdict_folder import VerdictFolder
from ..scoring.settings import ScoreSettings
from .cohort import read_cohort
from .guard import new_token
from .judging import Judging
from .queue import QueueSettings
from .server import make_app
from .serving import host_names, open_port, serve
from .session import Session


def run_review(
    maps: str | Path,
    slides: Sequence[str | Path],
    output: str | Path,
    truth: str | Path | None = None,
    scoring: ScoreSettings | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    is_opened: bool = True,
    reviewer: str | None = None,
    asking: QueueSettings | None = None,
) -> None:
    """Serve a review until Ctrl-C.

    Args:
        maps: folder of maps made by infer.
        slides: slides or folders of slides.
        output: folder for the verdicts.
        truth: folder of tumor masks or annotations, or None.
        scoring: how detections are found; the defaults if None.
        host: address of this machine to listen at.
        port: to listen at; 0 is any that is free.
        is_opened: whether to open the page in the browser.
        reviewer: who judges, kept with each verdict; None keeps no name.
        asking: what is asked first; slide by slide if None.

    Raises:
        InputError: if another server writes to the folder of verdicts; if a setting is out of range, a file is missing
            or damaged, or the port is taken.
    """
    scoring = scoring or ScoreSettings()
    with open_port(host, port) as listener:
        session = start_session(maps, slides, output, truth, scoring, reviewer, asking)
        try:
            token, (name, number) = new_token(), listener.getsockname()[:2]
            shown = f"[{name}]" if ":" in name else name
            app = make_app(session, token, host_names(name, number))
            serve(listener, app, f"http://{shown}:{number}/{token}/", is_opened)
        finally:
            session.close()


def start_session(
    maps: str | Path,
    slides: Sequence[str | Path],
    output: str | Path,
    truth: str | Path | None,
    scoring: ScoreSettings,
    reviewer: str | None = None,
    asking: QueueSettings | None = None,
) -> Session:
    """Read what is reviewed, see `run_review`; close the session at the end."""
    folder = VerdictFolder(output, reviewer)
    try:
        cohort = read_cohort(maps, slides, truth, scoring)
        return Session(cohort, Judging(cohort, folder, scoring.origin), scoring, asking or QueueSettings())
    except BaseException:
        folder.close()
        raise
