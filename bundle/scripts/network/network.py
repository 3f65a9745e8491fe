"""The network: its weights, its device, and how it computes (bfloat16 where that is faster)."""

from __future__ import annotations

import logging
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.inferers import Inferer

from ..errors import InputError, counted
from ..files import check_is_file
from .activations import keep_tops
from .processors import limit_threads
from .purpose import check_purpose

logger = logging.getLogger(__name__)

PRECISIONS = ("auto", "float32", "bfloat16")


_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

# Parts of torchvision's ResNets, and their places in MONAI's TorchVisionFCModel
_TORCHVISION = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}


def prepare_network(
    network: torch.nn.Module,
    device: torch.device,
    weights: str | Path | None = None,
    mpp: float | None = None,
    patch_size: Any = None,
    base: str = "inference.json",
) -> torch.nn.Module:
    """Put a network on its device, channels-last, with weights from a file if one is given.

    It then carries the highest activations that the sidecar of its weights states, see `activations.keep_tops`. From
    then on torch computes with as many threads as `processors.count_threads` allows.

    Args:
        network: the network; changed in place.
        device: where it shall run.
        weights: a plain state dict, or None to keep the network's own.
        mpp: µm per pixel of the images that it is used on; None where it is trained on, from weights of any purpose.
        patch_size: side of their patches in pixels, or (height, width).
        base: see `purpose.check_purpose`.

    Returns:
        The network.

    Raises:
        InputError: if the weights are for other images; see `load_weights` and `purpose.check_purpose`.
    """
    limit_threads()
    if weights is not None:
        load_weights(network, weights, is_start=mpp is None)
        if mpp is not None:
            purpose = check_purpose(weights, mpp, patch_size, base)
            keep_tops(network, None if purpose is None else purpose.activations)
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def load_weights(network: torch.nn.Module, path: str | Path, is_start: bool = True) -> torch.nn.Module:
    """Load a plain state dict, of float16 or float32, into a network.

    Where a training starts from it, a state dict of torchvision's own ResNet, of ImageNet say, fits too: the last layer
    then stays as it is.

    Args:
        network: the network; changed in place.
        path: the weights, as ``models/model.pt`` or a training run's ``model.pt``.
        is_start: whether a training starts from the weights; else they are used as they are.

    Returns:
        The network.

    Raises:
        InputError: if the file is missing or damaged, holds no state dict of finite numbers, or fits another network.
    """
    state = load_checkpoint(path)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise InputError(f"{path}: expected a plain state dict of tensors; give a run's model.pt, not its last.pt")
    expected = network.state_dict()
    if "conv1.weight" in state and "features.0.weight" in expected:
        if not is_start:
            raise InputError(f"{path}: weights of torchvision's ResNet, which know no tumor; train from them first")
        state = _from_torchvision(state, expected)
    if state.keys() != expected.keys():
        odd = sorted(state.keys() ^ expected.keys())
        raise InputError(
            f"{path}: weights of another network ({counted(len(odd), 'name differs', 'names differ')}, as {odd[0]!r}); "
            "give weights made with this network_def"
        )
    for name, value in state.items():
        _check_tensor(f"{path}: {name!r}", value, expected[name])
    network.load_state_dict(state)
    return network


def _check_tensor(name: str, value: torch.Tensor, expected: torch.Tensor) -> None:
    """Refuse what `torch.nn.Module.load_state_dict` takes without a word, or with many."""
    if value.shape != expected.shape:
        raise InputError(
            f"{name} must have shape {tuple(expected.shape)}, but has {tuple(value.shape)}; give weights made with "
            "this network_def"
        )
    is_counter = not expected.is_floating_point()  # of batches; files that are float16 throughout have it so, too
    if not (value.dtype in _DTYPES or (is_counter and value.dtype == expected.dtype)) or value.layout != torch.strided:
        raise InputError(
            f"{name} must hold floating-point numbers, but holds {str(value.dtype).removeprefix('torch.')} "
            f"({str(value.layout).removeprefix('torch.')}); give weights as a training wrote them"
        )
    if not value.to(expected.dtype).isfinite().all():
        raise InputError(f"{name} must hold finite numbers, but some are not; the weights are damaged, train again")


