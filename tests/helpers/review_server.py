"""A review that is served in a thread, as the command serves it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.review.guard import new_token
from scripts.review.queue import QueueSettings
from scripts.review.run import start_session
from scripts.review.server import make_app
from scripts.review.serving import host_names, make_server, open_port
from scripts.scoring.settings import ScoreSettings


@contextmanager
def served(
    maps: Path, slides: Path, output: Path, truth: Path | None = None, asking: QueueSettings | None = None
) -> Iterator[str]:
    """Serve a review; yields the address of its page."""
    with open_port("127.0.0.1", 0) as listener:
        session = start_session(maps, [slides], output, truth, ScoreSettings(nms_radius_um=60), asking=asking)
        port, token = listener.getsockname()[1], new_token()
        server = make_server(make_app(session, token, host_names("127.0.0.1", port)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}/{token}/"
        finally:
            server.should_exit = True
            thread.join()
            session.close()
