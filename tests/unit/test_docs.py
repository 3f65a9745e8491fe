"""The documentation agrees with the code: ids, defaults, commands, file keys, links; README begins with commands."""

from __future__ import annotations

import functools
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from helpers.doc_commands import commands, pages
from helpers.drawn_nodes import write_nodes
from helpers.made_patches import write_patches
from helpers.verdict_marks import found_marks
from scripts.annotations.verdict_files import VerdictFile
from scripts.annotations.verdicts import CLASSES
from scripts.cli import main as cli
from scripts.exports.finding_writers import LESION_COLUMNS
from scripts.inference.handlers import ProbabilityMapWriter
from scripts.inference.tile_inferer import SlidingInferer
from scripts.inference.tile_sampler import TileSampler
from scripts.inference.tiles import TileDataset
from scripts.maps import pictures
from scripts.masks import thresholds
from scripts.masks.foreground import ForegroundSettings
from scripts.slides.pyramid import write_pyramid
from scripts.staging.fitting import fit_folder
from scripts.staging.staging import stage_folder

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "bundle" / "configs"
CONFIG_FILES = sorted(path.name for path in CONFIGS.glob("*.json") if path.name != "metadata.json")
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in pages()}

CODE_ROW = re.compile(r"^\| (`[^|]*`) \|(.*)\|$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:docs|bundle|tests)/[\w./-]+\.\w+)`")


def _section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level."""
    level = heading.split(" ")[0]
    after = text.split(f"\n{heading}\n", maxsplit=1)[1]
    return re.split(rf"^{level} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def _table(text: str, header: str) -> dict[str, list[str]]:
    """Rows of the tables with this header; a row that names several keys stands for each."""
    rows: dict[str, list[str]] = {}
    for table in re.findall(rf"^\| {re.escape(header)} \|.*\n((?:\|.*\n)+)", text + "\n", re.MULTILINE):
        for keys, cells in CODE_ROW.findall(table):
            for key in re.findall(r"`([^`]+)`", keys):
                assert key not in rows, f"{key} is documented twice"
                rows[key] = [cell.strip() for cell in cells.split("|")]
    return rows


# --- configs.md -------------------------------------------------------------------------------------------------


def _ids(config: dict[str, Any]) -> dict[str, Any]:
    """What the page has to document: each id at the top, and of the phases each component."""
    phases = {"train", "validate"}
    ids = {key: value for key, value in config.items() if key not in phases and key != "_desc_"}
    for phase in phases & config.keys():
        ids.update({f"{phase}#{key}": value for key, value in config[phase].items()})
    return ids


@pytest.mark.parametrize("name", CONFIG_FILES)
def test_configs_page_documents_each_id_and_no_other(name: str) -> None:
    ids = _ids(json.loads((CONFIGS / name).read_text(encoding="utf-8")))
    documented = _table(_section(TEXTS["docs/configs.md"], f"## {name}"), "id")
    assert documented.keys() - ids.keys() == set(), "documented, but not in the config"
    assert ids.keys() - documented.keys() == set(), "in the config, but not documented"


@pytest.mark.parametrize("name", CONFIG_FILES)
def test_configs_page_states_the_defaults(name: str) -> None:
    section = _section(TEXTS["docs/configs.md"], f"## {name}")
    config = json.loads((CONFIGS / name).read_text(encoding="utf-8"))
    stated = {key: row[0] for key, row in _table(section, "id").items() if len(row) == 2}
    assert stated == {key: f"`{json.dumps(config[key])}`" for key in stated}


def test_configs_page_states_the_foreground_settings() -> None:
    settings = _table(TEXTS["docs/configs.md"], "setting")
    assert {key: row[0] for key, row in settings.items()} == {
        key: f"`{json.dumps(value)}`" for key, value in ForegroundSettings()._asdict().items()
    }


def test_scoring_rules_have_every_flag_of_froc_and_its_default() -> None:
    flags = _table(TEXTS["docs/scoring_rules.md"], "flag")
    parameters = inspect.signature(cli.froc).parameters
    assert {flag.removeprefix("--") for flag in flags} == parameters.keys()
    for flag in ("threshold", "slide_threshold", "rules"):
        assert flags[f"--{flag}"][0].strip("`") == str(parameters[flag].default)


def test_configs_page_names_every_file() -> None:
    assert _table(TEXTS["docs/configs.md"], "file").keys() == {path.name for path in CONFIGS.iterdir()}


# --- commands ---------------------------------------------------------------------------------------------------


LIST_IDS = {
    key
    for name in (
        "train.json",
        "train_patches.json",
        "train_10x.json",
        "finetune.json",
        "multi_gpu_train.json",
        "multi_gpu_inference.json",
        "inference.json",
        "screen_10x.json",
    )
    for key, value in json.loads((CONFIGS / name).read_text(encoding="utf-8")).items()
    if isinstance(value, list)
}


def _commands(name: str) -> Iterator[str]:
    """Commands in code blocks, and those inside sentences that have flags."""
    for command in commands(ROOT / name):
        yield _of_one_process(command.text)
    prose = re.sub(r"^```.*?^```$", "", TEXTS[name], flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`\n]+)`", prose):
        if code.startswith(("tumor-detection ", "make ", "python ")):
            yield code


def _of_one_process(command: str) -> str:
    """What torchrun is given to run, as it would be run without."""
    command = re.sub(r"^torchrun .*?--no-python (?=tumor-detection )", "", command)
    return re.sub(r"^torchrun .*?(?=-m monai\.bundle )", "python ", command)


def _of_script(text: str) -> Iterator[str]:
    """Lines of a shell script without what is given to it."""
    for line in text.splitlines():
        yield line.strip().replace(' "$@"', "")


def _all_commands(start: str) -> list[Any]:
    found = {name: list(_commands(name)) for name in TEXTS}
    script = ROOT / "benchmarks" / "shipped_weights.sh"
    found[script.name] = list(_of_script(script.read_text(encoding="utf-8")))
    return [
        pytest.param(command, id=f"{name}-{index}")
        for name, lines in found.items()
        for index, command in enumerate(line for line in lines if line.startswith(start))
    ]


@pytest.mark.parametrize("command", _all_commands("tumor-detection "))
def test_printed_command_parses(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the command line with a stand-in for what the command does."""
    name, *flags = shlex.split(command)[1:]
    called: list[dict[str, Any]] = []
    function = cli.COMMANDS[name]
    if not flags:  # a mention inside a sentence
        return

    @functools.wraps(function)
    def stand_in(**arguments: Any) -> None:
        called.append(arguments)

    monkeypatch.setitem(cli.COMMANDS, name, stand_in)
    monkeypatch.setattr("scripts.cli.paths.check_paths", lambda flags: None)  # a reader has files of these names
    cli.main([name, *flags])
    assert len(called) == 1
    assert called[0].keys() == {flag[2:].split("=")[0] for flag in flags if flag.startswith("--")}
    for key in LIST_IDS & called[0].keys():
        assert isinstance(called[0][key], list), f"--{key} must be a list"


