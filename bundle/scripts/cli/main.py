"""The command ``tumor-detection``: parses arguments, calls one function, prints one line when something is wrong.

Everything is imported as ``scripts.*`` from the bundle's folder, as MONAI's configs do, so that each module exists
once. The commands themselves import what they need when they run, so that ``--help`` is quick.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import fire
from fire.decorators import SetParseFns
from fire.helptext import HelpText
from fire.trace import FireTrace

BUNDLE_ROOT = Path(__file__).resolve().parents[2]
if str(BUNDLE_ROOT) not in sys.path:
    sys.path.insert(0, str(BUNDLE_ROOT))

from scripts.cli.data import (  # noqa: E402
    doctor,
    download,
    foreground,
    groundtruth,
)
from scripts.cli.labels import loclabel, mine, sample  # noqa: E402
from scripts.cli.network import calibrate, camelyon16, demo, infer, metrics, package, train  # noqa: E402
from scripts.cli.review import review  # noqa: E402
from scripts.cli.scores import export, froc, report  # noqa: E402
from scripts.cli.staging import stage  # noqa: E402
from scripts.errors import InputError, StopRequest, explain  # noqa: E402
from scripts.network.processors import share_processors  # noqa: E402

COMMANDS: dict[str, Callable[..., None]] = {
    command.__name__: command
    for command in (
        demo,
        doctor,
        download,
        loclabel,
        sample,
        foreground,
        train,
        infer,
        groundtruth,
        froc,
        stage,
        report,
        review,
        camelyon16,
        export,
        mine,
        metrics,
        calibrate,
        package,
    )
}
_CONFIGS = {"train": "train.json", "infer": "inference.json", "camelyon16": "camelyon16.json"}
_ON_PATCHES = ("metrics", "calibrate")
_AFTER_STOP = {
    "camelyon16": "what is done stays, and the same command goes on",
    "download": "files that are whole are kept, and the same command goes on",
    "infer": "maps that are whole are kept, and the same command does the rest",
    "review": "each verdict was kept when it was given",
    "train": "what was saved before is as it was",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; exits with one line on standard error and status 1 when something is wrong.

    Stopped by a signal, it exits with 128 and its number: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    share_processors()  # before a command imports torch, whose OpenMP looks at it once
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, format="%(levelname)s: %(message)s")
    if not debug:
        _hide_engine_exceptions()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that is not UTF-8 must not end what can be told of it
        sys.stdout.reconfigure(errors="backslashreplace")
    request = StopRequest(_interrupt)
    try:
        with request:
            _dispatch(arguments)
            _tell_fallbacks()
    except (KeyboardInterrupt, Exception) as error:  # the one place that turns any failure into a line and a status
        if debug:
            traceback.print_exc()
        _end_progress_bars()
        if request.number is None:
            sys.exit(f"error: {explain(error)}")
        # what a library raises where it was interrupted says nothing
        kept = _AFTER_STOP.get(arguments[0], "no file is left half-written; the same command begins anew")
        print(f"stopped; {kept}", file=sys.stderr)
        sys.exit(128 + request.number)


def _tell_fallbacks() -> None:
    if "scripts.slides.fallbacks" in sys.modules:  # commands without slides do not import it
        sys.modules["scripts.slides.fallbacks"].tell_fallbacks()


def _interrupt() -> None:
    raise KeyboardInterrupt


def _dispatch(arguments: list[str]) -> None:
    from scripts.cli.arguments import check_flags, find_command, join_values, parsers, split_values
    from scripts.cli.paths import check_paths
    from scripts.workflow import find_overlays

    words = [argument for argument in arguments if argument not in ("--help", "-h")]
    command = find_command(words[0], COMMANDS) if words else None
    if command is None or len(words) < len(arguments):
        _print_help(command)
        return
    name = command.__name__
    if name == "download":
        words = _without_data_set(words)
    flags = join_values(words[1:], command)
    configs: list[Path] = []
    if name in _CONFIGS:
        configs = [BUNDLE_ROOT / "configs" / _CONFIGS[name], *find_overlays(split_values(flags.get("config_file")))]
    check_flags(flags, command, configs)
    if name in _ON_PATCHES:
        find_overlays(split_values(flags.get("config_file")))
    if name in ("train", "infer", *_ON_PATCHES) and "ray" not in flags:
        check_paths(flags)
    joined = [f"--{flag}" if value is None else f"--{flag}={value}" for flag, value in flags.items()]
    SetParseFns(**parsers(command, flags))(command)
    fire.Fire(COMMANDS, command=[name, *joined], name="tumor-detection")


def _without_data_set(words: list[str]) -> list[str]:
    """``download camelyon16 --output ...`` without the data set's name, which is the only one."""
    if words[1:2] != ["camelyon16"]:
        raise InputError("download needs a data set, camelyon16: tumor-detection download camelyon16 --output FOLDER")
    return [words[0], *words[2:]]


def _print_help(command: Callable[..., None] | None) -> None:
    """Fire's help on standard output, without its remarks on itself and its quotes."""
    name = "tumor-detection" if command is None else f"tumor-detection {command.__name__}"
    component = COMMANDS if command is None else command
    text = HelpText(component, trace=FireTrace(component, name=name)).replace(f"'{name}'", name)
    text = re.sub(r"(Type: )(?:Optional\[)?'(.+?)(?: \| None)?'\]?", r"\1\2", text)
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough; without this Python complains at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _hide_engine_exceptions() -> None:
    """The engines log an exception with its traceback before they raise it; it is printed once, at the end."""

    def is_no_exception(record: logging.LogRecord) -> bool:
        return record.exc_info is None and "terminating due to exception" not in str(record.msg)

    for engine in ("SupervisedTrainer", "SupervisedEvaluator"):
        logging.getLogger(f"ignite.engine.engine.{engine}").addFilter(is_no_exception)


def _end_progress_bars() -> None:
    """A progress bar that was interrupted would share its line with the error."""
    if "tqdm" in sys.modules:
        for bar in list(getattr(sys.modules["tqdm"].tqdm, "_instances", ())):
            bar.close()


if __name__ == "__main__":
    main()
