"""The way of the bundle to a user: served over HTTP, fetched with MONAI's command, and run from the fetched copy alone.

``python tests/zoo/round_trip.py --python OTHER`` packages this checkout and goes that way with another interpreter, in
which the pins of ``metadata.json`` are installed and this package is not. ``--requirements`` prints those pins, as pip
takes them. tests/integration/test_round_trip.py goes the same way with the interpreter of the tests.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "bundle"), str(ROOT / "tests")]

from helpers.zoo_schema import SCHEMA  # noqa: E402 - found by the lines above
from scripts.labels.loclabel import generate_loclabels  # noqa: E402
from scripts.release.consistency import NAME  # noqa: E402
from scripts.release.release import package_bundle  # noqa: E402
from scripts.synthetic.cohort import write_cohort  # noqa: E402

ZOO_CI = ("jsonschema", "parameterized", "pyyaml")
"""What the model zoo's CI installs besides the pins."""


class Data(NamedTuple):
    """Slides and labels to run on."""

    training_dir: Path
    testing_dir: Path
    training: Path
    validation: Path


def make_data(folder: Path) -> Data:
    """Draw a small synthetic cohort: one step of training, two slides to infer."""
    cohort = write_cohort(folder, num_train=2, num_test=2, shape=(1201, 1603), num_train_regions=2, num_valid_regions=2)
    for coords, name in ((cohort.train_coords, "training"), (cohort.valid_coords, "validation")):
        generate_loclabels(coords, cohort.annotations_dir, folder / f"{name}.csv")
    dirs = cohort.training[0].parent, cohort.testing[0].parent
    return Data(*dirs, folder / "training.csv", folder / "validation.csv")


def requirements() -> list[str]:
    """The pins of metadata.json, as the model zoo's CI installs them, and what else it installs."""
    metadata = json.loads((ROOT / "bundle" / "configs" / "metadata.json").read_text(encoding="utf-8"))
    pins = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
    found = [f"{name}=={metadata[key]}" for name, key in pins.items()]
    return [*found, *(f"{name}=={pin}" for name, pin in metadata["required_packages_version"].items()), *ZOO_CI]


def make_bare_python(folder: Path) -> Path:
    """An environment with this interpreter's packages, in which editable installs, as of this package, are unknown.

    Python follows .pth files, by which editable installs are found, in an environment's own folder of packages only.
    """
    venv.create(folder, with_pip=False)
    (own,) = folder.glob("lib/python*/site-packages")
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (own / "packages.pth").write_text("\n".join(packages) + "\n")
    return folder / "bin" / "python"


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP on this machine; yields the URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Traveller:
    """Runs the steps with one interpreter, each from a working directory that holds nothing of the bundle.

    Args:
        python: the interpreter.
        folder: for the fetched bundle, the working directory and results.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        self.python = python
        self.bundle = folder / "fetched" / NAME
        self.cwd = folder / "elsewhere"
        self.cwd.mkdir()

    def run(self, *arguments: object) -> str:
        """Run Python; return its standard output and error.

        Raises:
            RuntimeError: if it failed.
        """
        dropped = ("PYTHONPATH", "CUFILE_LOGFILE_PATH", "CUFILE_ENV_PATH_JSON")
        process = subprocess.run(
            [str(self.python), *map(str, arguments)],
            cwd=self.cwd,
            env={key: value for key, value in os.environ.items() if key not in dropped},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if process.returncode:
            raise RuntimeError(f"{' '.join(map(str, arguments))}: {process.stdout[-3000:]}")
        return process.stdout

    def verb(self, *arguments: object) -> str:
        """Run one of MONAI's bundle commands."""
        return self.run("-m", "monai.bundle", *arguments)

    def verbs(self, *commands: Sequence[object]) -> str:
        """Run several of them, one after the other in one process, which imports MONAI once."""
        loop = "for sys.argv[1:] in json.loads(sys.argv[1]): runpy.run_module('monai.bundle', run_name='__main__')"
        texts = json.dumps([[str(word) for word in words] for words in commands])
        return self.run("-c", f"import json, runpy, sys\n{loop}", texts)

    def download(self, url: str) -> None:
        """Fetch the bundle."""
        self.bundle.parent.mkdir()
        self.verb("download", "--name", NAME, "--url", f"{url}/{NAME}.zip", "--bundle_dir", self.bundle.parent)

    def check_no_other(self) -> None:
        """Fail if the interpreter can import a copy that was not fetched."""
        self.run(
            "-c", f"from importlib.util import find_spec; assert not find_spec('scripts') and not find_spec({NAME!r})"
        )

    def find_root(self) -> str:
        """The folder that the fetched configs take for the bundle."""
        show = ["--show", "$print('root:', @bundle_root)"]
        out = self.verb("run", "show", "--config_file", self.bundle / "configs" / "inference.json", *show)
        return out.split("root: ")[1].splitlines()[0]

    def train(self, data: Data) -> None:
        """One epoch, which is one step, on the CPU."""
        labels = ["--training_file", data.training, "--validation_file", data.validation]
        flags = ["--dataset_dir", data.training_dir, *labels, "--epochs", 1, "--num_workers", 0, "--output_dir", "run"]
        self.verb("run", "training", "--config_file", self.bundle / "configs" / "train.json", *flags)

    def infer(self, data: Data) -> None:
        """Maps of two slides."""
        flags = ["--dataset_dir", data.testing_dir, "--stride", 512, "--mode", "sliding", "--num_workers", 0]
        flags += ["--output_dir", "maps"]
        self.verb("run", "inference", "--config_file", self.bundle / "configs" / "inference.json", *flags)

    def verify_and_export(self) -> None:
        """Metadata against the schema, the network against the metadata; then TorchScript."""
        meta = ["--meta_file", self.bundle / "configs" / "metadata.json"]
        (self.cwd / "schema.json").write_text(json.dumps(SCHEMA))
        config = ["--config_file", self.bundle / "configs" / "inference.json"]
        files = ["--filepath", "model.ts", "--ckpt_file", self.bundle / "models" / "model.pt"]
        self.verbs(
            ["verify_metadata", *meta, "--filepath", "schema.json"],
            ["verify_net_in_out", "network_def", *meta, *config],
            ["ckpt_export", "network_def", *files, *meta, *config],
        )

    def load(self) -> str:
        """The class of what MONAI's function of this name gives."""
        where = f"bundle_dir={str(self.bundle.parent)!r}, workflow_type='inference', device='cpu'"
        code = f"from monai.bundle import load; print('class:', type(load({NAME!r}, {where})).__name__)"
        return self.run("-c", code).split("class: ")[1].split()[0]


def main() -> None:
    """Go the whole way with another interpreter, and say how long each step took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", type=Path, help="the interpreter of the other environment")
    parser.add_argument("--requirements", action="store_true", help="print what that environment needs, for pip")
    arguments = parser.parse_args()
    if arguments.requirements or arguments.python is None:
        print("\n".join(requirements()))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = make_data(folder / "data")
        print(package_bundle(folder / "zoo"))
        traveller = Traveller(arguments.python.absolute(), folder)
        print(traveller.run("-c", "import sys, torch, monai; print(sys.version, torch.__version__, monai.__version__)"))
        with serve(folder / "zoo") as url:
            steps = {
                "no other copy": traveller.check_no_other,
                "download": lambda: traveller.download(url),
                "root": traveller.find_root,
                "training": lambda: traveller.train(data),
                "inference": lambda: traveller.infer(data),
                "verify, export": traveller.verify_and_export,
                "load": traveller.load,
            }
            for name, step in steps.items():
                start = time.monotonic()
                step()
                print(f"{name:14} done in {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
