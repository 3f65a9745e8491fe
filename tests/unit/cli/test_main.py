from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.cli import main as cli
from scripts.cli.main import COMMANDS, main
from scripts.errors import InputError
from scripts.masks.foreground import ForegroundSettings
from scripts.slides.fallbacks import note_fallback
from scripts.storage.bucket import EXTRAS

COMMAND = Path(sys.executable).with_name("tumor-detection")


@pytest.fixture(autouse=True)
def _unchanged_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `run_bundle` is called with, in place of running it."""
    from scripts import workflow

    found: list[Any] = []
    monkeypatch.setattr(workflow, "run_bundle", lambda *arguments: found.append(arguments))
    return found


def test_threads_are_told_to_sleep_before_torch_is_loaded(tmp_path: Path) -> None:
    code = (
        "import os, sys; from scripts.cli import main; "
        "main._dispatch = lambda words: print('torch' in sys.modules, os.environ.get('OMP_WAIT_POLICY')); main.main([])"
    )
    set_before = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # by whoever ran a command in this process
    environment = {name: value for name, value in os.environ.items() if name not in set_before}
    environment["PYTHONPATH"] = str(cli.BUNDLE_ROOT)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "PASSIVE"], done.stderr


def command_that(does: Callable[[], None]) -> Callable[..., None]:
    def sample(*, slides: list[str]) -> None:
        """Do something."""
        does()

    return sample


def failing(error: BaseException) -> Callable[..., None]:
    def fail() -> None:
        raise error

    return command_that(fail)


def run(line: str) -> None:
    main(line.split())


def stop(*arguments: str) -> Any:
    """What the process would exit with: a status, or a message for standard error and status 1."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


# --- help ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(arguments)
    out, err = capsys.readouterr()
    assert not err
    names = {"loclabel", "foreground", "train", "infer", "groundtruth", "froc", "demo", "doctor", "sample", "mine"}
    names |= {"metrics", "calibrate", "download", "report", "review", "export", "package", "camelyon16", "stage"}
    for name in names:
        assert re.search(rf"^ +{name}$", out, re.MULTILINE), name
    assert set(COMMANDS) == names


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([name, "--help"])
    out, err = capsys.readouterr()
    assert not err
    doc = (COMMANDS[name].__doc__ or "").splitlines()[0]
    assert out.startswith(f"NAME\n    tumor-detection {name} - {doc}\n")
    assert re.search(rf"Example: tumor-detection {name} (camelyon16 )?--", out)
    assert "'str" not in out
    assert "Optional[" not in out


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("loclabel", "level-0 pixels"),
        ("foreground", "level-0 pixels per mask pixel"),
        ("foreground", "square µm"),
        ("train", "regions of nine patches"),
        ("infer", "µm per level-0 pixel"),
        ("groundtruth", "level-0 pixels per mask pixel"),
        ("froc", "radius in µm"),
        ("sample", "level-0 pixels per pixel"),
        ("report", "radius in µm"),
        ("mine", "radius in µm"),
        ("froc", "µm per level-0 pixel"),
        ("doctor", "µm per level-0 pixel"),
    ],
)
def test_help_says_units(name: str, unit: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([name, "--help"])
    assert unit in " ".join(capsys.readouterr().out.split())


def test_every_flag_of_a_command_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for name, command in COMMANDS.items():
        main([name, "--help"])
        out = capsys.readouterr().out
        for parameter in list(command.__annotations__)[:-1]:
            assert parameter == "overrides" or re.search(rf"--{parameter}=.*\n(?: +.*\n)*? +[\wµ].+", out), parameter


def test_help_wins_over_missing_flags(capsys: pytest.CaptureFixture[str]) -> None:
    main(["loclabel", "--coords", "x", "--help"])
    assert capsys.readouterr().out.startswith("NAME")


def test_help_is_quick_for_it_imports_neither_torch_nor_monai() -> None:
    code = (
        "import sys; from scripts.cli.main import main; main(['infer', '--help']);"
        "print({'torch', 'monai', 'matplotlib', 'scipy', 'openslide'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=cli.BUNDLE_ROOT, capture_output=True, text=True, check=True)
    assert "Example: tumor-detection infer" in done.stdout
    assert done.stdout.endswith("\nset()\n")


# --- the end of a command -----------------------------------------------------------------------------------------


def test_unknown_commands_and_flags() -> None:
    assert stop("infr") == "error: no command 'infr'; did you mean 'infer'?; see tumor-detection --help"
    assert stop("infr", "--help") == "error: no command 'infr'; did you mean 'infer'?; see tumor-detection --help"
    assert str(stop("--slides", "a")).startswith("error: no command '--slides'")
    assert str(stop("froc", "--map", "a")).startswith("error: froc has no flag or id --map; did you mean 'maps'?")
    assert stop("froc", "--maps", "a") == "error: froc needs --output; see tumor-detection froc --help"
    assert stop("foreground", "--slides", "a", "--output", "b", "--stride", "6.4") == (
        "error: --stride must be a whole number, but got '6.4'"
    )


def test_download_names_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["download", "--output", "x"], ["download", "camelyon17", "--output", "x"]):
        assert str(stop(*arguments)).startswith(
            "error: download needs a data set, camelyon16: tumor-detection download"
        )
    asked: list[Any] = []
    monkeypatch.setattr("scripts.storage.download.download_camelyon16", lambda *arguments: asked.append(arguments))
    extras: list[Any] = []
    monkeypatch.setattr("scripts.storage.download.copy_extras", lambda *arguments: extras.append(arguments))
    main(["download", "camelyon16", "--output", "x", "--slides", "a,b"])
    assert asked == [("x", "a,b", "images,annotations", "s3://camelyon-dataset/CAMELYON16", None, 4)]
    assert extras == [("x", "s3://camelyon-dataset/CAMELYON16", None, EXTRAS)]


def test_an_input_error_is_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "sample", failing(InputError("a.tif: is\nbroken; copy it")))
    assert stop("sample", "--slides", "a") == "error: a.tif: is broken; copy it"


