from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from scripts.errors import InputError
from scripts.review.caches import Cache, SlideHandles
from scripts.slides.pyramid import write_pyramid


def test_cache_makes_once_and_drops_the_least_recently_used() -> None:
    made: list[int] = []

    def make(key: int) -> int:
        made.append(key)
        time.sleep(0.02)
        return key * 10

    cache = Cache(make, 2)
    threads = [threading.Thread(target=cache.get, args=(1,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    assert [cache.get(key) for key in (2, 1, 3, 1, 2)] == [20, 10, 30, 10, 20]
    assert made == [1, 2, 3, 2]
    assert len(cache) == 2


def test_cache_keeps_no_failure() -> None:
    answers = iter([InputError("not yet"), 5])

    def make(_: str) -> int:
        answer = next(answers)
        if isinstance(answer, InputError):
            raise answer
        return answer

    cache = Cache(make, 2)
    with pytest.raises(InputError, match="not yet"):
        cache.get("a")
    assert cache.get("a") == 5


@pytest.fixture
def slides(tmp_path: Path) -> list[Path]:
    image = np.full((70, 110, 3), 200, dtype=np.uint8)
    image[20:40, 30:60] = (160, 60, 120)
    for number in range(5):
        write_pyramid(tmp_path / f"{number}.tif", image, 0.5, downsamples=(1, 2), tile_size=32)
    return sorted(tmp_path.glob("*.tif"))


def test_few_slides_stay_open(slides: list[Path]) -> None:
    handles = SlideHandles(max_open=2)
    for path in [*slides, *slides]:
        with handles.borrow(path, 0.25) as slide:
            assert slide.mpp == 0.25
        assert handles.num_open <= 2
    with handles.borrow(slides[-1], 0.25) as again:
        assert again is slide, "the one used last is still open"
    handles.close()
    assert handles.num_open == 0


def test_slides_being_read_stay_open(slides: list[Path]) -> None:
    handles = SlideHandles(max_open=1)
    with handles.borrow(slides[0], 0.5) as first:
        with handles.borrow(slides[1], 0.5), handles.borrow(slides[2], 0.5):
            assert handles.num_open == 3
        first.read_level((0, 0), (5, 5), 0)
    assert handles.num_open == 1


def test_one_thread_reads_a_slide_at_a_time(slides: list[Path]) -> None:
    handles, inside, most = SlideHandles(), 0, 0
    lock = threading.Lock()

    def read() -> None:
        nonlocal inside, most
        with handles.borrow(slides[0], 0.5):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.005)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert handles.num_open == 1


def test_what_cannot_be_opened_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("no slide")
    handles = SlideHandles()
    for _ in range(2):
        with pytest.raises(InputError, match=r"a\.tif"), handles.borrow(tmp_path / "a.tif", 0.5):
            pass
        assert handles.num_open == 0
