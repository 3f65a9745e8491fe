from __future__ import annotations

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import TorchVisionFCModel

from helpers.dense_networks import padded_network
from scripts import bundle_root
from scripts.errors import InputError
from scripts.network import runtime as runtime_module
from scripts.network.network import prepare_network
from scripts.network.preprocessing import Scaling
from scripts.network.runtime import OpenVINORuntime, TorchRuntime, choose_precision, make_runtime, resolve_runtime
from scripts.slides.slide import open_slide

CPU = torch.device("cpu")
SCALING = Scaling(2 / 255, -1.0)


@pytest.fixture(scope="module")
def shipped() -> torch.nn.Module:
    """The bundle's network with the shipped weights."""
    pool = ("avg", {"kernel_size": 7, "stride": 1})
    network = TorchVisionFCModel("resnet18", num_classes=1, use_conv=True, pool=pool, pretrained=False)
    return prepare_network(network, CPU, Path(bundle_root()) / "models" / "model.pt", 0.243, 224).eval()


@pytest.fixture(scope="module")
def strip() -> torch.Tensor:
    """Parts of the bundle's real tissue: tumor, lymphoid tissue and fat, (5, 3, 512, 256) uint8."""
    with open_slide(Path(bundle_root()) / "sample" / "metastasis_strip.tif") as slide:
        tops = range(0, slide.shape[0] - 512, (slide.shape[0] - 512) // 4)
        parts = [slide.read_region((top, 128), (512, 256), 1.0) for top in tops]
    return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)) * 2 - 1


