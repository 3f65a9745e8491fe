from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.arguments import (
    check_flags,
    find_command,
    flag_name,
    join_values,
    parse_override,
    parsers,
    split_values,
)
from scripts.cli.main import BUNDLE_ROOT, COMMANDS
from scripts.errors import InputError

INFERENCE = BUNDLE_ROOT / "configs" / "inference.json"
TRAIN = BUNDLE_ROOT / "configs" / "train.json"


def sample(
    *,
    slides: list[str],
    output: str,
    stride: int = 64,
    mpp: float | None = None,
    ignore: bool = False,
    normal: str = "",
) -> None:
    """A command with a parameter of each kind."""


def from_config(**overrides: Any) -> None:
    """A command whose flags are a config's ids."""


def parse(arguments: str | list[str], command: Any = sample) -> dict[str, Any]:
    """What the command would be called with."""
    words = arguments.split() if isinstance(arguments, str) else arguments
    flags = join_values(words, command)
    return {
        flag: parser("True" if flags[flag] is None else str(flags[flag]))
        for flag, parser in parsers(command, flags).items()
    }


# --- from arguments to flags --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--slides a b --output o", {"slides": ["a", "b"], "output": ["o"]}),
        ("--slides=a b --output=o", {"slides": ["a", "b"], "output": ["o"]}),
        ("--output o=p", {"output": ["o=p"]}),
        ("--output=o=p", {"output": ["o=p"]}),
        ("--output=", {"output": [""]}),
        ("--stride -64", {"stride": ["-64"]}),
        (
            "--assume-mpp 0.25 --train::trainer#max-epochs=2",
            {"assume_mpp": ["0.25"], "train#trainer#max_epochs": ["2"]},
        ),
        ("--ignore", {"ignore": []}),
        ("-o out -m=0.5 -n 001", {"output": ["out"], "mpp": ["0.5"], "normal": ["001"]}),
        ("", {}),
    ],
)
def test_values_are_gathered_by_flag(arguments: str, expected: dict[str, list[str]]) -> None:
    found = join_values(arguments.split(), sample)
    assert {flag: split_values(text) for flag, text in found.items()} == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize("form", ["--{flag}={value}", "--{flag} {value}"])
