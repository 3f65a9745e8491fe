"""The report in a browser: it loads without errors and requests, its controls work, small screens and keyboards do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.browser import open_browser, set_screen
from helpers.made_maps import write_map_of, write_truth_of
from scripts.cli import main as cli
from scripts.slides.pyramid import write_pyramid

pytestmark = pytest.mark.integration

SHAPE = (900, 1300)
STRIDE = 16
MPP = 0.9  # coarser than the model, so that a small slide holds a lesion that counts
HOSTILE = "tumor <img src=x onerror=alert(1)>&\"'"
LONG = "normal_" + "n" * 120


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of four slides: with a lesion, normal, of a hostile name, of a long name and without pixels."""
    folder = tmp_path_factory.mktemp("report")
    rng = np.random.default_rng(0)
    for name in ("slides", "maps", "truth"):
        (folder / name).mkdir()
    for name, peak in (("test_001", 0.9), ("normal_002", 0.6), (HOSTILE, 0.7), (LONG, 0.2)):
        prob_map = rng.uniform(0.01, 0.1, (57, 82)).astype(np.float32)
        prob_map[20:40, 50:74] = peak
        write_map_of(folder / "maps", name, prob_map, SHAPE, STRIDE, MPP)
        if name == "test_001":
            write_truth_of(folder / "truth", name, prob_map > 0.5)
        if name != LONG:
            image = np.full((*SHAPE, 3), 240, dtype=np.uint8)
            image[100:800, 200:1200] = rng.integers(90, 220, (700, 1000, 3), dtype=np.uint8)
            write_pyramid(folder / "slides" / f"{name}.tif", image, MPP)
    folders = [f"--{name}={folder / name}" for name in ("maps", "slides", "truth")]
    normal = f"--normal={HOSTILE}"
    settings = ["--num_resamples=20", "--num_crops=2", "--nms_radius_um=60"]
    cli.main(["report", *folders, normal, *settings, f"--output={folder / 'output'}"])
    return folder / "output" / "report.html"


@pytest.fixture(scope="module")
def browser() -> Any:
    found = open_browser()
    yield found
    found.quit()


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    """The page on a desktop's screen."""
    set_screen(browser, 1280, 900)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(page.as_uri())
    return browser


