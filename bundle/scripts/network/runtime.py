"""What computes the network: PyTorch on any device; on a CPU OpenVINO, in less than half the time, or ONNX Runtime."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Protocol

import torch
from tqdm import tqdm

from ..errors import InputError
from ..geometry import PATCH_SIZE
from .activations import kept_tops
from .conversion import convert, import_openvino
from .exported import OnnxNetwork
from .model_cache import fetch_model
from .network import PRECISIONS, AutocastInferer, resolve_precision
from .preprocessing import Scaling
from .processors import count_streams, count_threads

logger = logging.getLogger(__name__)

RUNTIMES = ("auto", "torch", "openvino", "onnxruntime")
INFERENCE_PRECISIONS = (*PRECISIONS, "int8")


class Runtime(Protocol):
    """A network ready to compute: (N, 3, h, w) pixels to (N, 1, r, c) float32 logits on the same device.

    Attributes:
        name: of `RUNTIMES`.
        dtype: of the pixels: uint8 with a scaling, float32 without.
        num_streams: how many calls, each in a thread of its own, compute side by side.
    """

    name: str
    dtype: torch.dtype
    num_streams: int

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute logits."""


class TorchRuntime:
    """PyTorch, under autocast and channels-last.

    Args:
        network: the network, on its device, in evaluation mode.
        precision: see `network.resolve_precision`.
        scaling: what is done to pixels first; None takes them as they are.
    """

    name = "torch"
    num_streams = 1

    def __init__(self, network: Any, precision: str = "auto", scaling: Scaling | None = None) -> None:
        self.network = network
        self.forward = AutocastInferer(precision)
        self.scaling = scaling
        self.dtype = _dtype(scaling)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute logits; see `Runtime`."""
        with torch.no_grad():
            return self.forward(pixels if self.scaling is None else self.scaling.apply(pixels), self.network)


class OpenVINORuntime:
    """OpenVINO on the CPU, with `processors.count_threads` threads, for any number and size of images.

    The threads form groups, `processors.count_streams` of them. Several images share them out; a single one is computed
    by one group, so that another call, in another thread, can take the next.

    Args:
        network: the network, which is converted as it is now; later changes of its weights have no effect.
        precision: see `choose_precision`; in ``int8`` the network carries its highest activations, see
            `activations.keep_tops`.
        scaling: see `TorchRuntime`; it becomes a part of the converted network.
        patch_size: side of an image that the network takes, if it takes other sizes or not.

    Raises:
        InputError: if OpenVINO cannot convert the network, or not compute in that precision on this processor.
    """

    name = "openvino"

    def __init__(
        self,
        network: torch.nn.Module,
        precision: str = "auto",
        scaling: Scaling | None = None,
        patch_size: int = PATCH_SIZE,
    ) -> None:
        self.dtype = _dtype(scaling)
        precision = choose_precision(precision, self.name, torch.device("cpu"), bool(kept_tops(network)))
        tops = kept_tops(network) if precision == "int8" else ()
        hint = "bf16" if precision == "bfloat16" else "f32"  # of what is not computed in whole numbers
        num_threads = count_threads()
        self.num_streams = count_streams(num_threads)
        options = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": num_threads,
            "NUM_STREAMS": self.num_streams,
            "PERFORMANCE_HINT": "LATENCY" if self.num_streams == 1 else "THROUGHPUT",
        }
        make = functools.partial(convert, network, scaling, patch_size, tops)
        form = precision if tops else ""
        compiled = fetch_model(_core(), options, network, scaling, make, patch_size, form)
        if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != hint:
            raise InputError(
                f"precision {precision}: OpenVINO does not compute it on this processor; give --precision float32 or "
                "--runtime torch"
            )
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.num_streams):
            self._requests.put(compiled.create_infer_request())
        self._threads = ThreadPoolExecutor(self.num_streams, "OpenVINO")

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute logits; see `Runtime`. Channels-last pixels are not copied."""
        count = max(1, min(self.num_streams, len(pixels)))
        parts = pixels.detach().permute(0, 2, 3, 1).contiguous().tensor_split(count)
        if len(parts) == 1:
            return self._compute(parts[0])
        return torch.cat(list(self._threads.map(self._compute, parts)))

    def _compute(self, part: torch.Tensor) -> torch.Tensor:
        request = self._requests.get()
        try:
            output = request.infer([part.numpy()], share_inputs=True, share_outputs=True)[0]
            return torch.from_numpy(output).clone()  # the next call writes to the same memory
        finally:
            self._requests.put(request)