@pytest.mark.parametrize(
    ("flag", "command"),
    [("slides", sample), ("output", sample), ("output_dir", from_config), ("config_file", from_config)],
)
@pytest.mark.parametrize(
    ("value", "expected"),
    [("~", "/h"), ("~/x", "/h/x"), ("~root/x", os.path.expanduser("~root/x")), ("a~", "a~"), ("./~/x", "./~/x")],
)
def test_a_tilde_is_the_home_folder(
    form: str, flag: str, command: Any, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/h")
    flags = join_values(form.format(flag=flag, value=value).split(), command)
    assert split_values(flags[flag]) == [expected]


def test_a_tilde_is_the_home_folder_in_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    assert parse("--slides=~/a ~/b b", sample)["slides"] == ["/h/a", "/h/b", "b"]
    assert parse(["--train_folders", "['~/a', ('~/b', 3)]"], from_config) == {"train_folders": ["/h/a", ("/h/b", 3)]}


def test_a_tilde_of_nobody_is_refused() -> None:
    for arguments in ("--output=~nobody-here/x", "--slides a ~nobody-here"):
        with pytest.raises(InputError, match=r"~nobody-here.*: expected ~ or ~user of a user of this machine"):
            join_values(arguments.split(), sample)


def test_a_tilde_in_a_text_stays() -> None:
    assert join_values(["--normal=~a"], sample) == {"normal": "~a"}


def test_a_value_with_spaces_is_one() -> None:
    assert parse(["--slides", "my slides/a b.tif", "c.tif"])["slides"] == ["my slides/a b.tif", "c.tif"]


@pytest.mark.parametrize("word", ["a.tif", "-s", "-5", "-x=3"])
def test_a_value_without_a_flag_is_refused(word: str) -> None:
    with pytest.raises(InputError, match=f"unexpected argument '{word}'; a value follows its flag"):
        join_values([word, "--output", "o"], sample)


@pytest.mark.parametrize("arguments", ["--stride 1 --stride 2", "-o a --output=b", "--slides --slides a"])
def test_a_flag_given_twice_is_refused(arguments: str) -> None:
    with pytest.raises(InputError, match=r"^--(stride|output|slides) is given twice; give it once"):
        join_values(arguments.split(), sample)


def test_short_flags_are_those_that_only_one_parameter_starts_with() -> None:
    assert join_values(["-o", "x"], sample) == {"output": "x"}
    with pytest.raises(InputError, match="unexpected argument '-s'"):  # slides or stride
        join_values(["-s", "x"], sample)
    with pytest.raises(InputError, match="unexpected argument '-o'"):
        join_values(["-o", "x"], from_config)


@pytest.mark.parametrize(
    ("argument", "name"),
    [("--assume-mpp=0.25", "assume_mpp"), ("--a", "a"), ("--a#b-c#0", "a#b_c#0"), ("--a::b=c::d", "a#b")],
)
def test_flag_name(argument: str, name: str) -> None:
    assert flag_name(argument) == name


# --- which flags exist --------------------------------------------------------------------------------------------


def check(arguments: str, command: Any = sample, configs: Any = ()) -> None:
    check_flags(join_values(arguments.split(), command), command, configs)


@pytest.mark.parametrize(("name", "nearest"), [("infr", "infer"), ("ground-truth", "groundtruth"), ("FROC", None)])
def test_an_unknown_command_is_refused_with_the_nearest(name: str, nearest: str | None) -> None:
    hint = "" if nearest is None else f"; did you mean '{nearest}'[?]"
    with pytest.raises(InputError, match=f"^no command '{name}'{hint}; see tumor-detection --help$"):
        find_command(name, COMMANDS)


def test_a_command_is_found() -> None:
    assert find_command("froc", COMMANDS) is COMMANDS["froc"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--slides a --output o --strid 64", r"sample has no flag or id --strid; did you mean 'stride'\?; see "),
        ("--slide a --output o", r"no flag or id --slide; did you mean 'slides'\?"),
        ("--slides a --output o --qqq 1", r"no flag or id --qqq; see tumor-detection sample --help$"),
        ("--slides a --output o --stride#x 1", r"no flag or id --stride#x"),
        ("--slides a --output o --config_file x", r"no flag or id --config_file"),
        ("--slides a", r"^sample needs --output; see tumor-detection sample --help$"),
        ("", r"^sample needs --slides; "),
        ("--slides --output o", r"^--slides needs a value; "),
        ("--slides a --output o --stride", r"^--stride needs a value; "),
        ("--slides a --output o --", r"no flag or id --; "),
        ("--slides a --output=", r"^--output needs a value, but got an empty one; "),
        ("--slides= --output o", r"^--slides needs a value, but got an empty one; "),
    ],
)
def test_flags_are_refused(arguments: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(arguments)


@pytest.mark.parametrize("arguments", ["--slides a --output o", "--slides a --output o --ignore --mpp 1 --normal n"])
def test_flags_are_accepted(arguments: str) -> None:
    check(arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--strid 64", r"no flag or id --strid; did you mean 'stride'\?"),
        (
            "--evaluator#ampp true",
            r"no flag or id --evaluator#ampp; did you mean 'evaluator#amp'\?.*--config_file FILE$",
        ),
        ("--preprocessing#transforms#1#a_min 0", r"did you mean 'preprocessing#transforms#0#a_min'\?"),
        ("--stride#x 0", r"no flag or id --stride#x"),
        ("--overrides 1", r"no flag or id --overrides"),
        ("--stride", r"^--stride needs a value"),
        ("--config_file", r"^--config_file needs a value"),
        ("--output_dir=", r"^--output_dir needs a value, but got an empty one"),
    ],
)
def test_ids_are_refused(arguments: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(arguments, from_config, [INFERENCE])


@pytest.mark.parametrize(
    "arguments",
    [
        "--stride 64 --slides a b",
        "--evaluator#amp",  # false in the config: a switch
        "--network_def#pool#1#kernel_size 7",
        "--preprocessing#transforms#0#a_min 0",
        "--preprocessing::transforms::0::a_min 0",
        "--config_file x.json",
    ],
)
def test_ids_are_accepted(arguments: str) -> None:
    check(arguments, from_config, [INFERENCE])


def test_nested_ids_of_training_are_accepted() -> None:
    check("--train#trainer#max_epochs 2 --validate#dataloader#num_workers 0 --resume", from_config, [TRAIN])


def test_ids_of_an_overlay_count_and_others_stay_refused(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.json"
    overlay.write_text(json.dumps({"extra": {"a": [1]}, "+added": [], "evaluator#new": {"b": 1}}))
    configs = [INFERENCE, overlay]
    for flag in ("extra", "extra#a#0", "added", "evaluator#new#b", "evaluator#amp"):
        check(f"--{flag} 1", from_config, configs)
    with pytest.raises(InputError, match=r"--extr; did you mean 'extra'\?"):
        check("--extr 1", from_config, configs)


@pytest.mark.parametrize(
    ("content", "message"),
    [("[1]", r"overlay\.json: expected a config, an object of ids, found \[1\]; "), ("{", "not a readable JSON file")],
)
def test_an_overlay_that_is_no_config_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "overlay.json").write_text(content)
    with pytest.raises(InputError, match=message):
        check("--stride 1", from_config, [INFERENCE, tmp_path / "overlay.json"])


# --- values -------------------------------------------------------------------------------------------------------


def test_values_have_the_type_of_their_parameter() -> None:
    found = parse("--slides 001 1 --output 2024 --stride -3 --mpp 1 --ignore --normal 001,002")
    assert found == {
        "slides": ["001", "1"],
        "output": "2024",
        "stride": -3,
        "mpp": 1.0,
        "ignore": True,
        "normal": "001,002",
    }
    assert isinstance(found["mpp"], float)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False)])
