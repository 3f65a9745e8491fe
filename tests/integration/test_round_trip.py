"""The bundle, packaged and fetched over HTTP, runs from the fetched copy alone; see tests/zoo/round_trip.py."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from helpers.bare_python import be_bare_with_torchrun
from helpers.forked_commands import Started
from scripts.release.consistency import NAME
from scripts.release.release import package_bundle
from zoo.round_trip import Data, Traveller, make_bare_python, make_data, requirements, serve

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ZOO_TESTS = Path(__file__).parents[1] / "zoo"


class Forked(Traveller):
    """Runs most steps in processes forked off one that has imported PyTorch and MONAI."""

    is_real = False

    def run(self, *arguments: object) -> str:
        if self.is_real:
            return super().run(*arguments)
        said = self.cwd.with_suffix(".said")
        said.unlink(missing_ok=True)
        with Started(["python", *map(str, arguments)], self.cwd, be_bare_with_torchrun, said=said) as process:
            if process.wait():
                raise RuntimeError(f"{' '.join(map(str, arguments))}: {process.said[-3000:]}")
        return process.said


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def traveller(tmp_path_factory: pytest.TempPathFactory) -> Forked:
    """At the end of the way: the bundle is fetched."""
    folder = tmp_path_factory.mktemp("round_trip")
    package_bundle(folder / "zoo")
    found = Forked(make_bare_python(folder / "python"), folder)
    with serve(folder / "zoo") as url:
        found.download(url)
    shutil.rmtree(folder / "zoo")
    return found


@pytest.fixture
def real(traveller: Forked) -> Forked:
    """One that starts the bare interpreter."""
    found = copy.copy(traveller)
    found.is_real = True
    return found


def test_configs_find_the_fetched_copy(traveller: Traveller) -> None:
    traveller.check_no_other()
    assert traveller.find_root() == str(traveller.bundle)


def test_training(traveller: Traveller, data: Data) -> None:
    traveller.train(data)
    state = torch.load(traveller.cwd / "run" / "model.pt", weights_only=True)
    shipped = torch.load(traveller.bundle / "models" / "model.pt", weights_only=True)
    assert state.keys() == shipped.keys()


def test_inference(real: Traveller, data: Data) -> None:
    real.check_no_other()
    real.infer(data)
    sidecar = json.loads((real.cwd / "maps" / "test_001.json").read_text())
    weights = real.bundle / "models" / "model.pt"
    assert sidecar["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (real.cwd / "maps" / "test_002.npy").is_file()


def test_verify_and_export(traveller: Traveller) -> None:
    traveller.verify_and_export()
    assert (traveller.cwd / "model.ts").stat().st_size > 10_000_000


def test_load(traveller: Traveller) -> None:
    assert traveller.load() == "TorchVisionFCModel"


@pytest.mark.parametrize("name", [f"test_{NAME}.py", f"test_{NAME}_dist.py"])
def test_the_unit_tests_of_the_zoo_run_from_its_folders(traveller: Forked, tmp_path: Path, name: str) -> None:
    shutil.copytree(traveller.bundle, tmp_path / "models" / NAME)
    (tmp_path / "ci" / "unit_tests").mkdir(parents=True)
    shutil.copy(ZOO_TESTS / name, tmp_path / "ci" / "unit_tests" / name)
    zoo = copy.copy(traveller)
    zoo.cwd = tmp_path
    out = zoo.run(f"ci/unit_tests/{name}")
    assert "Ran 2 tests" in out
    assert "\nOK" in out


def test_requirements_are_the_pins() -> None:
    metadata = json.loads((Path(__file__).parents[2] / "bundle" / "configs" / "metadata.json").read_text())
    found = requirements()
    assert f"torch=={metadata['pytorch_version']}" in found
    assert set(metadata["required_packages_version"]) <= {line.split("==")[0] for line in found}
