"""Regions sampled from slides and their truth: classes, balance, boundary, seed, and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from helpers.annotation_forms import collection, feature, write, write_ncrf
from helpers.even_odd import slow_inside
from helpers.flat_slide import write_flat_slide
from scripts.cli.main import main
from scripts.errors import InputError
from scripts.labels.loclabel import read_loclabels
from scripts.labels.sampling import SampleSettings, sample_regions
from scripts.masks.groundtruth import write_groundtruth
from scripts.slides.pyramid import write_pyramid

SHAPE = (2100, 3301)
TISSUE = (slice(200, 1980), slice(150, 3200))
LARGE = [(300, 1700), (420, 2900), (1500, 3000), (1250, 1750)]  # (row, col)
CUT = [(700, 2300), (700, 2600), (900, 2600), (900, 2300)]
TINY = [(1500, 410), (1511, 420), (1520, 409)]


def xy(*rings):
    return [[[col, row] for row, col in ring] for ring in rings]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Synthetic slides of one block of tissue: a tumor slide with a large and a tiny lesion, and two normal ones."""
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "slides").mkdir()
    image = np.full((*SHAPE, 3), 240, dtype=np.uint8)
    image[TISSUE] = (170, 70, 150)
    for name in ("tumor_1", "normal_1", "b"):
        write_pyramid(folder / "slides" / f"{name}.tif", image, 0.25)
    write_ncrf(folder / "truth", "tumor_1", xy(LARGE, TINY), xy(CUT))
    write_ncrf(folder / "truth", "b")
    return folder


def sample(cohort, output, *, slides=None, truth=None, **settings):
    chosen = {name: settings.pop(name) for name in SampleSettings._fields if name in settings}
    chosen = SampleSettings(**({"num_tumor": 60} | chosen))
    return sample_regions(slides or cohort / "slides", truth or cohort / "truth", output, chosen, **settings)


def is_truly_tumor(name, row, col):
    if name != "tumor_1" or slow_inside([CUT], row, col):
        return False
    return slow_inside([LARGE], row, col) or slow_inside([TINY], row, col)


@pytest.mark.parametrize("stride", [64, 33])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_region_is_of_its_class_and_rightly_labelled(cohort, tmp_path, stride, seed):
    summary = sample(cohort, tmp_path / "a.csv", stride=stride, seed=seed)
    assert tuple(summary) == (60, 60, 3)
    assert str(summary) == "120 regions of 3 slides: 60 with a tumor center, 60 with a normal one"
    items = read_loclabels(tmp_path / "a.csv")
    assert len({(item["name"], item["center"]) for item in items}) == 120
    for item in items:
        row, col = item["center"]
        for i, j in np.ndindex(3, 3):
            truly = is_truly_tumor(item["name"], row + (i - 1) * 256, col + (j - 1) * 256)
            assert item["label"][0, i, j] == truly
        if not item["label"][0, 1, 1]:
            assert 200 - stride <= row < 1980 + stride
            assert 150 - stride <= col < 3200 + stride


def test_classes_and_slides_are_balanced(cohort, tmp_path):
    sample(cohort, tmp_path / "a.csv", num_tumor=50, num_normal=91)
    items = read_loclabels(tmp_path / "a.csv")
    counts = {name: [0, 0] for name in ("b", "normal_1", "tumor_1")}
    for item in items:
        counts[item["name"]][int(item["label"][0, 1, 1])] += 1
    assert counts == {"b": [31, 0], "normal_1": [30, 0], "tumor_1": [30, 50]}


