from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor

from helpers.networks import fc_network
from scripts.errors import InputError
from scripts.network.activations import kept_tops, measure_tops
from scripts.network.network import AutocastInferer, load_checkpoint, load_weights, prepare_network, resolve_precision
from scripts.network.purpose import make_purpose, write_weights

CPU = torch.device("cpu")


def make_network(channels: int = 5) -> torch.nn.Module:
    """A few layers of each kind that the real network has; small, so that files are."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, channels, 3, padding=1),
        torch.nn.BatchNorm2d(channels),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Conv2d(channels, 1, 1),
    )


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(3)
    return make_network().eval()


class _Recorder(torch.nn.Module):
    """Notes how it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.channels_last: list[bool] = []
        self.dtypes: list[torch.dtype] = []
        self.layer = torch.nn.Conv2d(3, 1, 1)

    def forward(self, pixels: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        self.channels_last.append(pixels.is_contiguous(memory_format=torch.channels_last))
        output: torch.Tensor = self.layer(pixels) * scale
        self.dtypes.append(output.dtype)
        return output


class _Code:
    """Would write a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


# --- weights ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_load_weights_takes_float16_and_float32(tmp_path: Path, network: torch.nn.Module, dtype: torch.dtype) -> None:
    state = {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in network.state_dict().items()
    }
    torch.save(state, tmp_path / "model.pt")
    other = make_network()
    assert load_weights(other, tmp_path / "model.pt") is other
    for name, value in other.state_dict().items():
        assert value.dtype == network.state_dict()[name].dtype, "the network computes in its own dtype"
        torch.testing.assert_close(value, state[name].to(value.dtype), rtol=0, atol=0)


def test_load_weights_without_a_file(tmp_path: Path, network: torch.nn.Module) -> None:
    with pytest.raises(InputError, match=r"model\.pt: no such file of weights; give another path or train first"):
        load_weights(network, tmp_path / "model.pt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "content",
    [b"", b"not weights", b"\x80\x04", b"PK\x03\x04", pickle.dumps([1, 2]), b"version https://git-lfs.github.com/"],
    ids=["empty", "text", "pickle", "zip", "old pickle", "LFS pointer"],
)
def test_load_weights_of_another_kind_of_file(tmp_path: Path, network: torch.nn.Module, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pt: not a file of weights|model\.pt: expected a plain") as caught:
        load_weights(network, path)
    assert str(caught.value).isprintable(), "one line, no terminal colors"
    assert "weights_only" not in str(caught.value), "torch's advice to read it unsafely is not passed on"


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(content=st.binary(max_size=200))
def test_load_checkpoint_of_any_bytes_is_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pt"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_checkpoint(path)
    assert str(caught.value).isprintable()


def test_load_weights_of_a_truncated_file(tmp_path: Path, network: torch.nn.Module) -> None:
    path = tmp_path / "model.pt"
    torch.save(network.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="not a file of weights"):
        load_weights(network, path)


def test_load_weights_of_a_text_says_what_is_expected(tmp_path: Path, network: torch.nn.Module) -> None:
    (tmp_path / "model.pt").write_text("hello\n")
    with pytest.raises(InputError, match=r"model\.pt: not a file of weights \(expected tensors and plain values"):
        load_weights(network, tmp_path / "model.pt")


def test_load_weights_of_a_folder(tmp_path: Path, network: torch.nn.Module) -> None:
    with pytest.raises(InputError, match="not a file of weights"):
        load_weights(network, tmp_path)


def test_load_weights_runs_no_code(tmp_path: Path, network: torch.nn.Module) -> None:
    trap = tmp_path / "trap"
    torch.save({"weight": _Code(trap)}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="not a file of weights"):
        load_weights(network, tmp_path / "model.pt")
    assert not trap.exists()
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert trap.exists(), "the trap would have worked"


@pytest.mark.parametrize("content", [{"network": {}, "epoch": 3}, [torch.zeros(2)], torch.zeros(2)])
def test_load_weights_of_a_checkpoint_that_is_no_state_dict(
    tmp_path: Path, network: torch.nn.Module, content: Any
) -> None:
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(InputError, match=r"give a run's model\.pt, not its last\.pt"):
        load_weights(network, tmp_path / "last.pt")


def test_load_weights_of_other_names(tmp_path: Path, network: torch.nn.Module) -> None:
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"weights of another network \(18 names differ, as '0\.bias'\)"):
        load_weights(network, tmp_path / "model.pt")


def test_load_weights_of_another_shape_leaves_the_network_alone(tmp_path: Path, network: torch.nn.Module) -> None:
    torch.save(make_network(channels=7).state_dict(), tmp_path / "model.pt")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(InputError, match=r"'0\.weight' must have shape \(5, 3, 3, 3\), but has \(7, 3, 3, 3\)"):
        load_weights(network, tmp_path / "model.pt")
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_prepare_network_is_channels_last_and_loads_weights(tmp_path: Path, network: torch.nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "model.pt")
    other = make_network()
    assert prepare_network(other, CPU, tmp_path / "model.pt") is other
    weight = other.get_parameter("0.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(weight, network.get_parameter("0.weight"), rtol=0, atol=0)


def test_prepare_network_without_weights_keeps_its_own(network: torch.nn.Module) -> None:
    before = network.get_parameter("0.weight").clone()
    prepare_network(network, CPU)
    torch.testing.assert_close(network.get_parameter("0.weight"), before, rtol=0, atol=0)


def test_a_network_in_use_carries_the_activations_that_its_sidecar_states(
    tmp_path: Path, network: torch.nn.Module
) -> None:
    tops = measure_tops(network, [torch.ones(1, 3, 64, 64)])
    write_weights(tmp_path / "own.pt", network.state_dict(), make_purpose(0.5, 96, activations=tops))
    in_use = prepare_network(make_network(), CPU, tmp_path / "own.pt", 0.5, [96, 96])
    assert dict(kept_tops(in_use)) == {name: tuple(values) for name, values in tops.items()}
    assert not kept_tops(prepare_network(make_network(), CPU, tmp_path / "own.pt")), "a training starts anew"
    write_weights(tmp_path / "own.pt", network.state_dict(), make_purpose(0.5, 96))
    assert not kept_tops(prepare_network(in_use, CPU, tmp_path / "own.pt", 0.5, [96, 96])), "other weights, others"


def test_prepare_network_refuses_weights_for_other_images(tmp_path: Path, network: torch.nn.Module) -> None:
    write_weights(tmp_path / "own.pt", network.state_dict(), make_purpose(0.5, 96))
    prepare_network(make_network(), CPU, tmp_path / "own.pt", 0.5, [96, 96])
    prepare_network(make_network(), CPU, tmp_path / "own.pt")
    with pytest.raises(InputError, match=r"own\.pt: trained at 0\.5 µm per pixel on patches of 96 px, but this run"):
        prepare_network(make_network(), CPU, tmp_path / "own.pt", 0.25, 96)


# --- damage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_a_flipped_bit_is_noticed_wherever_it_is(
    tmp_path: Path, network: torch.nn.Module, place: float, mask: int
) -> None:
    path = tmp_path / "model.pt"
    torch.save({**network.state_dict(), "0.weight": torch.ones(500, 3, 3, 3)}, path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= mask
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pt: (damaged, its checksums do not hold|not a file of weights)"):
        load_checkpoint(path)


def test_a_flipped_bit_of_a_weight_is_noticed(tmp_path: Path, network: torch.nn.Module) -> None:
    path = tmp_path / "model.pt"
    torch.save(network.state_dict(), path)
    content = bytearray(path.read_bytes())
    start = content.index(network.get_parameter("0.weight").detach().numpy().tobytes())
    content[start + 2] ^= 0x04
    path.write_bytes(content)
    assert torch.load(path)["0.weight"].isfinite().all(), "torch itself does not notice it"
    with pytest.raises(InputError, match=r"model\.pt: damaged, its checksums do not hold \(.*data/\d+\); copy"):
        load_weights(network, path)


@pytest.mark.parametrize("form", [False, True])
def test_torchs_old_form_is_read_with_a_warning(
    tmp_path: Path, network: torch.nn.Module, caplog: pytest.LogCaptureFixture, form: bool
) -> None:
    torch.save(network.state_dict(), tmp_path / "model.pt", _use_new_zipfile_serialization=form)
    load_weights(make_network(), tmp_path / "model.pt")
    assert (
        [record.getMessage().partition(": ")[2] for record in caplog.records] == []
        if form
        else ["has torch's form of before 1.6, without checksums, so damage cannot be noticed"]
    )


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda value: value.to(torch.int32), "int32 (strided)"),
        (lambda value: value > 0, "bool (strided)"),
        (lambda value: value.to(torch.complex64), "complex64 (strided)"),
        (lambda value: value.to(torch.uint8), "uint8 (strided)"),
        (lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), "qint8 (strided)"),
        (lambda value: value.to_sparse(), "float32 (sparse_coo)"),
        (lambda value: value.to(torch.float8_e4m3fn), "float8_e4m3fn (strided)"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_no_plain_numbers_are_refused(
    tmp_path: Path, network: torch.nn.Module, change: Any, found: str
) -> None:
    state = network.state_dict()
    torch.save({**state, "0.weight": change(state["0.weight"])}, tmp_path / "model.pt")
    with pytest.raises(InputError) as caught:
        load_weights(make_network(), tmp_path / "model.pt")
    text = str(caught.value)
    assert f"'0.weight' must hold floating-point numbers, but holds {found}" in text or "not a file of weights" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("name", ["0.weight", "1.running_var"])
def test_numbers_that_are_not_finite_are_refused(
    tmp_path: Path, network: torch.nn.Module, name: str, value: float
) -> None:
    state = {key: tensor.double() for key, tensor in network.state_dict().items()}
    state[name].view(-1)[-1] = value
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(InputError, match=rf"model\.pt: '{name}' must hold finite numbers"):
        load_weights(make_network(), tmp_path / "model.pt")


@pytest.mark.parametrize("names", [[1, 2], [1, "a"], [("a",), "b"], [None]])
def test_names_that_are_no_text_are_one_line(tmp_path: Path, network: torch.nn.Module, names: list[Any]) -> None:
    torch.save(dict.fromkeys(names, torch.zeros(2)), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: expected a plain state dict of tensors"):
        load_weights(network, tmp_path / "model.pt")


# --- arithmetic -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_resolve_precision_does_as_told(name: str, dtype: torch.dtype, device: str) -> None:
    assert resolve_precision(name, torch.device(device)) is dtype


@pytest.mark.parametrize(
    ("capabilities", "is_quick"),
    [
        ({}, False),
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True, "avx512_fp16": False, "amx_bf16": False}, True),
        ({"avx512_bf16": True, "avx512_fp16": True, "amx_bf16": True}, True),
        ({"avx512_bf16": True, "avx512_fp16": True, "amx_bf16": False}, False),
    ],
    ids=["other processors", "AVX-512", "AVX512-BF16", "AMX", "AMX that a virtual machine hides"],
)
def test_resolve_precision_auto_asks_the_processor(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], is_quick: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", CPU) is (torch.bfloat16 if is_quick else torch.float32)
    assert resolve_precision("auto", torch.device("mps")) is torch.float32


@pytest.mark.parametrize("native", [False, True])
def test_resolve_precision_auto_asks_the_gpu(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native and not including_emulation)
    assert resolve_precision("auto", torch.device("cuda")) is (torch.bfloat16 if native else torch.float32)


@pytest.mark.parametrize("name", ["fp16", "float16", "", None])
def test_resolve_precision_refuses_others(name: str) -> None:
    with pytest.raises(InputError, match="precision must be one of auto, float32, bfloat16, but got"):
        resolve_precision(name, CPU)


def test_autocast_inferer_in_float32_is_a_plain_forward(network: torch.nn.Module) -> None:
    pixels = torch.rand(4, 3, 31, 17) * 2 - 1
    with torch.no_grad():
        expected = network(pixels)
        found = AutocastInferer("float32")(pixels, network)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_one_number_for_each_patch_is_a_logit_of_the_usual_shape() -> None:
    classifier = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 1))
    pixels = torch.rand(4, 3, 8, 8)
    found = AutocastInferer("float32")(pixels, classifier)
    assert found.shape == (4, 1, 1, 1)
    assert found.flatten().equal(classifier(pixels).flatten())


def test_autocast_inferer_in_bfloat16_is_close(network: torch.nn.Module) -> None:
    pixels = torch.rand(4, 3, 31, 17) * 2 - 1
    with torch.no_grad():
        expected = network(pixels)
        found = AutocastInferer("bfloat16")(pixels, network)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.03)
    assert not torch.equal(found, expected), "it did compute in bfloat16"


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_autocast_inferer_gives_channels_last_and_passes_arguments_on(precision: str, dtype: torch.dtype) -> None:
    recorder = _Recorder()
    pixels = torch.rand(2, 3, 9, 5)
    once = AutocastInferer(precision)(pixels, recorder)
    twice = AutocastInferer(precision)(pixels, recorder, 2.0)
    thrice = AutocastInferer(precision)(pixels, recorder, scale=3.0)
    assert recorder.channels_last == [True] * 3
    assert recorder.dtypes == [dtype] * 3
    np.testing.assert_allclose(twice.detach() / once.detach(), 2, rtol=0.02)
    np.testing.assert_allclose(thrice.detach() / once.detach(), 3, rtol=0.02)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_autocast_inferer_has_gradients(network: torch.nn.Module, precision: str) -> None:
    AutocastInferer(precision)(torch.rand(2, 3, 9, 5), network).sum().backward()
    gradient = network.get_parameter("0.weight").grad
    assert gradient is not None
    assert gradient.dtype == torch.float32
    assert gradient.abs().sum() > 0


def test_autocast_inferer_takes_what_transforms_give(network: torch.nn.Module) -> None:
    pixels = torch.rand(2, 3, 9, 5)
    found = AutocastInferer("float32")(MetaTensor(pixels), network)
    torch.testing.assert_close(torch.as_tensor(found), AutocastInferer("float32")(pixels, network))


# --- other starts ---------------------------------------------------------------------------------------------------


def test_weights_of_torchvisions_own_network_are_a_start(tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = torchvision.models.resnet18(weights=None).eval()
    torch.save(original.state_dict(), tmp_path / "imagenet.pt")
    network = fc_network()
    last_layer = network.state_dict()["fc.weight"].clone()
    load_weights(network, tmp_path / "imagenet.pt").eval()
    assert network.state_dict()["fc.weight"].equal(last_layer), "1000 classes are not ours"
    pixels = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        found = torch.nn.functional.conv2d(network.pool(network.features(pixels)), original.fc.weight[..., None, None])
        expected = original(pixels) - original.fc.bias
    torch.testing.assert_close(found.flatten(1), expected, rtol=1e-3, atol=1e-4)


def test_weights_of_another_torchvision_network_are_refused(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), tmp_path / "deeper.pt")
    with pytest.raises(InputError, match=r"deeper\.pt: weights of another network"):
        load_weights(fc_network(), tmp_path / "deeper.pt")


def test_weights_of_torchvisions_own_network_are_no_detector(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "imagenet.pt")
    prepare_network(fc_network(), CPU, tmp_path / "imagenet.pt")
    with pytest.raises(InputError, match=r"imagenet\.pt: weights of torchvision's ResNet, which know no tumor; train"):
        prepare_network(fc_network(), CPU, tmp_path / "imagenet.pt", 0.243, 224)