def css(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def names(browser: Any) -> list[str]:
    return [cell.text for cell in browser.find_elements("css selector", "#cohort-table tbody th")]


def test_page_loads_without_errors_and_requests(opened: Any, page: Path) -> None:
    assert opened.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    urls = [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in urls, "requests are seen"
    assert all(url == page.as_uri() or url.startswith("data:") for url in urls)
    assert not opened.execute_script("return [...document.images].filter(image => !image.naturalWidth).length")


def test_hostile_name_is_text(opened: Any) -> None:
    assert f"{HOSTILE}.tif" in names(opened)
    assert not opened.find_elements("css selector", "img[src=x]")
    assert opened.execute_script("return document.querySelectorAll('script').length") == 1


def test_slides_are_sorted_by_suspicion(opened: Any) -> None:
    assert names(opened) == [f"{name}.tif" for name in ("test_001", HOSTILE, "normal_002", LONG)]


def test_slider_changes_the_opacity_of_the_heatmap(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    def opacity() -> float:
        return float(opened.execute_script("return getComputedStyle(document.querySelector('.heat')).opacity"))

    slider = css(opened, "#slide-1 input[type=range]")
    assert opacity() == pytest.approx(0.7)
    slider.send_keys(Keys.ARROW_LEFT)
    assert opacity() == pytest.approx(0.65)
    assert css(opened, "#slide-1 output").text == "65%"
    slider.send_keys(Keys.HOME)
    assert opacity() == 0
    others = "return getComputedStyle(document.querySelector('#slide-2 .heat')).opacity"
    assert float(opened.execute_script(others)) == pytest.approx(0.7), "each slide has its own"


@pytest.mark.parametrize("layer", ["truth", "marks"])
def test_layer_can_be_taken_off_by_keyboard(opened: Any, layer: str) -> None:
    shown = css(opened, f"#slide-1 .{layer}")
    assert shown.is_displayed()
    css(opened, f"#slide-1 input[data-layer={layer}]").send_keys(" ")
    assert not shown.is_displayed()


def test_heatmap_and_truth_lie_where_the_map_says(opened: Any) -> None:
    """The map's block of high values, the truth around it and the first detection, in shares of the slide."""
    box = "return (({left, top, width, height}) => [left, top, width, height])(%s.getBoundingClientRect())"
    stage, heat, truth, mark = (
        opened.execute_script(box % f"document.querySelector('#slide-1 {selector}')")
        for selector in (".stage", ".heat", ".truth path", ".marks li")
    )
    assert heat[:2] == pytest.approx([stage[0] + 1, stage[1] + 1], abs=0.6)
    pixel = (stage[2] - 2) * STRIDE / SHAPE[1]
    assert heat[2:] == pytest.approx([84 * pixel, 60 * pixel], rel=0.005), "57 x 82, brought to multiples of 4"
    expected = [50 * pixel, 20 * pixel, 24 * pixel, 20 * pixel]
    found = [truth[0] - stage[0] - 1, truth[1] - stage[1] - 1, truth[2], truth[3]]
    assert found == pytest.approx(expected, abs=0.75 * pixel)
    center = (mark[0] + mark[2] / 2 - stage[0] - 1) / pixel, (mark[1] + mark[3] / 2 - stage[1] - 1) / pixel
    assert center == pytest.approx((50.5, 20.5), abs=0.5), "the first of equal pixels in reading order"


def test_table_sorts_by_keyboard(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    heading = css(opened, "#cohort-table thead th:nth-child(2)")
    css(opened, "#cohort-table thead th:nth-child(1) button").send_keys(Keys.TAB)
    focused = opened.switch_to.active_element
    assert focused.text.startswith("Slide")
    outline = opened.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "where the focus is can be seen"
    focused.send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "ascending"
    ascending = names(opened)
    assert ascending[0] == "normal_002.tif"
    assert ascending[-1] == f"{HOSTILE}.tif"
    focused.send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "descending"
    assert names(opened) == ascending[::-1]


def test_names_can_be_searched(opened: Any) -> None:
    css(opened, "#filter").send_keys("TEST")
    assert [name for name in names(opened) if name] == ["test_001.tif"]
    assert css(opened, "#filtered").text == "1 of 4 slides"


def place(browser: Any) -> str:
    """The slide or the finding that has the focus: the ids of the page's anchors."""
    script = """const at = document.activeElement.closest(".finding, .slide");
        return at ? at.dataset.mark ?? at.id : "";"""
    return str(browser.execute_script(script))


def press(browser: Any, *keys: str) -> list[str]:
    """Press keys one after the other; where each led."""
    from selenium.webdriver.common.action_chains import ActionChains

    found = []
    for key in keys:
        ActionChains(browser).send_keys(key).perform()
        found.append(place(browser))
    return found


def test_keys_lead_to_slides(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    assert css(opened, ".keys").is_displayed()
    assert press(opened, "n", "n", Keys.ARROW_RIGHT, "p", Keys.ARROW_LEFT) == [f"slide-{n}" for n in (1, 2, 3, 2, 1)]
    in_view = "return document.activeElement.getBoundingClientRect().top"
    assert 0 <= opened.execute_script(in_view) < 200
    assert opened.current_url.endswith("#slide-1")
    assert press(opened, "p") == ["slide-1"], "there is none before"
    assert css(opened, "#moved").get_attribute("textContent") == "No earlier slide."
    assert press(opened, "n", "n", "n", "n") == [f"slide-{n}" for n in (2, 3, 4, 4)]
    assert css(opened, "#moved").get_attribute("textContent") == "No further slide."


def test_keys_lead_to_findings(opened: Any) -> None:
    """Each slide with pixels has one detection or more, of which at most two are shown."""
    marks = opened.execute_script("return [...document.querySelectorAll('.finding')].map(item => item.dataset.mark)")
    assert len(marks) >= 3
    assert press(opened, *"j" * len(marks)) == marks
    assert opened.execute_script("return document.querySelector('.marks li:target').id") == marks[-1]
    assert press(opened, "j") == marks[-1:]
    assert press(opened, *"k" * (len(marks) - 1)) == marks[-2::-1]
    assert press(opened, "n", "j", "p") == ["slide-2", next(mark for mark in marks if mark.startswith("s2")), "slide-1"]


def test_keys_start_where_the_reader_is(opened: Any) -> None:
    opened.execute_script("document.querySelector('#slide-2').scrollIntoView({behavior: 'instant'})")
    opened.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert press(opened, "n") == ["slide-3"]


def test_keys_leave_fields_alone_and_can_be_switched_off(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    css(opened, "#filter").send_keys("n", Keys.ARROW_LEFT)
    assert css(opened, "#filter").get_attribute("value") == "n"
    assert place(opened) == ""
    css(opened, "#keys").send_keys(" ")
    assert press(opened, "n", "j") == ["", ""]
    css(opened, "#keys").send_keys(" ")
    assert press(opened, "n") == ["slide-1"]


def test_sizes_lie_at_the_outlines(opened: Any) -> None:
    """20 x 24 pixels of 14.4 µm, at the lower edge of the outline, go with the layer."""
    (size,) = opened.find_elements("css selector", "#slide-1 .truth-sizes li")
    assert size.text == "T1 0.45 mm"
    box = "return arguments[0].getBoundingClientRect().%s"
    outline = css(opened, "#slide-1 .truth path")
    bottom, top = opened.execute_script(box % "bottom", outline), opened.execute_script(box % "top", size)
    assert top == pytest.approx(bottom + 3, abs=6)
    rows = [row.text for row in opened.find_elements("css selector", "#slide-1 .lesions tbody tr")]
    assert [row.split()[0] for row in rows] == ["L1", "T1"]
    assert rows[0].startswith("L1 0.45 mm 0.0995 mm²")
    css(opened, "#slide-1 input[data-layer=truth]").send_keys(" ")
    assert not size.is_displayed()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(opened: Any, width: int) -> None:
    set_screen(opened, width, 800)
    show_all = "document.querySelectorAll('.slide').forEach(slide => slide.style.contentVisibility = 'visible');"
    assert opened.execute_script(f"{show_all} return document.documentElement.scrollWidth") <= width
    ends = (
        "return Math.max(...[...document.querySelectorAll('.columns')].map(part => part.getBoundingClientRect().right))"
    )
    assert opened.execute_script(ends) <= width, "a slide's columns reach beyond the screen, which may then be scrolled"


def test_crops_have_the_networks_pixels(opened: Any) -> None:
    script = "return [...document.querySelectorAll('#slide-1 .field img')].map(i => [i.naturalWidth, i.naturalHeight])"
    assert opened.execute_script(script) == [[224, 224]] * 4
    assert css(opened, "#slide-1 .field .bar").text == "20 µm"


def test_slide_without_pixels_says_so(opened: Any) -> None:
    article = css(opened, "#slide-4")
    assert "was not found" in article.text
    assert not article.find_elements("css selector", ".field")
    assert article.find_elements("css selector", "img.extent")