def test_switches(text: str, value: bool) -> None:
    assert parse(f"--ignore {text}") == {"ignore": value}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--stride 6.5", r"^--stride must be a whole number, but got '6\.5'$"),
        ("--stride many", r"must be a whole number, but got 'many'"),
        ("--stride 6_4", r"^--stride must be a whole number, but got '6_4'$"),
        ("--stride \u0663", r"^--stride must be a whole number"),
        ("--mpp 1_0.5", r"^--mpp must be a number, but got '1_0.5'$"),
        ("--mpp 0,25", r"^--mpp must be a number, but got '0,25'$"),
        ("--mpp nan", r"must be a number, but got 'nan'"),
        ("--mpp -inf", r"must be a number, but got '-inf'"),
        ("--ignore yes", r"^--ignore must be true or false, but got 'yes'$"),
        ("--stride 1 2", r"^--stride takes one value, but got 1 2$"),
    ],
)
def test_values_are_refused(arguments: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(arguments)


def test_a_value_may_be_empty_where_that_is_the_default() -> None:
    check("--slides a --output o --normal=")
    assert parse("--normal=") == {"normal": ""}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64", 64),
        ("-1", -1),
        ("0.25", 0.25),
        ("1e-3", 0.001),
        ("true", True),
        ("False", False),
        ("null", None),
        ("None", None),
        ("[1, 2]", [1, 2]),
        ("(3, 3)", (3, 3)),
        ("3,3", (3, 3)),
        ("{'a': 1}", {"a": 1}),
        ("'64'", "64"),
        ("001", "001"),
        ("cuda:0", "cuda:0"),
        ("$torch.device('cpu')", "$torch.device('cpu')"),
        ("@stride", "@stride"),
        ("a/b.tif", "a/b.tif"),
        ("__import__('os')", "__import__('os')"),
        ("{[]: 1}", "{[]: 1}"),
        ("", ""),
        ("\0", "\0"),
        ("(" * 300, "(" * 300),
    ],
)
def test_literals_of_overrides(text: str, value: Any) -> None:
    found = parse_override(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "number", "plain"),
    [
        ("1_000", "1_000", "1000"),
        ("-1_0", "1_0", "10"),
        (" 0_1.5_0", "0_1.5_0", "01.50"),
        ("[1, 2_0]", "2_0", "20"),
        ("{'a_b': 1_0}", "1_0", "10"),
        ("0x_ff", "0x_ff", "0xff"),
    ],
)
def test_numbers_with_underscores_are_refused_as_in_flags(text: str, number: str, plain: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"expected a number, found {number}; write {plain}, or quote")):
        parse_override(text)


@pytest.mark.parametrize("text", ["run_1", "'1_000'", "a_1.tif", "1_000_a", "$int('1_0')"])
def test_names_with_underscores_stay_text(text: str) -> None:
    assert parse_override(text) == text.strip("'")


def test_several_values_of_an_id_are_a_list() -> None:
    assert parse("--patch_size 224 448", from_config) == {"patch_size": [224, 448]}


@pytest.mark.parametrize(
    "flag", ["slides", "dataset_dir", "foreground_dir", "training_file", "weights", "config_file", "corrections"]
)
def test_paths_stay_text(flag: str) -> None:
    assert parse(f"--{flag} 64", from_config) == {flag: "64"}
    assert parse(f"--{flag} 1 002", from_config) == {flag: ["1", "002"]}
    assert parse(f"--{flag} null", from_config) == {flag: None}


def test_a_number_of_slides_is_no_path() -> None:
    assert parse("--max_slides 64", from_config) == {"max_slides": 64}
