from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scripts.network import model_cache, runtime
from scripts.network.activations import Tops, keep_tops
from scripts.network.model_cache import VARIABLE, cache_folder, describe
from scripts.network.preprocessing import Scaling
from scripts.network.runtime import OpenVINORuntime

SCALING = Scaling(2 / 255, -1.0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "home" / "networks"))
    return tmp_path / "home" / "networks"


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[torch.nn.Module]:
    """The networks that were converted."""
    found = []
    convert = runtime.convert

    def note(network: torch.nn.Module, scaling: Scaling | None, patch_size: int, tops: Tops) -> object:
        found.append(network)
        return convert(network, scaling, patch_size, tops)

    monkeypatch.setattr(runtime, "convert", note)
    return found


def make_network(seed: int = 0, stride: int = 2) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [torch.nn.Conv2d(3, 5, 3, stride), torch.nn.BatchNorm2d(5), torch.nn.ReLU(), torch.nn.Conv2d(5, 1, 3)]
        return torch.nn.Sequential(*layers).eval()


def pixels() -> torch.Tensor:
    values = torch.randint(0, 256, (2, 3, 41, 27), generator=torch.Generator().manual_seed(1))
    return values.to(torch.uint8).contiguous(memory_format=torch.channels_last)


def compute(network: torch.nn.Module) -> torch.Tensor:
    return OpenVINORuntime(network, "float32", SCALING)(pixels())


def test_whole_numbers_are_kept_apart(folder: Path, converted: list[torch.nn.Module]) -> None:
    network = make_network()
    exact = compute(network)
    keep_tops(network, {"2": [1.5]})
    rounded = [OpenVINORuntime(network, "int8", SCALING)(pixels()) for _ in range(2)]
    assert len(converted) == len(list(folder.iterdir())) == 2
    torch.testing.assert_close(*rounded, rtol=0, atol=0)
    assert 0 < float((rounded[0] - exact).abs().max()) < 0.1
    keep_tops(network, {"2": [0.5]})
    other = OpenVINORuntime(network, "int8", SCALING)(pixels())
    assert not torch.equal(other, rounded[0]), "a network with other tops is another"


