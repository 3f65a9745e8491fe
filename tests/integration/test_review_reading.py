"""A slide that ends its reader while it is looked at: the page says so, and goes on with the others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.browser import open_browser
from helpers.deadly_slide import DeadlySlides
from helpers.review_cohort import write_cohort
from helpers.review_server import served
from scripts import bundle_root
from scripts.review import session
from scripts.review.reading import SlideReaders

pytestmark = pytest.mark.integration


def wait(holds: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
    return found


def test_the_page_names_the_slide_and_shows_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_cohort(tmp_path / "all", {"deadly": 0.9, "whole": 0.7})
    monkeypatch.setattr(session, "SlideReaders", lambda: SlideReaders(DeadlySlides("overview")))
    browser = open_browser()
    try:
        with served(folder / "maps", folder / "slides", tmp_path / "out") as address:

            def text(selector: str) -> str:
                return str(browser.execute_script("return document.querySelector(arguments[0]).textContent", selector))

            browser.get(f"{address}#/slide/deadly")
            wait(lambda: "deadly.tif: the process that read it ended by SIGSEGV" in text("#fault"))
            assert browser.execute_script("return document.querySelectorAll('.mark').length"), "what was found stays"
            browser.get(f"{address}#/slide/whole")
            wait(lambda: "whole" in text("#name"))
            wait(lambda: browser.execute_script("return performance.getEntriesByType('resource').some("
                 "entry => /tiles/.test(entry.name) && entry.responseStatus === 200)"))  # fmt: skip
            assert text("#fault") == ""
    finally:
        browser.quit()


def children(process: int) -> list[int]:
    """All processes below one."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            found += [(int(path.name), parent)]
    below = [child for child, parent in found if parent == process]
    return below + [grandchild for child in below for grandchild in children(child)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_command(tmp_path: Path, end: int) -> None:
    folder = write_cohort(tmp_path / "all", {"a": 0.9})
    flags = [f"--maps={folder / 'maps'}", f"--slides={folder / 'slides'}", f"--output={tmp_path / 'out'}"]
    command = [sys.executable, "-m", "scripts.cli.main", "review", *flags, "--browser=false"]
    environment = {**os.environ, "PYTHONPATH": bundle_root()}
    started = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert started.stdout is not None
    with started, started.stdout:
        found = re.fullmatch(r"review at (\S+)\n", started.stdout.readline())
        assert found
        with urllib.request.urlopen(f"{found[1]}slides/0") as answer:
            slide = json.load(answer)
        assert slide["fault"] == ""
        with urllib.request.urlopen(f"{found[1]}slides/0/{slide['version']}/tiles/1/0/0.jpg") as answer:
            assert answer.read(2) == b"\xff\xd8"
        running = children(started.pid)
        assert running
        if end == signal.SIGINT:
            os.killpg(started.pid, end)  # as a terminal does
        else:
            started.kill()
        started.wait(30)
    wait(lambda: not any(Path(f"/proc/{process}").exists() for process in running))
