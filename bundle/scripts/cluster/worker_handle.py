"""A process that a run on a cluster has started: what runs there, and how the master sees it."""

from __future__ import annotations

import time
from typing import Any


class WorkerHandle:
    """A process of the cluster as the master sees it.

    Attributes:
        introduction: comes when it has started.
        is_ready: it has started.
        name: for people, once it has.
        since: when it was to start, by the monotonic clock.
        slides: paths in work and ahead, by what Ray gives back for them.
    """

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.since = time.monotonic()
        self.introduction: Any = actor.introduce.remote()
        self.slides: dict[Any, str] = {}
        self.is_ready = False
        self.name = ""
        self._host = ""
        self._num_slides = 0
        self._seconds = 0.0
        self._fraction = 0.0
        self._asked: Any = None

    def refs(self) -> list[Any]:
        """What is waited for."""
        return list(self.slides) if self.is_ready else [self.introduction]

    def welcome(self, found: dict[str, Any]) -> None:
        """It has started."""
        self.is_ready = True
        self._host = found["host"]
        self.name = f"process {found['process']} on {self._host}"

    def give(self, path: str) -> None:
        """Hand it a slide."""
        self.slides[self.actor.infer.remote(path, self.actor.stage.remote(path))] = path

    def finish(self, ref: Any, found: dict[str, Any]) -> str:
        """It has done with a slide; returns its path."""
        self._num_slides += found["state"] == "done"
        self._seconds += found["seconds"]
        self._fraction = 0.0
        return self.slides.pop(ref)

    def poll(self, ray: Any) -> float:
        """How much of the slide in work is done, as last heard."""
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            asked, self._asked = self._asked, None
            try:
                self._fraction = ray.get(asked)
            except ray.exceptions.RayError:  # a lost process is noticed by its slides
                return 0.0
        if self._asked is None and self.is_ready:
            self._asked = self.actor.fraction.remote()
        return self._fraction if self.slides else 0.0

    def summary(self) -> dict[str, Any]:
        """For ``run.json``."""
        return {
            "host": self._host,
            "slides": self._num_slides,
            "seconds": round(self._seconds, 3),
            "lost": False,
        }


def actor_class() -> Any:
    """The class that Ray starts elsewhere; it is made here so that Ray sends it, and finds the package there."""
    import ray

    class Actor:
        def __init__(self, config: dict[str, Any], folder: str) -> None:
            self.arguments = config, folder
            self.worker: Any = None

        def introduce(self) -> Any:  # the work is done here, since Ray tells little of what goes wrong above
            import importlib
            import sys

            sys.path.insert(0, importlib.import_module("pathology_tumor_detection.scripts").bundle_root())
            from scripts.cluster.worker import start_worker  # as configs name it

            self.worker, about = start_worker(*self.arguments)
            return about

        @ray.method(concurrency_group="stage")
        def stage(self, path: str) -> Any:
            return self.worker.stage(path)

        def infer(self, path: str, staged: Any) -> Any:
            return self.worker.infer(path, staged)

        @ray.method(concurrency_group="report")
        def fraction(self) -> float:
            return float(self.worker.fraction())

    return Actor