def entry(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_network_is_converted_once(folder: Path, converted: list[torch.nn.Module]) -> None:
    first = compute(make_network())
    second = compute(make_network())
    assert len(converted) == 1
    assert torch.equal(first, second)
    network = make_network()
    with torch.no_grad():
        torch.testing.assert_close(second, network(SCALING.apply(pixels())), rtol=1e-5, atol=1e-5)
    assert entry(folder).suffix == ".network"
    assert folder.stat().st_mode & 0o777 == 0o700


def shifted(network: torch.nn.Module) -> None:
    with torch.no_grad():
        next(network.parameters()).flatten()[0] += 1e-6


def with_other_mean(network: torch.nn.Module) -> None:
    network.get_submodule("1").register_buffer("running_mean", torch.full((5,), 0.5))


def with_other_epsilon(network: torch.nn.Module) -> None:
    network.get_submodule("1").eps = 1e-3  # type: ignore[assignment]


def with_padding(network: torch.nn.Module) -> None:
    network.get_submodule("3").padding = (1, 1)  # type: ignore[assignment]


def with_another_layer(network: torch.nn.Module) -> None:
    network.register_module("2", torch.nn.ELU())


CHANGES = [shifted, with_other_mean, with_other_epsilon, with_padding, with_another_layer]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_whatever_changes_the_network_changes_its_name(change: Callable[[torch.nn.Module], None]) -> None:
    network = make_network()
    changed = copy.deepcopy(network)
    assert describe(changed, SCALING) == describe(network, SCALING)
    change(changed)
    assert describe(changed, SCALING) not in (None, describe(network, SCALING))


@pytest.mark.parametrize("change", ["options", "processor", "OpenVINO's view of it"])
def test_what_is_compiled_in_another_way_or_elsewhere_is_kept_apart(
    change: str, folder: Path, converted: list[torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(make_network())
    if change == "options":
        monkeypatch.setattr(runtime, "count_threads", lambda: 3)
    elif change == "processor":
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": False})
    else:
        core = runtime._core()
        capable = ["FP32"]
        other = SimpleNamespace(
            get_property=lambda *names: capable, compile_model=core.compile_model, import_model=core.import_model
        )
        monkeypatch.setattr(runtime, "_core", lambda: other)
    compute(make_network())
    compute(make_network())
    assert len(converted) == len(list(folder.iterdir())) == 2


def test_what_openvino_does_not_export_is_computed_all_the_same(
    folder: Path, converted: list[torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compute(make_network())
    entry(folder).unlink()

    def fail(*arguments: object) -> None:
        raise RuntimeError("not implemented")

    monkeypatch.setattr(runtime.import_openvino().CompiledModel, "export_model", fail)
    assert torch.equal(compute(make_network()), expected)
    assert len(converted) == 2
    assert not list(folder.iterdir())


def test_scaling_patches_and_versions_change_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_network()
    names = {describe(network, scaling) for scaling in (None, SCALING, Scaling(2 / 255, -0.5), Scaling(1.0, -1.0))}
    names.add(describe(network, SCALING, 96))
    monkeypatch.setattr(model_cache, "version", lambda name: "2099.1")
    assert len(names | {describe(network, SCALING)}) == 6


class Own(torch.nn.Sequential):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) + 1  # type: ignore[no-any-return]


def with_own_code(network: torch.nn.Module) -> None:
    network.__class__ = Own


def with_own_forward(network: torch.nn.Module) -> None:
    network.get_submodule("2").forward = torch.sigmoid  # type: ignore[method-assign]


def with_hook(network: torch.nn.Module) -> None:
    network.get_submodule("2").register_forward_hook(lambda module, arguments, output: output + 1)


@pytest.mark.parametrize("change", [with_own_code, with_own_forward, with_hook], ids=lambda change: change.__name__)
def test_a_network_of_other_code_is_not_kept(
    change: Callable[[torch.nn.Module], None], folder: Path, converted: list[torch.nn.Module]
) -> None:
    network = make_network()
    compute(network)
    change(network)
    assert describe(network, SCALING) is None
    found = compute(network)
    with torch.no_grad():
        torch.testing.assert_close(found, network(SCALING.apply(pixels())), rtol=1e-5, atol=1e-5)
    assert len(converted) == 2
    entry(folder)


def of_another_network(path: Path) -> None:
    kept = path.read_bytes()
    compute(make_network(seed=1))
    (other,) = set(path.parent.iterdir()) - {path}
    assert other.read_bytes() != kept
    other.replace(path)


def with_a_changed_weight(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def with_a_changed_layer(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def with_a_line_of_something_else(path: Path) -> None:
    path.write_bytes(b"[1, 2]\n" + path.read_bytes())


def without_lines(path: Path) -> None:
    path.write_bytes(b"\0" * 10_000)


def that_openvino_does_not_read(path: Path) -> None:
    path.write_bytes(model_cache._line(path.stem, b"<net>") + b"<net>")


DAMAGES = [
    of_another_network,
    with_a_changed_weight,
    with_a_changed_layer,
    cut_off,
    emptied,
    with_a_line_of_something_else,
    without_lines,
    that_openvino_does_not_read,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_made_anew(
    damage: Callable[[Path], None], folder: Path, converted: list[torch.nn.Module]
) -> None:
    expected = compute(make_network())
    damage(entry(folder))
    converted.clear()
    assert torch.equal(compute(make_network()), expected)
    assert len(converted) == 1
    assert torch.equal(compute(make_network()), expected)
    assert len(converted) == 1, "the second time it is read again"


def test_a_file_of_another_user_is_not_read(
    folder: Path, converted: list[torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    compute(make_network())
    monkeypatch.setattr(os, "getuid", lambda: entry(folder).stat().st_uid + 1)
    compute(make_network())
    assert len(converted) == 2


@pytest.mark.parametrize("place", ["off", "a file", "no home"])
def test_without_a_place_networks_are_converted_each_time(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, converted: list[torch.nn.Module]
) -> None:
    if place == "no home":
        monkeypatch.delenv(VARIABLE)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    else:
        (tmp_path / "file").touch()
        monkeypatch.setenv(VARIABLE, "off" if place == "off" else str(tmp_path / "file" / "networks"))
    assert torch.equal(compute(make_network()), compute(make_network()))
    assert len(converted) == 2


def test_the_folder_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/pathology-tumor-detection/networks")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "pathology-tumor-detection" / "networks"


def test_what_was_used_last_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[Path] = []

    def compute_once(seed: int) -> Path:
        compute(make_network(seed))
        (new,) = set(folder.iterdir()) - set(paths)
        return new

    for seed in (0, 1, 2):
        paths.append(compute_once(seed))
        os.utime(paths[seed], (seed, seed))
    compute(make_network(0))  # used again
    monkeypatch.setattr(model_cache, "MAX_BYTES", int(2.5 * paths[0].stat().st_size))
    latest = compute_once(3)
    assert set(folder.iterdir()) == {paths[0], latest}
    monkeypatch.setattr(model_cache, "MAX_BYTES", 1)
    compute(make_network(1))
    assert entry(folder) == paths[1]
