from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from scripts.errors import InputError
from scripts.network.exported import OnnxNetwork, load_torchscript
from scripts.network.forwards import DenseForward, PatchForward
from scripts.network.hashes import file_sha256
from scripts.network.preprocessing import Scaling
from scripts.network.runtime import ONNXRuntime, make_runtime, resolve_runtime

CPU = torch.device("cpu")
KERNEL = np.random.default_rng(3).normal(size=(1, 3, 64, 64)).astype(np.float32) / 64


def write_onnx(path: Path, shape: tuple[Any, ...] = ("n", 3, "h", "w"), element: int = TensorProto.FLOAT) -> Path:
    """One convolution with a logit every 32 pixels, for patches of 64 pixels."""
    node = helper.make_node("Conv", ["pixels", "kernel"], ["logits"], strides=[32, 32])
    values = numpy_helper.from_array(KERNEL.astype(helper.tensor_dtype_to_np_dtype(element)), "kernel")
    inputs = [helper.make_tensor_value_info("pixels", element, shape)]
    outputs = [helper.make_tensor_value_info("logits", element, (shape[0], 1, None, None))]
    graph = helper.make_graph([node], "one", inputs, outputs, [values])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def expected(pixels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.conv2d(pixels, torch.from_numpy(KERNEL), stride=32)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_a_scaling_goes_before_an_onnx_file(tmp_path: Path) -> None:
    network = OnnxNetwork(write_onnx(tmp_path / "a.onnx"))
    runtime = make_runtime(network, "onnxruntime", CPU, "float32", Scaling(2 / 255, -1.0))
    pixels = torch.arange(2 * 3 * 64 * 96).reshape(2, 3, 64, 96).to(torch.uint8)
    assert runtime.dtype == torch.uint8
    torch.testing.assert_close(runtime(pixels), expected(pixels / 127.5 - 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (5, 3, 64, 64), (2, 3, 96, 160)])
def test_an_onnx_file_computes_any_number_and_size(tmp_path: Path, shape: tuple[int, ...]) -> None:
    runtime = make_runtime(OnnxNetwork(write_onnx(tmp_path / "a.onnx")), "onnxruntime", CPU, "float32")
    pixels = noise(*shape).contiguous(memory_format=torch.channels_last)
    found = runtime(pixels)
    assert runtime.name == "onnxruntime"
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected(pixels), rtol=1e-5, atol=1e-5)


def test_an_onnx_file_of_one_size_runs_patch_by_patch_only(tmp_path: Path) -> None:
    runtime = ONNXRuntime(OnnxNetwork(write_onnx(tmp_path / "a.onnx", ("n", 3, 64, 64))), "float32")
    assert not DenseForward(runtime, 64).is_possible(CPU)
    image = noise(3, 96, 128)
    found = PatchForward(runtime, 64, batch_size=2)(image, np.array([[0, 0], [32, 64], [10, 7]]))
    patches = torch.stack([image[:, :64, :64], image[:, 32:, 64:], image[:, 10:74, 7:71]])
    torch.testing.assert_close(found, expected(patches).flatten(), rtol=1e-5, atol=1e-5)
    with pytest.raises(RuntimeError, match=r"a.onnx"):
        runtime(noise(1, 3, 96, 64))


def test_an_onnx_file_of_any_size_runs_over_tiles(tmp_path: Path) -> None:
    assert DenseForward(ONNXRuntime(OnnxNetwork(write_onnx(tmp_path / "a.onnx"))), 64).is_possible(CPU)