@pytest.mark.parametrize("shape", [(1, 3, 224, 224), (5, 3, 224, 224), (1, 3, 288, 416), (2, 3, 416, 256)])
def test_openvino_computes_what_torch_computes(shipped: torch.nn.Module, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    with torch.no_grad():
        expected = shipped(pixels)
    assert expected.shape[2:] == (shape[2] // 32 - 6, shape[3] // 32 - 6)
    found = OpenVINORuntime(shipped, "float32")(pixels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize("kind", [OpenVINORuntime, TorchRuntime])
def test_bfloat16_is_close_and_float32_is_not_bfloat16(
    kind: type[OpenVINORuntime] | type[TorchRuntime], shipped: torch.nn.Module
) -> None:
    if not torch.cpu._is_avx512_bf16_supported():
        pytest.skip("the processor does not compute bfloat16")
    pixels = noise(3, 3, 224, 256)
    exact, quick = kind(shipped, "float32")(pixels), kind(shipped, "bfloat16")(pixels)
    assert quick.dtype == torch.float32
    assert 1e-4 < (exact - quick).abs().max() < 0.3


@pytest.mark.parametrize("kind", [OpenVINORuntime, TorchRuntime])
def test_calls_share_nothing(kind: type[OpenVINORuntime] | type[TorchRuntime]) -> None:
    network = padded_network()
    runtime = kind(network, "float32")
    pixels = noise(2, 3, 256, 224)
    before = pixels.clone()
    first = runtime(pixels)
    kept = first.clone()
    second = runtime(-pixels)
    torch.testing.assert_close(first, kept, rtol=0, atol=0)
    torch.testing.assert_close(pixels, before, rtol=0, atol=0)
    assert not torch.equal(first, second)
    assert not first.requires_grad
    last = runtime(pixels.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, first, rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_openvino_shares_images_out_to_its_streams(monkeypatch: pytest.MonkeyPatch, num_threads: int) -> None:
    monkeypatch.setattr(runtime_module, "count_threads", lambda: num_threads)
    network = padded_network()
    runtime = OpenVINORuntime(network, "float32")
    assert runtime.num_streams == num_threads
    batches = [noise(count, 3, 224, 224 + 32 * count).flip(count % 2) for count in (1, 5, 2, 3, 1, 4)]
    with torch.no_grad():
        expected = [network(pixels) for pixels in batches]
    with ThreadPoolExecutor(4) as threads:
        found = [*map(runtime, batches), *threads.map(runtime, batches)]
    for one, other in zip(found, expected * 2, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-5)


def test_a_network_is_converted_as_in_evaluation() -> None:
    pixels = noise(4, 3, 224, 224)
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Conv2d(3, 1, 224))
    with torch.no_grad():
        expected = network.eval()(pixels)
    found = OpenVINORuntime(network.train(), "float32")(pixels)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
    assert network.training, "left as it was"


class _Bessel(torch.nn.Module):
    """Has a step that OpenVINO does not know."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(pixels[:, :1, :1, :1])


def test_a_network_that_cannot_be_converted_leaves_the_warnings_of_others() -> None:
    root = logging.getLogger()
    before = root.level, root.filters[:], root.handlers[:]
    with pytest.raises(InputError):
        make_runtime(_Bessel(), "openvino", CPU, "float32")(torch.zeros(1, 3, 32, 32))
    assert (root.level, root.filters, root.handlers) == before


def test_a_network_that_cannot_be_converted_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"OpenVINO cannot convert _Bessel \(.*give --runtime torch") as error:
        OpenVINORuntime(_Bessel(), "float32")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert TorchRuntime(_Bessel(), "float32")(noise(1, 3, 2, 2)).shape == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("asked", "device", "expected"),
    [
        ("auto", "cpu", "openvino"),
        ("auto", "cuda:1", "torch"),
        ("auto", "mps", "torch"),
        ("torch", "cpu", "torch"),
        ("openvino", "cpu", "openvino"),
    ],
)
def test_auto_takes_openvino_on_a_cpu(asked: str, device: str, expected: str) -> None:
    assert resolve_runtime(asked, torch.device(device)) == expected


def test_runtimes_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="computes on a CPU, but device is cuda:1; give --runtime torch"):
        resolve_runtime("openvino", torch.device("cuda:1"))
    with pytest.raises(InputError, match="runtime must be one of auto, torch, openvino, onnxruntime, but got 'onnx'"):
        resolve_runtime("onnx", CPU)


@pytest.mark.parametrize(
    ("asked", "runtime", "has_tops", "is_quick", "expected"),
    [
        ("auto", "openvino", True, True, "int8"),
        ("auto", "openvino", True, False, "float32"),
        ("auto", "openvino", False, True, "float32"),
        ("auto", "torch", True, True, "float32"),
        ("auto", "onnxruntime", True, True, "float32"),
        ("int8", "openvino", True, False, "int8"),
        ("float32", "openvino", True, True, "float32"),
        ("bfloat16", "openvino", True, True, "bfloat16"),
    ],
)
def test_auto_takes_whole_numbers_where_they_are_quick_and_the_network_is_known(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    asked: str,
    runtime: str,
    has_tops: bool,
    is_quick: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": is_quick})
    with caplog.at_level(logging.INFO):
        assert choose_precision(asked, runtime, CPU, has_tops) == expected
    is_told = asked == "auto" and runtime == "openvino" and is_quick and not has_tops
    assert [text.partition(":")[0] for text in caplog.messages] == ["precision auto is float32"] * is_told


def test_a_precision_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match=r"precision int8: needs the highest activations, which train writes"):
        choose_precision("int8", "openvino", CPU, has_tops=False)
    with pytest.raises(InputError, match=r"precision int8: OpenVINO computes it, on a CPU, but runtime is torch"):
        choose_precision("int8", "torch", CPU, has_tops=True)
    with pytest.raises(InputError, match=r"must be one of auto, float32, bfloat16, int8, but got 'int4'"):
        choose_precision("int4", "openvino", CPU, has_tops=True)


def test_whole_numbers_are_close_to_float32_on_real_tissue(shipped: torch.nn.Module, strip: torch.Tensor) -> None:
    exact, quick = (OpenVINORuntime(shipped, precision, SCALING)(strip) for precision in ("float32", "int8"))
    assert exact.shape == quick.shape
    assert float(exact.max()) > 1
    assert float(exact.min()) < -2
    difference = (exact - quick).abs()
    assert 1e-3 < float(difference.mean()) < 0.05
    assert float(difference.max()) < 0.3
    assert float((exact.sigmoid() - quick.sigmoid()).abs().max()) < 0.05


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_make_runtime_makes_what_is_named(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        runtime = make_runtime(padded_network(), name, CPU, "float32")
    assert runtime.name == name
    assert ("compiling the network for OpenVINO; this takes some seconds" in caplog.messages) == (name == "openvino")
    assert runtime(noise(2, 3, 224, 256)).shape == (2, 1, 1, 2)


# --- in a process of its own ------------------------------------------------------------------------------------

PROGRAM = """
import ctypes, gc, os, signal, sys, threading
seen = []
watched = ("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.system", "urllib.")
sys.addaudithook(lambda event, arguments: seen.append(event) if event.startswith(watched) else None)
import numpy as np
import torch
from helpers.dense_networks import padded_network
from scripts.network.runtime import OpenVINORuntime
start = len(seen)
threads = set(threading.enumerate())
def signal_stack():
    fields = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
    found = type("stack_t", (ctypes.Structure,), {"_fields_": fields})()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    return found.start
runtimes, stacks = [], set()
for seed in (1, 2):
    runtimes.append(OpenVINORuntime(padded_network(seed), "float32"))
    stacks.add(signal_stack())
print("stacks", len(stacks))
for runtime in runtimes:
    runtime(torch.zeros(1, 3, 224, 256))
print("events", seen[start:])
print("threads", len(set(threading.enumerate()) - threads))
print("telemetry", [name for name, module in sys.modules.items() if "openvino_telemetry" in name and module])
signal.signal(signal.SIGUSR1, lambda *_: print("signal"))
while runtimes:
    del runtimes[0]
    gc.collect()
    os.kill(os.getpid(), signal.SIGUSR1)
    sum(range(1000))
"""


def test_openvino_phones_nobody_and_survives_signals(tmp_path: Path) -> None:
    paths = [str(Path(bundle_root())), str(Path(__file__).parents[2])]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(paths)}
    for name in ("CI", "TF_BUILD", "JENKINS_URL"):  # the telemetry keeps quiet where it finds these
        environment.pop(name, None)
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == ["stacks 1", "events []", "threads 0", "telemetry []", "signal", "signal"]
    assert not (tmp_path / "intel").exists(), "where the telemetry keeps its files"