def _from_torchvision(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names as in `TorchVisionFCModel`, which has another last layer; that one is taken from ``expected``."""
    renamed = {name: value for name, value in expected.items() if name.startswith("fc.")}
    for name, value in state.items():
        part, _, rest = name.partition(".")
        if part in _TORCHVISION:
            renamed[f"features.{_TORCHVISION[part]}.{rest}"] = value
        elif part != "fc":
            renamed[name] = value
    return renamed


def load_checkpoint(path: str | Path) -> Any:
    """Read a file of tensors and plain values; nothing in it can run code.

    Args:
        path: the file. Of the form that torch wrote before version 1.6, which has no checksums, a warning says so.

    Raises:
        InputError: if it is missing, no such file, or damaged.
    """
    check_is_file(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file of weights; give another path or train first") from error
    except (pickle.UnpicklingError, LookupError) as error:  # torch's text is long and advises to read it unsafely
        raise InputError(
            f"{path}: not a file of weights (expected tensors and plain values written by torch.save); make it again"
        ) from error
    except Exception as error:  # torch raises what its zip and pickle readers raise, some of it without a message
        reason = str(error).partition(". ")[0] or type(error).__name__
        raise InputError(f"{path}: not a file of weights ({' '.join(reason.split()):.120}); make it again") from error
    if not check_records(path):
        logger.warning("%s: has torch's form of before 1.6, without checksums, so damage cannot be noticed", path)
    return content


def check_records(path: str | Path) -> bool:
    """Compare the records of a zip, as torch writes them, with their checksums, at which torch does not look.

    Args:
        path: the file.

    Returns:
        Whether it is a zip; other forms have no checksums.

    Raises:
        InputError: if a record is damaged.
    """
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        damaged = " ".join(str(error).split())[:120] or type(error).__name__
    if damaged is not None:
        raise InputError(f"{path}: damaged, its checksums do not hold ({damaged}); copy it again from its source")
    return True


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Choose the dtype of the network's arithmetic.

    Args:
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the device computes it faster than float32.
        device: where the network runs.

    Returns:
        `torch.float32` or `torch.bfloat16`.

    Raises:
        InputError: if ``precision`` is something else.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, but got {precision!r}")
    if precision == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = device.type == "cpu" and _is_bfloat16_quick(torch.cpu.get_capabilities())
        return torch.bfloat16 if native else torch.float32
    return torch.float32 if precision == "float32" else torch.bfloat16


def _is_bfloat16_quick(capabilities: Mapping[str, Any]) -> bool:
    """Whether a processor, by what it is capable of, computes bfloat16 faster than float32.

    With AMX it takes a third of the time. Intel's processors with AMX also have AVX512-BF16, and where a virtual
    machine hides AMX, bfloat16 takes 1.8 times as long as float32 on them (docs/benchmarks.md). AVX512-FP16 tells them
    apart.
    """
    if capabilities.get("amx_bf16"):
        return True
    return bool(capabilities.get("avx512_bf16")) and not capabilities.get("avx512_fp16")


class AutocastInferer(Inferer):
    """One forward pass under autocast; the result is float32.

    MONAI's engines know autocast for CUDA only. bfloat16 has the exponents of float32, so no gradient scaling is
    needed. Input goes channels-last, which more than doubles the speed of convolutions on a CPU.

    Args:
        precision: see `resolve_precision`.
    """

    def __init__(self, precision: str = "auto") -> None:
        self.precision = precision

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run the network.

        Args:
            inputs: (N, 3, h, w) float32.
            network: the network.
            args: passed on.
            kwargs: passed on.

        Returns:
            The network's output in float32; (N, 1, 1, 1) of a network that gives (N, 1), as classifiers do.
        """
        dtype = resolve_precision(self.precision, inputs.device)
        pixels = torch.as_tensor(inputs).contiguous(memory_format=torch.channels_last)
        with torch.autocast(inputs.device.type, dtype=dtype, enabled=dtype is not torch.float32):
            output: torch.Tensor = network(pixels, *args, **kwargs)
        return output.float()[:, :, None, None] if output.ndim == 2 else output.float()
