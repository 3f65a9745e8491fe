"""Several processes that train one network in step: what one process does with a batch, they do with its shares."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel


def distribute(network: torch.nn.Module, device: torch.device, rank: int) -> DistributedDataParallel:
    """Wrap a network so that its processes average their gradients, and normalize by the whole batch.

    The network itself stays what is validated and saved: its parameters are the wrapper's, and its batch normalization
    keeps its names.

    Args:
        network: the network, on ``device``; its batch normalization is replaced in place.
        device: where it is.
        rank: of this process; that it is known means that the processes have met, see `ranks.start_rank`.

    Returns:
        What the trainer runs. Of a network that is not the same in all processes, that of the first is taken.
    """
    if device.type == "cuda":
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    else:
        share_norms(network)
    # Buffers are equal by construction; sent at each pass, they would break training that makes several in a step.
    return DistributedDataParallel(network, broadcast_buffers=False)


def share_norms(network: torch.nn.Module) -> None:
    """Replace batch normalization inside a network by `SharedBatchNorm`, with the same parameters and statistics."""
    for name, module in network.named_children():
        if isinstance(module, _BatchNorm):
            shared = SharedBatchNorm(module.num_features, module.eps, module.momentum)
            shared.train(module.training)
            shared._parameters, shared._buffers = module._parameters, module._buffers
            shared.affine, shared.track_running_stats = module.affine, module.track_running_stats
            setattr(network, name, shared)
        else:
            share_norms(module)


class SharedBatchNorm(_BatchNorm):
    """Batch normalization by the batches of all processes, on a CPU, where `torch.nn.SyncBatchNorm` does not run."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected (N, C, ...), but got {tuple(input.shape)}")

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalize (N, C, ...), in training by mean and variance over all processes, else by the running ones."""
        if not self.training:
            return super().forward(input)
        values = input.float()
        dims = [dim for dim in range(input.dim()) if dim != 1]
        shape = [-1 if dim == 1 else 1 for dim in range(input.dim())]
        sums = torch.cat([values.sum(dims), values.new_tensor([values.numel() / self.num_features])])
        sums = all_reduce(sums)  # type: ignore[no-untyped-call]
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centered = values - mean.view(shape)
        variance: torch.Tensor = all_reduce(centered.square().sum(dims)) / count  # type: ignore[no-untyped-call]
        self._follow(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        output: torch.Tensor = centered * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            output = output * self.weight.view(shape) + self.bias.view(shape)
        return output.to(input.dtype)

    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class SharedLoss(torch.nn.Module):
    """The mean loss over the labels of all processes, however many each has.

    Its value is that of the whole batch; its gradient, averaged over the processes, too.

    Args:
        loss: gives the mean over the labels, those that are NaN left out.
    """

    def __init__(self, loss: torch.nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compute the loss of this process's share of a batch; see the loss for shapes. Returns () float32."""
        loss: torch.Tensor = self.loss(pred, label)
        known = (~label.isnan()).sum().to(loss)
        sums = torch.stack([loss.detach() * known, known])
        dist.all_reduce(sums)
        scaled = loss * (known * dist.get_world_size() / sums[1])
        return scaled + (sums[0] / sums[1] - scaled).detach()
