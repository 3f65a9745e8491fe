"""Networks as files that need no Python class: ONNX, computed by ONNX Runtime, and TorchScript."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..errors import InputError, counted
from .network import check_records
from .processors import count_threads
from .purpose import check_purpose


class OnnxNetwork(torch.nn.Module):
    """A network that MONAI's ``onnx_export`` wrote, computed by ONNX Runtime on the CPU in float32.

    It takes as many threads as torch has. It has no parameters and cannot be trained.

    Args:
        path: the ONNX file: one input (N, 3, h, w) and one output, the number of images left open. With the size of
            images left open, too, it runs over whole tiles.
        mpp: µm per pixel of the images that it is used on, which its sidecar must permit; None asks for no sidecar.
        patch_size: side of their patches in pixels.

    Raises:
        InputError: if ONNX Runtime is not installed, or the file is missing, none of ONNX, of another form, or for
            other images; see `purpose.check_purpose`.
    """

    def __init__(self, path: str | Path, mpp: float | None = None, patch_size: Any = None) -> None:
        super().__init__()
        self.path = Path(path)
        self._session = _open_session(self.path)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
            raise InputError(
                f"{path}: expected one float32 input (N, 3, h, w) and one output, but got "
                f"{[(found.name, found.shape) for found in (*inputs, *outputs)]}; export it as docs/export.md says"
            )
        self._name: str = inputs[0].name
        if mpp is not None:
            check_purpose(path, mpp, patch_size)
        if isinstance(inputs[0].shape[0], int):
            raise InputError(
                f"{path}: made for {counted(inputs[0].shape[0], 'image')} at once, expected any number; export it with "
                "dynamic_axes, as docs/export.md says"
            )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Compute logits.

        Args:
            pixels: (N, 3, h, w) float32 on the CPU.

        Returns:
            (N, 1, r, c) float32.

        Raises:
            RuntimeError: if the file was exported for another size, or memory ran out.
        """
        values = pixels.detach().float().contiguous().numpy()
        try:
            (output,) = self._session.run(None, {self._name: values})
        except Exception as error:  # ONNX Runtime's errors are plain Exceptions; torch's, here, are RuntimeErrors
            raise RuntimeError(f"{self.path}: {error}") from error
        return torch.from_numpy(output)


def load_torchscript(
    path: str | Path,
    device: torch.device,
    tensorrt: bool = False,
    mpp: float | None = None,
    patch_size: Any = None,
) -> torch.nn.Module:
    """Load a network that MONAI's ``ckpt_export`` or ``trt_export`` wrote.

    Args:
        path: the TorchScript file.
        device: where it shall run.
        tensorrt: whether there is a TensorRT engine inside; it then needs torch_tensorrt, and a GPU.
        mpp: see `OnnxNetwork`.
        patch_size: see `OnnxNetwork`.

    Raises:
        InputError: if the file is missing, damaged, no TorchScript or for other images, torch_tensorrt is not
            installed, or there is no GPU.
    """
    if tensorrt:
        if device.type != "cuda":
            raise InputError(f"device {device}: a TensorRT engine runs on a GPU; leave inference_trt.json out")
        _import_torch_tensorrt()
    if not Path(path).is_file():
        raise InputError(f"{path}: no such TorchScript file; export it as docs/export.md says")
    check_records(path)
    try:
        network: torch.nn.Module = torch.jit.load(str(path), map_location=device)
    except RuntimeError as error:
        raise InputError(
            f"{path}: not a TorchScript file that this PyTorch reads ({' '.join(str(error).split()):.120}); export it "
            "again, as docs/export.md says"
        ) from error
    if mpp is not None:
        check_purpose(path, mpp, patch_size)
    return network


def _open_session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            "runtime onnxruntime: ONNX Runtime is not installed; install the package's extra onnx, or leave "
            "inference_onnx.json out"
        ) from error
    if not path.is_file():
        raise InputError(f"{path}: no such ONNX file; export it as docs/export.md says")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count_threads()
    options.log_severity_level = 3  # errors; its warnings are about its own optimizations
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors are plain Exceptions
        raise InputError(f"{path}: not an ONNX file ({' '.join(str(error).split()):.120}); export it again") from error


def _import_torch_tensorrt() -> None:
    try:
        import torch_tensorrt  # noqa: F401 - importing it is what makes its operators known to TorchScript
    except ImportError as error:
        raise InputError(
            "inference_trt.json: torch_tensorrt is not installed; install the version that fits this PyTorch and "
            "CUDA, or leave the overlay out"
        ) from error
