"""The review in a browser: no errors, no other host, each key does what the help says, verdicts outlive a reload."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.browser import open_browser, set_screen
from helpers.review_cohort import HOSTILE, LONG, SHAPE, write_cohort
from helpers.review_server import served
from scripts.review.queue import QueueSettings

pytestmark = pytest.mark.integration

NUM_SLIDES = 100
MPP = 0.9


class Reader:
    """A person at the browser: presses keys, and waits until something holds."""

    def __init__(self, browser: Any, address: str, folder: Path) -> None:
        self.browser = browser
        self.address = address
        self.folder = folder

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def run(self, script: str, *values: Any) -> Any:
        return self.browser.execute_script(script, *values)

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def type(self, keys: str) -> None:
        """Press keys as fast as the browser takes them."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser, duration=0).send_keys(keys).perform()

    def wait(self, holds: Callable[[], Any], seconds: float = 20) -> Any:
        end = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < end, f"not within {seconds} s; the page says {self.text('#message')!r}"
            time.sleep(0.03)
        return found

    def text(self, selector: str) -> str:
        # in one step: the page may draw the element anew between finding and reading it
        return str(self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def said(self, text: str) -> None:
        self.wait(lambda: text in self.text("#said"))

    def open(self, name: str = "test_1") -> None:
        """Open a slide from the worklist, and wait for its tiles."""
        self.browser.get("about:blank")
        self.browser.get(self.address)
        self.wait(lambda: len(self.shown()) > 1)
        self.run("[...document.querySelectorAll('#slides li')].find(li => li.dataset.name === arguments[0])"
                 ".querySelector('a').click()", name)  # fmt: skip
        self.wait(lambda: self.run("return document.querySelectorAll('.mark').length") or self.text("#fault"))
        self.wait(lambda: self.place() is not None)

    def shown(self) -> list[str]:
        script = "return [...document.querySelectorAll('#slides li:not([hidden])')].map(item => item.dataset.name)"
        return list(self.run(script))

    def place(self) -> dict[str, float] | None:
        """Where the address says that the reader looks, once he rests."""
        query = self.browser.current_url.partition("#")[2].partition("?")[2]
        return {key: float(value) for key, value in (part.split("=") for part in query.split("&"))} if query else None

    def at(self, x: float, y: float) -> None:
        self.wait(lambda: (place := self.place()) and abs(place["x"] - x) < 3 and abs(place["y"] - y) < 3)

    def marks(self, name: str = "test_1") -> list[dict[str, Any]]:
        """What the file of verdicts holds."""
        features = json.loads((self.folder / "verdicts" / f"{name}.geojson").read_text(encoding="utf-8"))["features"]
        return [{**feature["properties"], "geometry": feature["geometry"]} for feature in features]

    def verdicts(self) -> list[str | None]:
        return [mark["verdict"] for mark in self.marks() if mark["source"] == "detection"]

    def drawn(self) -> list[dict[str, Any]]:
        return [mark for mark in self.marks() if mark["source"] == "drawn"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred slides; all but three are links to one file."""
    peaks = {"test_1": 0.9, HOSTILE: 0.7, LONG: 0.2, "blind": 0.6}
    folder = write_cohort(tmp_path_factory.mktemp("review") / "all", peaks, without_pixels="blind")
    sidecar = (folder / "maps" / "test_1.json").read_text(encoding="utf-8")
    for number in range(NUM_SLIDES - len(peaks)):
        name = f"slide_{number:02d}"
        (folder / "slides" / f"{name}.tif").symlink_to(folder / "slides" / f"{LONG}.tif")
        (folder / "maps" / f"{name}.npy").symlink_to(folder / "maps" / f"{LONG}.npy")
        (folder / "maps" / f"{name}.json").write_text(sidecar.replace("test_1", name), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def reader(folder: Path) -> Iterator[Reader]:
    browser = open_browser()
    try:
        with served(folder / "maps", folder / "slides", folder / "verdicts", folder / "truth") as address:
            yield Reader(browser, address, folder)
    finally:
        browser.quit()


@pytest.fixture
def opened(reader: Reader) -> Reader:
    set_screen(reader.browser, 1280, 900)
    reader.open()
    return reader


def test_pages_load_without_errors_and_without_another_host(reader: Reader) -> None:
    set_screen(reader.browser, 1280, 900)
    for kind in ("browser", "performance"):
        reader.browser.get_log(kind)
    reader.open()
    reader.press("j", "+", "h", "?")
    reader.wait(lambda: reader.find("#help").is_displayed())
    reader.wait(lambda: reader.run("return performance.getEntriesByType('resource').length") > 10)
    assert reader.browser.get_log("browser") == []
    entries = [json.loads(entry["message"])["message"] for entry in reader.browser.get_log("performance")]
    urls = [entry["params"]["request"]["url"] for entry in entries if entry["method"] == "Network.requestWillBeSent"]
    assert any("/tiles/" in url for url in urls)
    assert any("/map/" in url for url in urls)
    assert all(url.startswith((reader.address, "about:", "data:")) for url in urls), urls


def test_worklist_of_a_hundred_slides_is_searched_and_filtered(reader: Reader) -> None:
    from selenium.webdriver.support.select import Select

    set_screen(reader.browser, 1280, 900)
    reader.browser.get(reader.address)
    reader.wait(lambda: len(reader.shown()) == NUM_SLIDES)
    assert reader.shown()[:3] == ["test_1", HOSTILE, "blind"]
    assert reader.text("#shown") == f"{NUM_SLIDES} of {NUM_SLIDES} slides"
    images = "return [...document.querySelectorAll('#slides img')].map(image => image.naturalWidth > 0)"
    assert sum(reader.run(images)) < NUM_SLIDES, "thumbnails far below are not asked for"
    reader.find("#search").send_keys("SLIDE_0")
    assert reader.shown() == [f"slide_0{number}" for number in range(10)]
    reader.find("#search").clear()
    reader.find("#search").send_keys(" ")
    Select(reader.find("#which")).select_by_value("found")
    assert reader.shown() == [HOSTILE]


def test_hostile_name_is_text(reader: Reader) -> None:
    set_screen(reader.browser, 1280, 900)
    reader.open(HOSTILE)
    assert reader.text("#name") == f"{HOSTILE}.tif"
    assert HOSTILE in reader.browser.title
    assert not reader.browser.find_elements("css selector", "img[src=x]")
    reader.press("j", "t")
    reader.wait(lambda: (reader.folder / "verdicts" / f"{HOSTILE}.geojson").is_file())
    reader.wait(lambda: reader.marks(HOSTILE)[0]["verdict"] == "tumor")


def test_slide_without_pixels_says_so_and_shows_its_map(reader: Reader) -> None:
    reader.open("blind")
    assert "not among --slides" in reader.text("#fault")
    reader.wait(lambda: reader.run(IS_DRAWN))


IS_DRAWN = """const canvas = document.querySelector('#viewer .openseadragon-canvas canvas');
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some((value, index) => index % 4 === 3 && value > 0);"""


def test_marks_and_outlines_lie_where_the_map_says(opened: Reader) -> None:
    """Of the first lesion and the first detection, on the screen, against the place in the address."""
    place = opened.wait(opened.place)
    stage, lesion, mark = (
        opened.run("return (({left, top, width, height}) => [left, top, width, height])"
                   f"(document.querySelector('{selector}').getBoundingClientRect())")
        for selector in ("#viewer", ".overlay .outlines path", ".marks .mark circle")
    )  # fmt: skip
    scale = MPP / place["um"]
    left = stage[0] + stage[2] / 2 - (place["x"] + 0.5) * scale
    top = stage[1] + stage[3] / 2 - (place["y"] + 0.5) * scale
    assert lesion == pytest.approx([left + 800 * scale, top + 320 * scale, 384 * scale, 320 * scale], abs=2)
    center = mark[0] + mark[2] / 2, mark[1] + mark[3] / 2
    assert center == pytest.approx((left + 808.5 * scale, top + 328.5 * scale), abs=2)
    assert (stage[3] - 2) / SHAPE[0] > 0.5


def test_scale_bar_is_as_long_as_it_says(opened: Reader) -> None:
    number, unit = opened.text("#scale-label").split()
    width = opened.run("return document.querySelector('#scale-bar').getBoundingClientRect().width")
    um = float(number) * {"mm": 1000, "µm": 1}[unit]
    assert um == pytest.approx(width * opened.wait(opened.place)["um"], rel=0.03)


def test_an_address_leads_to_its_place(opened: Reader) -> None:
    opened.press("j")
    opened.at(808, 328)
    link = opened.browser.current_url
    assert "um=0.5" in link, "20x"
    opened.browser.get("about:blank")
    opened.browser.get(link)
    opened.wait(lambda: opened.run("return document.querySelectorAll('.mark').length"))
    opened.at(808, 328)
    opened.wait(lambda: opened.text("#scale-label"))
    width = opened.run("return document.querySelector('#scale-bar').getBoundingClientRect().width")
    assert width * 0.5 == pytest.approx(float(opened.text("#scale-label").split()[0]), rel=0.05), "at 20x again"


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (1280, 500)])
def test_an_address_without_a_place_shows_the_whole_slide(reader: Reader, width: int, height: int) -> None:
    """The page is read anew at this address, so the slide is the first thing that it shows."""
    set_screen(reader.browser, width, height)
    reader.browser.get("about:blank")
    reader.browser.get(f"{reader.address}#/slide/test_1")
    reader.wait(lambda: reader.place() is not None)
    box = "const {width, height} = document.querySelector('#viewer').getBoundingClientRect(); return [height, width]"
    shown = [side * reader.place()["um"] / MPP for side in reader.run(box)]  # type: ignore[index]
    assert all(side >= whole - 1 for side, whole in zip(shown, SHAPE, strict=True)), (shown, SHAPE)


def test_keys_move_and_show(opened: Reader) -> None:
    from selenium.webdriver.common.keys import Keys

    opened.press("j", "j")
    opened.said("Detection 2")
    opened.press("k")
    opened.said("Detection 1")
    opened.press("k")
    opened.said("No earlier detection.")
    opened.at(808, 328)
    opened.press("+")
    opened.wait(lambda: opened.place()["um"] == pytest.approx(0.25, rel=0.02))  # type: ignore[index]
    opened.press("-")
    opened.wait(lambda: opened.place()["um"] == pytest.approx(0.5, rel=0.02))  # type: ignore[index]
    x = opened.place()["x"]  # type: ignore[index]
    opened.press(Keys.ARROW_RIGHT)
    opened.wait(lambda: opened.place()["x"] > x + 50)  # type: ignore[index]
    opened.press("0")
    opened.wait(lambda: opened.place()["um"] > 1)  # type: ignore[index]
    for key, layer in (("o", ".overlay .outlines"), ("b", ".overlay .marks"), ("g", ".overlay .truth")):
        for expected in ("none", "inline"):
            opened.press(key)
            opened.wait(lambda layer=layer, to=expected: opened.find(layer).get_attribute("display") == to)
    opened.press("h")
    assert not opened.find("#show-map").is_selected()
    opened.press("h", "]")
    opened.wait(lambda: opened.text("#name") == f"{HOSTILE}.tif")
    opened.press("[")
    opened.wait(lambda: opened.text("#name") == "test_1.tif")
    opened.press("?")
    opened.wait(lambda: opened.find("#help").is_displayed())
    opened.press("j")
    assert "Detection" not in opened.text("#verdict-is")
    opened.press(Keys.ESCAPE, "l")
    opened.wait(lambda: opened.find("#slides").is_displayed())


def test_verdicts_are_given_by_keys_and_outlive_a_reload(opened: Reader) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    opened.press("j", "t")
    opened.said("Detection 2")
    opened.press("n")
    opened.said("Detection 3")
    opened.press("u")
    opened.said("Detection 4")
    assert opened.verdicts()[:4] == ["tumor", "not_tumor", "unsure", None]
    opened.press("z")
    opened.said("Detection 3, no verdict")
    assert opened.verdicts()[:4] == ["tumor", "not_tumor", None, None]
    opened.press("c")
    opened.wait(lambda: opened.find("#comment-dialog").is_displayed())
    opened.press("a", " ", "v", "e", "s", "s", "e", "l", ",", " ", "j", "t")
    ActionChains(opened.browser).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    opened.wait(lambda: opened.marks()[2]["comment"] == "a vessel, jt")
    opened.browser.refresh()
    opened.wait(lambda: opened.run("return document.querySelectorAll('.mark.tumor').length") == 1)
    assert "2 of " in opened.text("#found-title")
    opened.press("j", "x")
    opened.wait(lambda: opened.verdicts()[0] is None)
    opened.press("z")
    opened.wait(lambda: opened.verdicts()[0] == "tumor")
    opened.press("l")
    opened.wait(lambda: "2 of" in opened.text("#slides li:first-child .state"))


def test_a_verdict_typed_while_one_is_saved_goes_to_the_next_detection(opened: Reader) -> None:
    wanted = opened.verdicts()
    second, third = [index for index, verdict in enumerate(wanted) if index and verdict is None][:2]
    opened.press("j")
    opened.said("Detection 1")
    opened.type("nut")
    wanted[0], wanted[second], wanted[third] = "not_tumor", "unsure", "tumor"
    opened.wait(lambda: opened.verdicts() == wanted)
    opened.type("zzz")
    opened.wait(lambda: opened.verdicts()[third] is None)


def test_what_was_missed_is_drawn_moved_and_deleted_by_keys(opened: Reader) -> None:
    from selenium.webdriver.common.keys import Keys

    opened.press("p", " ", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, " ", Keys.ARROW_DOWN, Keys.ARROW_DOWN, " ")
    opened.press(Keys.ARROW_LEFT, " ", Keys.BACKSPACE, Keys.ENTER)
    opened.said("kept as tumor")
    (drawn,) = opened.drawn()
    (ring,) = drawn["geometry"]["coordinates"]
    assert len(ring) == 4, "closed"
    (x, y), (right, _), (_, down), _ = ring
    assert right > x + 50
    assert down > y + 50
    opened.browser.refresh()
    opened.wait(lambda: opened.run("return document.querySelectorAll('.outlines .line.drawn').length") == 1)
    while "Drawn" not in opened.text("#verdict-of"):
        before = opened.text("#verdict-of")
        opened.press("s")
        opened.wait(lambda before=before: opened.text("#verdict-of") != before)
    opened.press("m", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ENTER)
    opened.wait(lambda: opened.drawn()[0]["geometry"]["coordinates"][0][0][0] > x)
    assert opened.drawn()[0]["geometry"]["coordinates"][0][0][1] == y
    opened.press("n")
    opened.wait(lambda: opened.drawn()[0]["verdict"] == "not_tumor")
    opened.press(Keys.DELETE)
    opened.wait(lambda: not opened.drawn())
    opened.press("z")
    opened.wait(lambda: len(opened.drawn()) == 1)
    opened.press("z", "z", "z", "z")
    opened.wait(lambda: not opened.drawn())


def test_outlines_are_drawn_and_moved_by_pointer(opened: Reader) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    viewer = opened.find("#viewer")
    opened.find("#draw").click()
    for right, down in ((-150, -60), (-50, -60), (-60, 90), (-150, -60)):
        ActionChains(opened.browser, duration=20).move_to_element_with_offset(viewer, right, down).click().perform()
        time.sleep(0.35)  # two clicks in quick succession are a double click
    opened.said("kept as tumor")
    ring = opened.drawn()[0]["geometry"]["coordinates"][0]
    assert len(ring) == 4
    opened.find("#move").click()
    ActionChains(opened.browser).move_to_element_with_offset(viewer, -100, -30).click_and_hold().move_by_offset(
        40, 25
    ).release().perform()
    opened.press("\ue007")
    opened.wait(lambda: opened.drawn()[0]["geometry"]["coordinates"][0] != ring)
    moved = opened.drawn()[0]["geometry"]["coordinates"][0]
    shifts = {(x - before_x, y - before_y) for (x, y), (before_x, before_y) in zip(moved, ring, strict=True)}
    assert len({round(x / 3) for x, _ in shifts}) == 1
    assert all(x > 20 and y > 10 for x, y in shifts)
    opened.find("#delete").click()
    opened.wait(lambda: not opened.drawn())


def test_what_another_program_changed_is_shown_and_kept(opened: Reader) -> None:
    path = opened.folder / "verdicts" / "test_1.geojson"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["features"][5]["properties"]["classification"] = {"name": "Not tumor"}
    path.write_text(json.dumps(content), encoding="utf-8")
    opened.run("window.dispatchEvent(new Event('focus'))")
    opened.wait(lambda: "Another program" in opened.text("#message-text"))
    opened.wait(lambda: opened.run("return document.querySelectorAll('.found .not_tumor').length") >= 1)
    opened.press("j")
    opened.said("Detection 1")
    opened.press("n")
    opened.wait(lambda: opened.verdicts()[0] == "not_tumor")
    assert opened.verdicts()[5] == "not_tumor"


def test_layers_follow_their_sliders(opened: Reader) -> None:
    from selenium.webdriver.common.keys import Keys

    opened.find("#above").send_keys(Keys.END)
    assert opened.text("output[for=above]") == "1.00"
    asked = "return performance.getEntriesByType('resource').some(entry => entry.name.includes('/map/100/'))"
    opened.wait(lambda: opened.run(asked))
    opened.find("#opacity").send_keys(Keys.HOME)
    assert opened.text("output[for=opacity]") == "0%"


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1600])
def test_nothing_is_wider_than_the_screen(reader: Reader, width: int) -> None:
    set_screen(reader.browser, width, 800)
    reader.browser.get(reader.address)
    reader.wait(lambda: len(reader.shown()) > 1)
    assert reader.run("return document.documentElement.scrollWidth") <= width
    reader.open(HOSTILE)
    assert reader.run("return document.documentElement.scrollWidth") <= width
    assert reader.run("return document.querySelector('#viewer').getBoundingClientRect().width") >= min(width, 600) * 0.6
    assert all(button.is_displayed() for button in reader.browser.find_elements("css selector", "#verdicts button"))


def test_queue_leads_through_the_slides(reader: Reader, folder: Path) -> None:
    """Two detections of two slides, the third of another: j goes on where the last verdict was given."""
    set_screen(reader.browser, 1280, 900)
    asking = QueueSettings("suspicion", 3)
    with served(folder / "maps", folder / "slides", folder / "queued", None, asking) as address:
        asked = Reader(reader.browser, address, folder)
        asked.browser.get("about:blank")
        asked.browser.get(address)
        asked.wait(lambda: asked.text("#start-text") == "3 of 3 to judge: go to the next")
        asked.press("j")
        asked.wait(lambda: asked.text("#name") == "test_1.tif")
        asked.said("Detection 1")
        asked.type("tn")  # what is typed before the next slide is there counts for none
        asked.wait(lambda: asked.text("#name") == f"{HOSTILE}.tif")
        asked.said("Detection 1, no verdict")
        asked.press("k")
        asked.wait(lambda: asked.text("#name") == "test_1.tif")
        asked.said("Detection 1, tumor")
        asked.press("n")
        asked.wait(lambda: asked.text("#name") == f"{HOSTILE}.tif")
        asked.said("Detection 1, no verdict")
        asked.press("l")
        asked.wait(lambda: asked.text("#start-text") == "2 of 3 to judge: go to the next")
        asked.press("j")
        asked.wait(lambda: asked.text("#name") == f"{HOSTILE}.tif")
        asked.said("Detection 1, no verdict")
        asked.press("u")
        asked.wait(lambda: asked.text("#name") == "blind.tif")
        asked.said("Detection 1")
        asked.press("n")
        asked.said("Each detection that was asked about has a verdict")
        asked.browser.get("about:blank")