@pytest.fixture(scope="module")
def tumor():
    """Every eighth (row, col) that is tumor in both directions."""
    mask = [[is_truly_tumor("tumor_1", row, col) for col in range(0, 3301, 8)] for row in range(0, 2100, 8)]
    return np.argwhere(mask) * 8


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_lies_near_the_boundary_on_either_side(cohort, tumor, tmp_path, share):
    """250 µm are 1000 px; inside the lesion nothing lies as far from its boundary."""
    sample(cohort, tmp_path / "a.csv", num_normal=120, boundary_share=share)
    near = []
    for item in read_loclabels(tmp_path / "a.csv"):
        if item["name"] == "tumor_1" and not item["label"][0, 1, 1]:
            near.append(np.hypot(*(tumor - item["center"]).T).min() < 1000)
    assert len(near) == 40
    if share:
        assert sum(near) == pytest.approx(40 * share, abs=2)
    else:
        assert sum(near) <= 2  # within a pixel of the limit


def test_a_tiny_lesion_is_not_forgotten(cohort, tmp_path):
    for count in (2, 60):
        sample(cohort, tmp_path / "a.csv", num_tumor=count)
        centers = [item["center"] for item in read_loclabels(tmp_path / "a.csv") if item["label"][0, 1, 1]]
        assert sum(slow_inside([TINY], *center) for center in centers) == 1
        assert len(centers) == count


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_small_lesion_gets_a_center_before_a_large_one_gets_two(cohort, tmp_path, seed):
    small = [(1600, 400), (1600, 560), (1760, 560), (1760, 400)]
    write_ncrf(tmp_path / "truth", "tumor_1", xy(LARGE, small))
    sample(cohort, tmp_path / "a.csv", truth=tmp_path / "truth", normal="b", num_tumor=2, seed=seed)
    centers = [item["center"] for item in read_loclabels(tmp_path / "a.csv") if item["label"][0, 1, 1]]
    assert sorted(slow_inside([small], *center) for center in centers) == [False, True]


def test_slides_alike_get_centers_of_their_own(cohort, tmp_path):
    sample(cohort, tmp_path / "a.csv")
    centers = {name: set() for name in ("b", "normal_1", "tumor_1")}
    for item in read_loclabels(tmp_path / "a.csv"):
        centers[item["name"]].add(item["center"])
    assert not centers["b"] & centers["normal_1"]


def test_the_seed_decides_not_the_order_of_slides(cohort, tmp_path):
    slides = sorted((cohort / "slides").iterdir())
    sample(cohort, tmp_path / "a.csv", slides=slides)
    sample(cohort, tmp_path / "b.csv", slides=slides[::-1])
    sample(cohort, tmp_path / "c.csv", seed=1)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "c.csv").read_bytes()
    assert (tmp_path / "a.jpg").is_file()