def test_the_input_error_behind_another_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = RuntimeError("Failed to instantiate component")
    wrapped.__cause__ = InputError("a.tif: no such slide")
    monkeypatch.setitem(COMMANDS, "sample", failing(wrapped))
    assert stop("sample", "--slides", "a") == "error: a.tif: no such slide"


def test_an_unexpected_error_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "sample", failing(KeyError("level\n0")))
    message = stop("sample", "--slides", "a")
    assert message == r"error: KeyError: 'level\n0' (unexpected; run again with --debug to see where)"
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_behind_an_unexpected_error_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = RuntimeError("Failed to instantiate component 'monai.data.DataLoader'" + " with keywords" * 9)
    wrapped.__cause__ = ValueError("num_workers must not be negative")
    monkeypatch.setitem(COMMANDS, "sample", failing(wrapped))
    message = str(stop("sample", "--slides", "a"))
    assert message.startswith(
        "error: ValueError: num_workers must not be negative (unexpected in: Failed to instantiate component 'monai."
    )
    assert len(message) < 250


def test_a_failing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = RuntimeError("Failed to instantiate component")
    wrapped.__cause__ = PermissionError(13, "Permission denied", "runs/events")
    monkeypatch.setitem(COMMANDS, "sample", failing(wrapped))
    expected = "error: runs/events: Permission denied; check the path, its rights and the space"
    assert stop("sample", "--slides", "a") == expected


def test_a_progress_bar_does_not_share_its_line_with_the_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tqdm import tqdm

    bars: list[Any] = []

    def fail() -> None:
        bars.append(tqdm(total=3))
        raise InputError("broken")

    monkeypatch.setitem(COMMANDS, "sample", command_that(fail))
    assert stop("sample", "--slides", "a") == "error: broken"
    assert capsys.readouterr().err.endswith("\n")


@pytest.mark.parametrize("position", [0, 1, 3])
def test_debug_prints_the_traceback(
    position: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "sample", failing(InputError("broken")))
    arguments = ["sample", "--slides", "a"]
    arguments.insert(position, "--debug")
    assert stop(*arguments) == "error: broken"
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last)")
    assert err.rstrip().endswith("scripts.errors.InputError: broken")