@pytest.mark.parametrize("command", _all_commands("python -m monai.bundle run"))
def test_printed_bundle_command_names_config_files_and_ids(command: str) -> None:
    words = shlex.split(command)
    run_id, flags = words[4], dict(zip(words[5::2], words[6::2], strict=True))
    names = re.findall(r"[\w./]+\.json", flags.pop("--config_file"))
    assert names
    ids: set[str] = set()
    for name in names:
        (path,) = [folder / name for folder in (ROOT, ROOT / "bundle") if (folder / name).is_file()]
        ids |= json.loads(path.read_text(encoding="utf-8")).keys()
    assert run_id in ids
    assert {flag.removeprefix("--") for flag in flags} <= ids


@pytest.mark.parametrize("command", _all_commands("make "))
def test_printed_make_target_exists(command: str) -> None:
    targets = {word for word in command.split()[1:] if "=" not in word}
    known = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert known is not None
    assert targets <= set(known[1].split())


# --- README -----------------------------------------------------------------------------------------------------


def test_readme_begins_with_the_two_commands() -> None:
    before, block = TEXTS["README.md"].split("\n```\n", maxsplit=2)[:2]
    assert [line.split("#")[0].strip() for line in block.strip().splitlines()] == ["make demo", "make test"]
    title, *lines = [line for line in before.splitlines() if line.strip()]
    assert title.startswith("# ")
    assert len(lines) == 3
    assert not any(re.search(r"[`|!\[<]|^#", line) for line in lines), "nothing technical before the commands"


def test_readme_shows_what_it_is_on_the_first_screen() -> None:
    screen = "\n".join(TEXTS["README.md"].splitlines()[:35])
    assert "](docs/images/strip.jpg)" in screen, "a real metastasis, found"
    for what in ("computational pathologists", "docs/benchmarks.md", "docs/README.md", "not for diagnosis"):
        assert what in screen


@pytest.mark.parametrize("name", ["README.md", "docs/report.md"])
def test_pictures_say_whether_they_are_tissue(name: str) -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEXTS[name])
    assert pictures
    for picture in pictures:
        after = TEXTS[name].split(f"({picture})\n", maxsplit=1)[1]
        kind = "**Real tissue**" if picture.endswith("strip.jpg") else "**Synthetic**"
        assert after.lstrip().startswith(kind)
        assert (ROOT / name).parent.joinpath(picture).stat().st_size < 300_000