def test_masks_serve_as_well_as_outlines(cohort, tmp_path):
    write_groundtruth(cohort / "truth", cohort / "slides", tmp_path / "masks", 8)
    mask = np.asarray(Image.open(tmp_path / "masks" / "tumor_1.png")) > 0
    sample(cohort, tmp_path / "a.csv", truth=tmp_path / "masks")
    items = read_loclabels(tmp_path / "a.csv")
    centers = [item["center"] for item in items if item["label"][0, 1, 1]]
    assert len(centers) == 60
    assert all(mask[row // 8, col // 8] for row, col in centers)
    assert sum(col < 500 for _, col in centers) == 1
    for item in items:
        row, col = item["center"]
        assert item["label"][0, 1, 1] == (item["name"] == "tumor_1" and mask[row // 8, col // 8])


def test_a_foreground_mask_of_a_person_counts(cohort, tmp_path):
    (tmp_path / "foreground").mkdir()
    mask = np.zeros((33, 52), np.uint8)
    mask[20:25, 40:50] = 255
    for name in ("tumor_1", "normal_1", "b"):
        Image.fromarray(mask).save(tmp_path / "foreground" / f"{name}.png")
    sample(cohort, tmp_path / "a.csv", num_tumor=5, foreground_dir=tmp_path / "foreground")
    for item in read_loclabels(tmp_path / "a.csv"):
        row, col = item["center"]
        assert mask[row // 64, col // 64] or slow_inside([TINY], row, col)
    with pytest.raises(InputError, match=r"for stride 32,.*make it with --stride 32"):
        sample(cohort, tmp_path / "b.csv", stride=32, foreground_dir=tmp_path / "foreground")
    with pytest.raises(InputError, match="no such folder of masks"):
        sample(cohort, tmp_path / "b.csv", foreground_dir=tmp_path / "nowhere")
    assert not (tmp_path / "b.csv").exists()


def test_too_little_tumor_is_said_and_normal_regions_follow(cohort, tmp_path, caplog):
    summary = sample(cohort, tmp_path / "a.csv", num_tumor=1000, stride=128)
    assert 50 < summary.num_tumor == summary.num_normal < 150
    assert f"expected 1000 regions with a tumor center, found room for {summary.num_tumor}" in caplog.text
    assert sample(cohort, tmp_path / "a.csv", num_tumor=0, num_normal=9)[:2] == (0, 9)


def test_a_slide_without_tissue_is_said(cohort, tmp_path, caplog):
    write_flat_slide(tmp_path / "slides" / "normal_white.tif")
    slides = [cohort / "slides", tmp_path / "slides"]
    assert sample(cohort, tmp_path / "a.csv", slides=slides).num_slides == 3
    assert "normal_white.tif: no tissue found" in caplog.text


def test_slides_that_are_enlarged_are_said(cohort, tmp_path, caplog):
    sample(cohort, tmp_path / "a.csv", assume_mpp=0.25)
    assert "enlarged" not in caplog.text
    sample(cohort, tmp_path / "a.csv", assume_mpp=0.5)
    assert caplog.text.count("its regions are enlarged 2.06 times, from 0.5 to the model's 0.243 µm per pixel") == 3


def test_outlines_beyond_the_slide_are_said(cohort, tmp_path, caplog):
    write_ncrf(tmp_path / "truth", "b", xy([(9000, 9000), (9000, 9900), (9900, 9900)]))
    write_ncrf(tmp_path / "truth", "tumor_1", xy(LARGE))
    sample(cohort, tmp_path / "a.csv", truth=tmp_path / "truth")
    assert "b.json: its outlines hold no tumor inside the slide" in caplog.text


def refused(*args, **kwargs):
    with pytest.raises(InputError) as caught:
        sample(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_slides_without_truth_must_be_known_to_be_normal(cohort, tmp_path):
    write_ncrf(tmp_path / "truth", "tumor_1", xy(LARGE))
    output, truth = tmp_path / "a.csv", tmp_path / "truth"
    message = refused(cohort, output, truth=truth)
    assert f"{truth}: no truth for 1 of 3 slides: b; add their masks" in message
    assert not output.exists()
    assert sample(cohort, output, truth=truth, normal="B.tif")[2] == 3
    write_flat_slide(tmp_path / "slides" / "UPPER.tif")
    slides = [cohort / "slides", tmp_path / "slides"]
    assert sample(cohort, output, slides=slides, truth=truth, normal="b,upper")[2] == 3
    assert "1 name is of no slide: nobody" in refused(cohort, output, truth=truth, normal="b,nobody")
    assert f"found truth in {truth} for tumor_1" in refused(cohort, output, truth=truth, normal="b,tumor_1")


def test_no_tumor_anywhere_is_refused(cohort, tmp_path):
    message = refused(cohort, tmp_path / "a.csv", slides=cohort / "slides" / "b.tif")
    assert message.startswith("num_tumor: expected 60 regions with a tumor center, found no tumor tissue in 1 slide")
    assert not (tmp_path / "a.csv").exists()


def test_a_slide_that_fails_is_named_and_nothing_is_written(cohort, tmp_path):
    write_flat_slide(tmp_path / "slides" / "normal_9.tif", mpp=None)
    write(tmp_path / "slides" / "normal_8.tif", "no slide")
    slides = [cohort / "slides", tmp_path / "slides"]
    message = refused(cohort, tmp_path / "a.csv", slides=slides)
    assert "2 of 5 slides failed, nothing is written; first: " in message
    assert "normal_8.tif" in message
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_tumor": -1}, "num_tumor: expected a whole number from 0 on, found -1"),
        ({"num_normal": -1}, "num_normal: expected"),
        ({"stride": 0}, "stride: expected a whole number from 1 on"),
        ({"seed": -1}, "seed: expected"),
        ({"boundary_share": 1.1}, "boundary_share: expected a number from 0 to 1, found 1.1"),
        ({"num_tumor": 0}, "num_tumor, num_normal: expected at least one region"),
        ({"backend": "x"}, "backend must be one of"),
    ],
)
def test_settings_out_of_range(cohort, tmp_path, settings, message):
    assert refused(cohort, tmp_path / "a.csv", **settings).startswith(message)


def test_command_line(cohort, tmp_path, capsys):
    flags = ["--truth", str(cohort / "truth"), "--output", str(tmp_path / "new" / "a.csv")]
    counts = ["--num_tumor", "7", "--num_normal", "6", "--stride", "32", "--boundary_share", "0.2", "--seed", "4"]
    slides = [str(cohort / "slides" / f"{name}.tif") for name in ("b", "tumor_1")]
    main(["sample", "--slides", *slides, *flags, *counts])
    assert capsys.readouterr().out == "13 regions of 2 slides: 7 with a tumor center, 6 with a normal one\n"
    assert len(read_loclabels(tmp_path / "new" / "a.csv")) == 13


def test_undecided_outlines_are_neither_tumor_nor_normal(cohort, tmp_path):
    """Half of the tissue is of class Unsure; the map is so fine that points fall on both sides of its outline."""
    ring = [[0, 0], [1675.5, 0], [1675.5, 2100], [0, 2100]]
    content = collection(feature("Tumor", *xy(LARGE)), feature("Unsure", ring), feature("Unreviewed", *xy(CUT)))
    (tmp_path / "truth").mkdir()
    write(tmp_path / "truth" / "tumor_1.geojson", content)
    slides = [cohort / "slides" / "tumor_1.tif"]
    sample(cohort, tmp_path / "a.csv", slides=slides, truth=tmp_path / "truth", num_tumor=60, num_normal=200)
    normal = [item["center"] for item in read_loclabels(tmp_path / "a.csv") if not item["label"][0, 1, 1]]
    assert len(normal) == 200
    assert min(col for _, col in normal) >= 1675
    assert any(slow_inside([CUT], *item["center"]) for item in read_loclabels(tmp_path / "a.csv")), "tumor goes first"


def test_a_reference_table_stands_in_for_a_list_of_normal_slides(cohort, tmp_path):
    slides = tmp_path / "slides"
    shutil.copytree(cohort / "slides", slides)
    (slides / "normal_1.tif").rename(slides / "case_9.tif")
    table = tmp_path / "reference.csv"
    arguments = {"slides": slides, "truth": cohort / "truth", "output": tmp_path / "out.csv"}
    settings = SampleSettings(num_tumor=4, num_normal=8)
    with pytest.raises(InputError, match="no truth for 1 of"):
        sample_regions(**arguments, settings=settings)
    table.write_text("slide,class\ncase_9,Normal\n")
    sample_regions(**arguments, settings=settings, reference=table)
    assert any(item["name"] == "case_9" for item in read_loclabels(tmp_path / "out.csv"))
    table.write_text("slide,class\ncase_9,Tumor\n")
    with pytest.raises(InputError, match=r"reference\.csv, row 2: the slide is Tumor, but .* no annotation or mask"):
        sample_regions(**arguments, settings=settings, reference=table)
    table.write_text("slide,class\ncase_9,Normal\ntumor_1,Normal\n")
    with pytest.raises(InputError, match=r"reference\.csv, row 3: the slide is Normal, but its truth .* marks tumor"):
        sample_regions(**arguments, settings=settings, reference=[table])