@pytest.mark.parametrize(
    ("shape", "element", "message"),
    [
        ((1, 3, 64, 64), TensorProto.FLOAT, "made for 1 image at once, expected any number"),
        (("n", 3, 64, 64), TensorProto.FLOAT16, "expected one float32 input"),
    ],
)
def test_an_onnx_file_of_another_form_is_refused(
    tmp_path: Path, shape: tuple[Any, ...], element: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        OnnxNetwork(write_onnx(tmp_path / "a.onnx", shape, element))


def test_what_is_no_onnx_file_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such ONNX file"):
        OnnxNetwork(tmp_path / "missing.onnx")
    (tmp_path / "a.onnx").write_bytes(b"no model" * 9)
    with pytest.raises(InputError, match=r"a.onnx: not an ONNX file") as error:
        OnnxNetwork(tmp_path / "a.onnx")
    assert "\n" not in str(error.value)


def test_onnxruntime_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_onnx(tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="not installed; install the package's extra onnx"):
        OnnxNetwork(path)


def test_onnxruntime_takes_no_other_network_precision_or_device(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"but network is Linear; give --config_file inference_onnx.json"):
        make_runtime(torch.nn.Linear(1, 1), "onnxruntime", CPU, "float32")
    with pytest.raises(InputError, match="computes in float32; give --precision float32"):
        ONNXRuntime(OnnxNetwork(write_onnx(tmp_path / "a.onnx")), "bfloat16")
    with pytest.raises(InputError, match="runtime onnxruntime computes on a CPU, but device is cuda"):
        resolve_runtime("onnxruntime", torch.device("cuda"))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_torchscript_file_is_loaded(tmp_path: Path) -> None:
    network = torch.nn.Conv2d(3, 1, 64, stride=32)
    torch.jit.save(torch.jit.script(network), tmp_path / "a.ts")
    pixels = noise(2, 3, 96, 64)
    torch.testing.assert_close(load_torchscript(tmp_path / "a.ts", CPU)(pixels), network(pixels))
    (tmp_path / "b.ts").write_bytes(b"no model")
    with pytest.raises(InputError, match=r"b.ts: not a TorchScript file"):
        load_torchscript(tmp_path / "b.ts", CPU)
    with pytest.raises(InputError, match="no such TorchScript file"):
        load_torchscript(tmp_path / "c.ts", CPU)


def test_a_tensorrt_engine_needs_a_gpu_and_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="device cpu: a TensorRT engine runs on a GPU"):
        load_torchscript(tmp_path / "a.ts", CPU, tensorrt=True)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    with pytest.raises(InputError, match="torch_tensorrt is not installed"):
        load_torchscript(tmp_path / "a.ts", torch.device("cuda"), tensorrt=True)


def test_an_onnx_file_says_what_it_is_for_in_a_sidecar(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_onnx(tmp_path / "a.onnx")
    OnnxNetwork(path, 0.243, 64)
    assert "nothing says what these weights were trained for, since there is no a.onnx.json" in caplog.text
    content = {"sha256": file_sha256(path), "mpp": 0.972, "patch_size": [64, 64]}
    (tmp_path / "a.onnx.json").write_text(json.dumps(content))
    OnnxNetwork(path, 0.972, 64)
    with pytest.raises(InputError, match=r"a\.onnx: trained at 0\.972 µm per pixel on patches of 64 px, but this run"):
        OnnxNetwork(path, 0.243, 64)
    assert len(caplog.records) == 1


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused_for_other_images_and_when_damaged(tmp_path: Path) -> None:
    path, layer = tmp_path / "a.ts", torch.nn.Conv2d(3, 1, 64)
    torch.jit.script(layer).save(path)
    content = {"sha256": file_sha256(path), "mpp": 0.972, "patch_size": [64, 64]}
    (tmp_path / "a.ts.json").write_text(json.dumps(content))
    load_torchscript(path, CPU, mpp=0.972, patch_size=64)
    with pytest.raises(InputError, match=r"a\.ts: trained at 0\.972 µm per pixel on patches of 64 px, but this run"):
        load_torchscript(path, CPU, mpp=0.243, patch_size=64)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(layer.weight.detach().numpy().tobytes()) + 2] ^= 0x04
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"a\.ts: damaged, its checksums do not hold"):
        load_torchscript(path, CPU)