@pytest.mark.parametrize("behind", [None, RuntimeError("DataLoader worker exited")], ids=["plain", "wrapped"])
def test_ctrl_c_is_one_line_and_status_130(
    behind: Exception | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt as error:
            raise (behind or error) from None

    monkeypatch.setitem(COMMANDS, "sample", command_that(interrupt))
    before = signal.getsignal(signal.SIGINT)
    assert stop("sample", "--slides", "a") == 130
    assert capsys.readouterr().err == "stopped; no file is left half-written; the same command begins anew\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_command_that_succeeds_exits_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    monkeypatch.setitem(COMMANDS, "sample", command_that(lambda: done.append(1)))
    main(["sample", "--slides", "a"])
    assert done == [1]


# --- what commands are called with --------------------------------------------------------------------------------


def test_train_and_infer_hand_their_flags_to_the_config(
    calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("001", "2", "2024"):
        (tmp_path / name).mkdir()
    main(["infer", "--slides", "001", "2", "--stride", "128", "--assume-mpp", "0.5"])
    main(["train", "--train#trainer#max_epochs", "2", "--pretrained", "--dataset_dir", "2024"])
    assert calls == [
        ("inference", "inference.json", {"slides": ["001", "2"], "stride": 128, "assume_mpp": 0.5}, []),
        ("training", "train.json", {"train#trainer#max_epochs": 2, "pretrained": True, "dataset_dir": "2024"}, []),
    ]


def test_overlays_are_handed_on_one_or_several(calls: list[Any], tmp_path: Path) -> None:
    overlay = tmp_path / "mine.json"
    overlay.write_text(json.dumps({"extra": 1}))
    main(["train", "--config_file", str(overlay), "--extra", "2"])
    main(["train", "--config_file", str(overlay), "train_patches.json"])
    assert [call[2:] for call in calls] == [({"extra": 2}, [str(overlay)]), ({}, [str(overlay), "train_patches.json"])]


def test_a_missing_overlay_is_refused(calls: list[Any]) -> None:
    assert str(stop("infer", "--config_file", "nope")).startswith(
        "error: --config_file nope: no such file, here or in "
    )
    assert not calls


def test_unknown_ids_are_refused_with_the_nearest(calls: list[Any]) -> None:
    assert str(stop("train", "--train#trainer#max_epoch", "2")).startswith(
        "error: train has no flag or id --train#trainer#max_epoch; did you mean 'train#trainer#max_epochs'?"
    )
    assert not calls


def test_names_of_slides_stay_text_and_scoring_gets_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.scoring import evaluation, summary

    found: list[Any] = []

    def _record(*arguments: Any, reference: Any, slide_scores: Any, corrections: Any) -> None:
        found.append((*arguments, corrections, slide_scores, reference))

    monkeypatch.setattr(evaluation, "score_folder", _record)
    monkeypatch.setattr(summary, "summary", str)
    run("froc --maps m --truth t --output o --normal 001,002 --tumor_value 2 --exclude camelyon16,049 --against 01")
    run("froc --detections 1 --truth 02 --output 3e1 --normal 007 --slides 5 6 --mpp 0.25 --rules monai --seed 4")
    run("froc --maps m --truth t --output o --protocol camelyon16 --reference 01 02.csv --slide_scores 7")
    first, second, third = (arguments[4] for arguments in found)
    assert first == (None, 0.5, 2, 0.5, "camelyon16", 1000, 0, "bounds", "physical")
    assert second == (None, 0.5, None, 0.5, "monai", 1000, 4, "bounds", "physical")
    assert third[-1] == "camelyon16"
    assert found.pop()[-2:] == ("7", ["01", "02.csv"])
    assert found == [
        ("m", "t", "o", "001,002", first, None, (), None, "camelyon16,049", "01", None, None, ()),
        (None, "02", "3e1", "007", second, "1", ["5", "6"], 0.25, "", None, None, None, ()),
    ]


def test_the_other_commands_call_their_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.exports import export
    from scripts.labels import loclabel
    from scripts.maps import findings
    from scripts.masks import foreground_folder, groundtruth
    from scripts.synthetic import demo

    found: list[Any] = []

    def recorded(name: str) -> Callable[..., list[Any]]:
        return lambda *arguments: found.append((name, *arguments)) or []

    monkeypatch.setattr(demo, "run_demo", recorded("demo"))
    monkeypatch.setattr(loclabel, "generate_loclabels", recorded("loclabel"))
    monkeypatch.setattr(foreground_folder, "write_foregrounds", recorded("foreground"))
    monkeypatch.setattr(groundtruth, "write_groundtruth", recorded("groundtruth"))
    monkeypatch.setattr(export, "export_maps", recorded("export"))
    run("demo --output o --seed 3")
    run("loclabel --coords c --annotations a --output o --ignore_exclusions --slides s")
    run("foreground --slides a b --output o --saturation 0.1 --backend openslide")
    run("groundtruth --annotations a --slides s --output o --stride 32 --geojson_origin slide")
    run("export --maps m --output o --format geojson,csv zarr --min_area_um2 9 --slides s")
    settings = ForegroundSettings(saturation=0.1)
    assert found == [
        ("demo", "o", 3),
        ("loclabel", "c", "a", "o", True, "s", None, "bounds", None),
        ("foreground", ["a", "b"], "o", 64, settings, "openslide", None, None, "bounds", ""),
        ("groundtruth", "a", ["s"], "o", 32, "slide"),
        ("export", "m", "o", ["geojson,csv", "zarr"], findings.FindingSettings(0.5, 186.624, 9.0), ["s"], "bounds"),
    ]


def test_commands_for_patches_call_their_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from scripts.scoring import patches, temperature

    monkeypatch.chdir(tmp_path)
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    for name in ("t.csv", "007"):
        (tmp_path / name).touch()
    found: list[Any] = []
    monkeypatch.setattr(patches, "score_patches", lambda *arguments: found.append(arguments))
    monkeypatch.setattr(patches, "summary", str)
    monkeypatch.setattr(temperature, "calibrate", lambda *arguments: found.append(arguments))
    run("metrics --folders 1 2 --output 3 --config_file train_10x.json --num_resamples 5")
    run("calibrate --tables t.csv --weights 007 --output o.pt")
    run("calibrate --folders 1 --output o.pt --offset true")
    assert found == [
        ("3", None, ["1", "2"], (), ["train_10x.json"], 5, 0),
        ("o.pt", "007", (), ["t.csv"], (), False),
        ("o.pt", None, ["1"], (), (), True),
    ]


def test_doctor_fails_for_slides_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scripts.cli import doctor

    monkeypatch.setattr(
        doctor, "doctor", lambda slides, backend, assume_mpp, probe: (f"{slides} {backend} {assume_mpp}", 2)
    )
    assert str(stop("doctor", "--slides", "a", "b", "--assume_mpp", "0.5")).startswith("error: 2 slides cannot be read")
    assert capsys.readouterr().out == "['a', 'b'] auto 0.5\n"


# --- as a process -------------------------------------------------------------------------------------------------


def test_a_name_that_is_not_utf_8_can_be_told(tmp_path: Path) -> None:
    code = "from scripts.cli import main; main._dispatch = lambda words: print('slide_\\udcff.tif'); main.main([])"
    environment = os.environ | {"PYTHONPATH": str(cli.BUNDLE_ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("slide_\\udcff.tif\n", 0), done.stderr


def test_the_installed_command(tmp_path: Path) -> None:
    done = subprocess.run([COMMAND, "infr"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: no command 'infr'; did you mean 'infer'?; see tumor-detection --help\n"


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    command = f"set -o pipefail; '{COMMAND}' --help | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "NAME\n", "")


def test_the_module_runs_as_a_script() -> None:
    done = subprocess.run([sys.executable, cli.__file__, "-h"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "COMMAND is one of the following" in done.stdout


def test_slides_that_were_read_slower_are_told_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(COMMANDS, "sample", command_that(lambda: note_fallback("an odd compression", "data/a.tif")))
    main(["sample", "--slides=data"])
    assert caplog.messages == [
        "1 slide was read by OpenSlide, several times slower than by cuCIM: an odd compression: a.tif"
    ]