class ONNXRuntime:
    """ONNX Runtime on the CPU, for a network that was exported to an ONNX file.

    Args:
        network: the exported network.
        precision: see `network.resolve_precision`; such a file computes in float32.
        scaling: see `TorchRuntime`.

    Raises:
        InputError: if the network is no exported one, or another precision is asked for.
    """

    name = "onnxruntime"
    num_streams = 1

    def __init__(self, network: Any, precision: str = "float32", scaling: Scaling | None = None) -> None:
        if not isinstance(network, OnnxNetwork):
            raise InputError(
                f"runtime onnxruntime computes an ONNX file, but network is {type(network).__name__}; give "
                "--config_file inference_onnx.json"
            )
        if resolve_precision(precision, torch.device("cpu")) is not torch.float32:
            raise InputError(f"precision {precision}: the ONNX file computes in float32; give --precision float32")
        self.network = network
        self.scaling = scaling
        self.dtype = _dtype(scaling)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute logits; see `Runtime`."""
        return self.network.forward(pixels if self.scaling is None else self.scaling.apply(pixels))


def _dtype(scaling: Scaling | None) -> torch.dtype:
    return torch.float32 if scaling is None else torch.uint8


def resolve_runtime(runtime: str, device: torch.device) -> str:
    """Choose what computes the network.

    Args:
        runtime: one of `RUNTIMES`; ``auto`` takes OpenVINO on a CPU, PyTorch elsewhere.
        device: where the network is.

    Returns:
        ``torch``, ``openvino`` or ``onnxruntime``.

    Raises:
        InputError: if the runtime is unknown, or another than PyTorch is asked for on another device than a CPU.
    """
    if runtime not in RUNTIMES:
        raise InputError(f"runtime must be one of {', '.join(RUNTIMES)}, but got {runtime!r}")
    if runtime == "auto":
        return "openvino" if device.type == "cpu" else "torch"
    if runtime != "torch" and device.type != "cpu":
        raise InputError(f"runtime {runtime} computes on a CPU, but device is {device}; give --runtime torch")
    return runtime


def choose_precision(precision: str, runtime: str, device: torch.device, has_tops: bool) -> str:
    """Choose the arithmetic of inference.

    Args:
        precision: of `PRECISIONS`, or ``int8``: whole numbers of 8 bits, by OpenVINO. ``auto`` takes them where the
            processor is quick at them and the network permits it.
        runtime: what computes, see `resolve_runtime`.
        device: where.
        has_tops: whether the network carries its highest activations, see `activations.kept_tops`.

    Returns:
        ``float32``, ``bfloat16`` or ``int8``.

    Raises:
        InputError: if ``precision`` is something else, or ``int8`` is not possible.
    """
    if precision not in INFERENCE_PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(INFERENCE_PRECISIONS)}, but got {precision!r}")
    is_quick = runtime == "openvino" and is_int8_quick(torch.cpu.get_capabilities())
    if precision == "auto" and is_quick and has_tops:
        return "int8"
    if precision != "int8":
        chosen = str(resolve_precision(precision, device)).removeprefix("torch.")
        if precision == "auto" and is_quick:
            logger.info(
                "precision auto is %s: int8 would be faster, but no sidecar states the activations of these weights; "
                "train writes them",
                chosen,
            )
        return chosen
    if runtime != "openvino":
        raise InputError(f"precision int8: OpenVINO computes it, on a CPU, but runtime is {runtime}; give another")
    if not has_tops:
        raise InputError(
            "precision int8: needs the highest activations, which train writes into the sidecar of the weights, and "
            "there are none for this network; give another --precision, or train from these weights"
        )
    return precision


def is_int8_quick(capabilities: Mapping[str, Any]) -> bool:
    """Whether a processor, by what it is capable of, computes whole numbers of 8 bits faster than float32.

    With AVX2 it takes half the time, with AVX512-VNNI a quarter (docs/benchmarks.md).
    """
    return bool(capabilities.get("avx2"))


def make_runtime(
    network: Any,
    runtime: str,
    device: torch.device,
    precision: str,
    scaling: Scaling | None = None,
    patch_size: int = PATCH_SIZE,
) -> Runtime:
    """Make a network ready to compute.

    Args:
        network: the network, on ``device``, in evaluation mode.
        runtime: see `resolve_runtime`.
        device: where the network is.
        precision: see `choose_precision`.
        scaling: see `TorchRuntime`.
        patch_size: see `OpenVINORuntime`.

    Raises:
        InputError: see `resolve_runtime`, `OpenVINORuntime`, `ONNXRuntime`.
    """
    chosen = resolve_runtime(runtime, device)
    if chosen == "openvino":
        with tqdm.external_write_mode():  # a progress bar is there already, and the line would stand behind it
            logger.info("compiling the network for OpenVINO; this takes some seconds")
        return OpenVINORuntime(network, precision, scaling, patch_size)
    if chosen == "onnxruntime":
        return ONNXRuntime(network, precision, scaling)
    return TorchRuntime(network, precision, scaling)


@functools.cache
def _core() -> Any:
    """One for the process: each sets up a signal stack, and two leave Python with a stack that is freed."""
    return import_openvino().Core()
