"""From a network of PyTorch to a model of OpenVINO, in floating point or in whole numbers of 8 bits."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from monai.networks import eval_mode

from ..errors import InputError
from .activations import Tops, rounded_activations
from .preprocessing import Scaling

_STEPS = 64
"""Steps from 0 to the largest weight, half of what 8 bits have: processors without VNNI add two products in 16 bits."""

_SAME_VALUES = ("Transpose", "MaxPool", "Multiply", "Subtract", "Convert")


def import_openvino() -> Any:
    """OpenVINO without its telemetry, which otherwise reports every import to its makers."""
    if "openvino" not in sys.modules:
        # Python refuses to import a module that is None there; OpenVINO then takes a stub of its own.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def convert(network: torch.nn.Module, scaling: Scaling | None, patch_size: int, tops: Tops = ()) -> Any:
    """Convert a network.

    Args:
        network: the network.
        scaling: what becomes a part of the model: it then takes uint8.
        patch_size: side of the images with which the network is traced.
        tops: its highest activations, which make a model of whole numbers; none makes one of float32.

    Returns:
        The model, (N, h, w, 3) pixels to (N, 1, r, c) float32, not compiled.

    Raises:
        InputError: if OpenVINO does not know what the network does.
    """
    openvino = import_openvino()
    example = torch.zeros((2, 3, patch_size, patch_size))
    rounding = rounded_activations(network, tops) if tops else contextlib.nullcontext()
    try:
        with warnings.catch_warnings(), _root_logger_kept(), torch.no_grad(), eval_mode(network), rounding:
            warnings.simplefilter("ignore")  # torch deprecates the tracing that OpenVINO does
            # OpenVINO would trace with a check, which keeps some 10 MB for each conversion in a process
            traced = torch.jit.trace(network, example, check_trace=False)
            model = openvino.convert_model(traced, example_input=example)
    except Exception as error:  # OpenVINO raises bare Exceptions, too
        raise InputError(
            f"network_def: OpenVINO cannot convert {type(network).__name__} ({' '.join(str(error).split()):.120}); "
            "give --runtime torch"
        ) from error
    steps = openvino.preprocess.PrePostProcessor(model)
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().tensor().set_layout(openvino.Layout("NHWC"))
    if scaling is not None:
        steps.input().tensor().set_element_type(openvino.Type.u8)
        scaled = steps.input().preprocess().convert_element_type(openvino.Type.f32)
        scaled.mean(-scaling.shift / scaling.factor).scale(1 / scaling.factor)
    model = steps.build()
    if tops:
        _round_weights(model)
    return model


def _round_weights(model: Any) -> None:
    """Round the weights of convolutions over whole numbers to 64 steps of either sign, for each output channel.

    The pixels' zero is a whole number, too: OpenVINO takes 127 where the scaling says 127.5.
    """
    from openvino import opset13

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution" or not _is_of_whole_numbers(node.input_value(0)):
            continue
        weights = node.input_value(1)
        if weights.get_node().get_type_name() != "Constant":
            continue
        values = weights.get_node().data
        top = np.maximum(np.abs(values).max(axis=(1, 2, 3), keepdims=True), 1e-12).astype(np.float32)
        reach = top * np.float32(127 / _STEPS)
        rounded = opset13.fake_quantize(weights, -reach, reach, -reach, reach, levels=255)
        node.input(1).replace_source_output(rounded.output(0))
    model.validate_nodes_and_infer_types()


def _is_of_whole_numbers(value: Any) -> bool:
    """Whether a value of a model is one of few steps: rounded activations, or the pixels of the image."""
    node = value.get_node()
    while node.get_type_name() in _SAME_VALUES:
        node = node.input_value(0).get_node()
    kind = node.get_type_name()
    return bool(kind == "FakeQuantize" or (kind == "Parameter" and node.get_element_type().get_type_name() == "u8"))


@contextlib.contextmanager
def _root_logger_kept() -> Iterator[None]:
    """OpenVINO's conversion silences warnings of everything, and leaves it so when it fails."""
    root = logging.getLogger()
    level, filters, handlers = root.level, root.filters[:], root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers
