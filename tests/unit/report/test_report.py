"""The report step: what is on the page with and without truth, which slides it shows, how large it can get."""

from __future__ import annotations

import html
import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest

from helpers.made_maps import write_map_of, write_truth_of
from scripts.cohort.pairing import pair_truth
from scripts.errors import InputError
from scripts.maps.files import read_map
from scripts.masks.truth import read_truth
from scripts.report import report as report_module
from scripts.report.crops import CROP_BYTES
from scripts.report.overlays import HEAT_BYTES
from scripts.report.report import PAGE, ReportSettings, write_report
from scripts.report.slide_views import THUMBNAIL_BYTES
from scripts.scoring import evaluation as evaluation_module
from scripts.scoring import settings as settings_module
from scripts.scoring import slides as slides_module
from scripts.scoring.settings import ScoreSettings
from scripts.slides.pyramid import write_pyramid

SHAPE, STRIDE, MPP = (700, 1100), 16, 0.9
QUICK = ScoreSettings(nms_radius_um=60, num_resamples=10)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Three maps, two of whose slides are there: pure noise, so that no picture of them is small."""
    rng = np.random.default_rng(0)
    for name in ("maps", "slides", "truth"):
        (tmp_path / name).mkdir()
    for name, peak in (("a", 0.6), ("b", 0.9), ("normal_c", 0.7)):
        prob_map = rng.uniform(0.01, 0.4, (44, 69)).astype(np.float32)
        prob_map[10:34, 20:50] = peak
        write_map_of(tmp_path / "maps", name, prob_map, SHAPE, STRIDE, MPP)
        write_truth_of(tmp_path / "truth", name, prob_map > 0.85)
        if name != "normal_c":
            image = rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
            write_pyramid(tmp_path / "slides" / f"{name.upper()}.tif", image, MPP, compression="zlib")
    return tmp_path


def page(study: Path, **arguments: object) -> str:
    summary = write_report(study / "maps", study / "output", **arguments)  # type: ignore[arg-type]
    text = (study / "output" / PAGE).read_text(encoding="utf-8")
    assert str(study / "output" / PAGE) in summary
    return html.unescape(text)


def row_names(text: str) -> list[str]:
    table = text.split('id="cohort-table"')[1].split("</table>")[0]
    return re.findall(r'href="#slide-\d+">([^<]+)<', table)


def test_page_without_truth_has_no_scores(study: Path) -> None:
    text = page(study, slides=[study / "slides"])
    assert row_names(text) == ["b.tif", "normal_c.tif", "a.tif"], "by suspicion"
    assert not re.search(r"FROC|<svg class=\"truth\"|outside of the truth|[Ll]esions found", text)
    assert text.count('class="tissue"') == 2
    assert text.count('class="extent"') == 1
    assert "slides shown without their pixels, see there: normal_c.tif" in text
    assert [path.name for path in (study / "output").iterdir()] == [PAGE]


def test_page_with_truth_has_scores_and_what_froc_writes(study: Path) -> None:
    text = page(study, slides=[study / "slides"], truth=study / "truth", scoring=QUICK)
    assert text.count('class="drawing"') == 3
    assert text.count('<svg class="truth"') == 1
    assert "1 of 1 lesion found" in text
    assert "outside of the truth" in text
    assert {"froc.json", "froc.png", "detections", PAGE} <= {path.name for path in (study / "output").iterdir()}


def test_page_states_what_the_network_of_each_map_saw(study: Path) -> None:
    for name, told in (("a", {"model_mpp": 0.972, "patch_size": 96}), ("b", {"model_mpp": 0.25, "patch_size": 160})):
        sidecar = study / "maps" / f"{name}.json"
        sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **told}))
    text = page(study, slides=[study / "slides"])
    assert re.findall(r"network's patch: ([^<]+)<", text) == [
        "160 px at 0.25 µm per pixel",
        "not stated, shown as 224 px at 0.243 µm per pixel",
        "96 px at 0.972 µm per pixel",
    ]
    fields = re.findall(r'alt="Detection 1 of (\w)\.tif, (\d+) µm wide"', text)
    assert fields == [("b", str(round(160 * 0.25))), ("a", str(round(96 * MPP)))], "level 0 is near enough to 0.972 µm"
    for patch in ("0.25 µm per pixel, patches of 160 px", "0.972 µm per pixel, patches of 96 px"):
        assert patch in text, "in the list at the end"
    assert "at 40x" not in text


def test_each_map_and_each_truth_is_read_once(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    paired: list[int] = []
    for module in (report_module, slides_module, settings_module):
        monkeypatch.setattr(module, "read_map", lambda info: read.append(info.name) or read_map(info))
    monkeypatch.setattr(
        slides_module, "read_truth", lambda path, *rest: read.append(path.name) or read_truth(path, *rest)
    )
    monkeypatch.setattr(evaluation_module, "pair_truth", lambda *given: paired.append(1) or pair_truth(*given))
    page(study, truth=study / "truth", exclude="a", scoring=QUICK)
    assert sorted(read) == ["a", "b", "b.png", "normal_c", "normal_c.png"], "a is shown, so its map is read"
    assert paired == [1]


def test_excluded_slide_is_shown_and_not_scored(study: Path) -> None:
    text = page(study, truth=study / "truth", exclude="a", scoring=QUICK)
    assert row_names(text) == ["b.tif", "normal_c.tif", "a.tif"]
    assert text.count("not scored") == 1


def test_slides_beyond_the_limit_are_in_the_table_alone(study: Path) -> None:
    text = page(study, slides=[study / "slides"], settings=ReportSettings(max_slides=1, num_crops=0))
    assert len(row_names(text)) == 3
    assert text.count('class="heat"') == 1
    assert "slides in the table alone, without pictures: 2;" in text
    assert 'class="field"' not in text


def test_slide_that_cannot_be_read_is_a_warning(study: Path, caplog: pytest.LogCaptureFixture) -> None:
    (study / "slides" / "B.tif").write_bytes(b"no slide")
    with caplog.at_level(logging.WARNING):
        text = page(study, slides=[study / "slides"])
    assert "The slide cannot be shown:" in text
    assert "B.tif: cannot be opened as a slide" in text
    assert "slides shown without their pixels" in caplog.text


@pytest.mark.parametrize("has_truth", [False, True])
def test_slide_without_tissue_is_not_shown_as_normal(
    study: Path, caplog: pytest.LogCaptureFixture, has_truth: bool
) -> None:
    changes = {"num_positions": 0, "notes": ["no tissue found: it is <fat>"]}
    write_map_of(study / "maps", "a", np.zeros((44, 69), np.float32), SHAPE, STRIDE, MPP, changes)
    text = page(study, truth=study / "truth" if has_truth else None, scoring=QUICK)
    row = text.split('id="cohort-table"')[1].split("</table>")[0].split(">a.tif<")[1]
    assert 'data-value="-1">no tissue found</td>' in row
    assert row.index("no tissue found") < row.index("</tr>")
    article = text.split('aria-labelledby="slide-3-title"')[1].split("</article>")[0]
    assert "<strong>no tissue found</strong>" in article
    assert '<p class="note">no tissue found: it is <fat></p>' in article
    assert "suspicion" not in article
    warning = "no tissue found on 1 of 3 slides, so 0 everywhere in the map: a.tif"
    assert f"<li>{warning}</li>" in text
    assert warning in caplog.messages


@pytest.mark.parametrize("truth", [None, "truth"])
def test_slides_without_a_map_have_rows(study: Path, truth: str | None, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "normal_c"):
        for path in (study / "maps").glob(f"{name}.*"):
            path.rename(study / path.name)
    failed = [{"slide": "slides/<c>.tif", "reason": "slides/<c>.tif: no resolution"}]
    (study / "maps" / "run.json").write_text(json.dumps({"slides_failed": failed}))
    arguments = {"truth": study / truth, "scoring": QUICK} if truth else {}
    text = page(study, slides=[study / "slides"], **arguments)
    rows = text.split('id="cohort-table"')[1].split("<tbody>")[1].split("</tbody>")[0].split("</tr>")[:-1]
    assert [re.findall(r'data-value="([^"]*\.tif)"', row) for row in rows] == [["b.tif"], ["<c>.tif"], ["A.tif"]]
    assert "slides/<c>.tif: no resolution" in rows[1]
    assert ["no map" in row for row in rows] == [False, True, True]
    assert len({len(re.findall("<t[dh]", row)) for row in rows}) == 1, "as many cells, which sorting needs"
    assert "2 slides have no map, nothing is known of them: <c>.tif, A.tif" in text
    assert "2 slides have no map" in caplog.text


def test_title_and_note_are_shown(study: Path) -> None:
    text = page(study, settings=ReportSettings(title="Ward 7 <x>", note="Synthetic"))
    assert "<h1>Ward 7 <x></h1>" in text
    assert '<p class="note">Synthetic</p>' in text
    assert "For research, not for diagnosis" in text


@pytest.mark.parametrize("num_crops", [0, 3])
def test_size_is_bounded(study: Path, num_crops: int) -> None:
    settings = ReportSettings(num_crops=num_crops)
    text = page(study, slides=[study / "slides"], truth=study / "truth", scoring=QUICK, settings=settings)
    pictures = sum(len(uri) for uri in re.findall(r"data:image[^\"]+", text))
    slide = (THUMBNAIL_BYTES + 2 * HEAT_BYTES + 2 * num_crops * CROP_BYTES) * 4 / 3  # docs/report.md
    assert 0.4 * slide < pictures <= 3 * slide


@pytest.mark.parametrize("setting", [{"num_crops": -1}, {"max_slides": 1.5}])
def test_setting_out_of_range_is_refused(study: Path, setting: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(setting))}: expected a whole number of at least 0"):
        write_report(study / "maps", study / "output", settings=ReportSettings(**setting))