def test_model_card_follows_the_zoo() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXTS["docs/README.md"], re.MULTILINE)
    wanted = [
        "Model Overview",
        "Data",
        "Preprocessing",
        "Performance",
        "MONAI Bundle Commands",
        "References",
        "License",
    ]
    assert [heading for heading in headings if heading in wanted] == wanted


# --- all pages --------------------------------------------------------------------------------------------------


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TEXTS)
def test_relative_links_lead_somewhere(name: str) -> None:
    for link in LINK.findall(TEXTS[name]):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        assert ROOT in target.resolve().parents, f"{link} leaves the repository"
        assert not anchor or anchor in _anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_are_named_exist(name: str) -> None:
    missing = [path for path in PATH.findall(TEXTS[name]) if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("name", TEXTS)
def test_no_personal_path_and_no_registry(name: str) -> None:
    assert not re.search(r"(?<![\w.])/(home|root|Users|work|workspace|mnt|tmp)/|[A-Z]:\\", TEXTS[name])
    hosts = r"pypi\.|pythonhosted|download\.pytorch|anaconda\.org|ghcr\.io|docker\.io|quay\.io|nvcr\.io"
    assert not re.search(hosts, TEXTS[name], re.IGNORECASE)
    assert not re.search(r"index-url|find-links", TEXTS[name])


@pytest.mark.parametrize("name", TEXTS)
def test_code_blocks_are_closed_and_tables_even(name: str) -> None:
    assert TEXTS[name].count("\n```") % 2 == 0
    for table in re.findall(r"(?:^\|.*\|\n)+", TEXTS[name], re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


# --- conventions.md: the keys of files, against files just written -------------------------------------------------

SHAPE, STRIDE = (1500, 1900), 64


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Foreground, ground truth, map and score of a slide with a stained block, its tumor off the diagonal."""
    folder = tmp_path_factory.mktemp("docs")
    image = np.full((*SHAPE, 3), 240, dtype=np.uint8)
    image[100:1400, 300:1860] = (170, 70, 150)
    (folder / "slides").mkdir()
    write_pyramid(folder / "slides" / "a.tif", image, 0.243)
    outline = [[500, 150], [1850, 150], [1850, 1350], [500, 1350]]  # (x, y), larger than isolated tumor cells
    (folder / "annotations").mkdir()
    content = {"positive": [{"name": "0", "vertices": outline}], "negative": []}
    (folder / "annotations" / "a.json").write_text(json.dumps(content))

    slides = str(folder / "slides")
    cli.main(["foreground", "--slides", slides, "--output", str(folder / "foreground"), "--min_tissue_um2", "100"])
    annotations = ["--annotations", str(folder / "annotations")]
    cli.main(["groundtruth", *annotations, "--slides", slides, "--output", str(folder / "truth")])
    _write_map(folder)
    maps, scores = ["--maps", str(folder / "maps")], ["--output", str(folder / "scores")]
    scoring = ["froc", *maps, "--truth", str(folder / "truth"), *scores, "--nms_radius_um", "20"]
    cli.main([*scoring, "--against", str(folder / "maps"), "--num_resamples", "20"])
    patches, overlay, weights = (str(path) for path in write_patches(folder, 8))
    given = ["--weights", weights, "--config_file", overlay, "--num_resamples", "20"]
    cli.main(["metrics", "--folders", patches, *given, "--output", str(folder / "patch_scores")])
    return folder


def _write_map(folder: Path) -> None:
    """What ``infer`` writes, by its handler, with a network's output made up."""
    data = [{"image": str(folder / "slides" / name)} for name in ("a.tif", "missing.tif")]
    sampler = TileSampler(TileDataset(data, stride=STRIDE, foreground_dir=folder / "foreground"))
    writer = ProbabilityMapWriter(folder / "maps", sampler, SlidingInferer(precision="float32"))
    engine: Any = SimpleNamespace(state=SimpleNamespace())
    writer.start(engine)
    for tile in sampler:
        engine.state.batch = {"tile": tile}
        engine.state.output = {"pred": torch.full((1, 1, *tile.positions.shape), 0.9)}
        writer(engine)
    writer.complete(engine)


def _keys(results: Path, name: str) -> set[str]:
    return set(json.loads((results / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("foreground key", "foreground/a.json"),
        ("groundtruth key", "truth/a.json"),
        ("map key", "maps/a.json"),
        ("run key", "maps/run.json"),
        ("froc key", "scores/froc.json"),
        ("patches key", "patch_scores/patches.json"),
    ],
)
def test_conventions_document_each_key_and_no_other(results: Path, header: str, name: str) -> None:
    assert _table(TEXTS["docs/conventions.md"], header).keys() == _keys(results, name)


def test_conventions_document_the_keys_inside(results: Path) -> None:
    report = json.loads((results / "scores" / "froc.json").read_text(encoding="utf-8"))
    assert _table(TEXTS["docs/conventions.md"], "slide key").keys() == report["slides"][0].keys()
    keys = _table(TEXTS["docs/conventions.md"], "froc key")
    for key in ("settings", "bootstrap", "curve", "curve_band"):
        assert set(re.findall(r"`(\w+)`", keys[key][0])) == report[key].keys()
    inside = {"micrometastasis", "macrometastasis"} | report["strata"]["macrometastasis"].keys()
    assert set(re.findall(r"`(\w+)`", keys["strata"][0])) == inside
    patches = json.loads((results / "patch_scores" / "patches.json").read_text(encoding="utf-8"))
    for key in ("reliability", "bootstrap"):
        row = _table(TEXTS["docs/conventions.md"], "patches key")[key][0]
        assert set(re.findall(r"`(\w+)`", row)) == patches[key].keys()
    for header, found in (
        ("lesion key", report["lesions"][0]),
        ("slide_level key", report["slide_level"]),
        ("comparison key", report["comparison"]),
    ):
        assert _table(TEXTS["docs/conventions.md"], header).keys() == found.keys()
    run = json.loads((results / "maps" / "run.json").read_text(encoding="utf-8"))
    documented = _table(TEXTS["docs/conventions.md"], "run key")
    for key in ("slides_done", "slides_failed"):
        assert set(re.findall(r"`(\w+)`", documented[key][0])) == run[key][0].keys()


def test_conventions_document_the_files_of_verdicts(tmp_path: Path) -> None:
    file = VerdictFile(tmp_path / "a.geojson", "A")
    file.begin(found_marks())
    for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines():
        assert _table(TEXTS["docs/conventions.md"], "log key").keys() == json.loads(line).keys()
    for feature in json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))["features"]:
        assert _table(TEXTS["docs/conventions.md"], "verdict key").keys() == feature["properties"].keys()
    stated = {verdict: row[0].split(":")[0] for verdict, row in _table(TEXTS["docs/conventions.md"], "verdict").items()}
    assert stated == {verdict or "null": name for verdict, (name, _) in CLASSES.items()}


def test_conventions_document_the_keys_of_stagings(tmp_path: Path) -> None:
    nodes = write_nodes(tmp_path, ("itc", "macro", "negative", "micro"))
    labels = nodes / "labels.csv"
    text = TEXTS["docs/conventions.md"]
    report = stage_folder(nodes / "maps", None, tmp_path / "out", None, labels, nodes / "maps")
    fitted = fit_folder(nodes / "maps", labels, tmp_path / "fit")
    for header, found in (
        ("stage key", report),
        ("node key", report["nodes"][0]),
        ("patient key", report["patients"][0]),
        ("agreement key", report["agreement"]["nodes"]),
        ("kappa comparison key", report["comparison"]["patients"]),
        ("fit key", fitted),
    ):
        assert _table(text, header).keys() == found.keys(), header
    for header, key, found in (
        ("stage key", "settings", report["settings"]),
        ("fit key", "settings", fitted["settings"]),
        ("fit key", "nodes", fitted["nodes"][0]),
        ("agreement key", "bootstrap", report["agreement"]["nodes"]["bootstrap"]),
    ):
        assert set(re.findall(r"`(\w+)`", _table(text, header)[key][0])) == found.keys(), key
    assert _table(text, "picture map key").keys() == {"slide", "shape", "stride", "mpp", pictures.KEY}
    assert _table(text, "picture mask key").keys() == {"shape", "stride", "mpp", thresholds.KEY}


def test_conventions_document_the_columns_of_lesions() -> None:
    assert tuple(_table(TEXTS["docs/conventions.md"], "lesion column")) == LESION_COLUMNS


def test_conventions_state_what_the_files_hold(results: Path) -> None:
    prob_map = np.load(results / "maps" / "a.npy")
    assert prob_map.dtype == np.float32
    assert prob_map.shape == (-(-SHAPE[0] // STRIDE), -(-SHAPE[1] // STRIDE))
    lines = (results / "scores" / "detections" / "a.csv").read_text(encoding="ascii").splitlines()
    assert len(lines) > 1
    confidence, x, y = lines[0].split(",")
    assert float(confidence) == pytest.approx(0.9)
    assert prob_map[int(y) // STRIDE, int(x) // STRIDE] == pytest.approx(0.9)
    assert {path.name for path in (results / "foreground").iterdir()} == {
        *("a.png", "a.json", "a_artifacts.png", "a_overlay.jpg"),
    }
