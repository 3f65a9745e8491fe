from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers.networks import fc_network
from scripts.errors import InputError
from scripts.network.network import load_weights
from scripts.training.convolutions import MatmulConv2d
from scripts.training.trained_network import prepare_trained_network

CPU = torch.device("cpu")


def test_frozen_parts_are_not_trained() -> None:
    network = prepare_trained_network(fc_network(), CPU, frozen=["features.0", "features.1", "features.4"])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.05)
    network.train()(torch.randn(3, 3, 224, 224)).sum().backward()
    optimizer.step()
    stem = tuple(f"features.{index}." for index in (0, 1, 4))
    for name, value in network.state_dict().items():
        if not value.is_floating_point():
            continue
        assert value.equal(before[name]) == name.startswith(stem), name


def test_a_single_parameter_can_be_frozen() -> None:
    network = prepare_trained_network(fc_network(), CPU, frozen=["fc.bias"])
    assert [name for name, value in network.named_parameters() if not value.requires_grad] == ["fc.bias"]


def test_unknown_part_to_freeze_is_named() -> None:
    with pytest.raises(InputError, match=r"frozen: the network has no part 'layer1'; it has features, features\.0"):
        prepare_trained_network(fc_network(), CPU, frozen=["layer1"])


def test_what_is_trained_has_the_names_and_values_of_the_plain_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = fc_network()
    plain = {name: value.clone() for name, value in network.state_dict().items()}
    prepared = prepare_trained_network(network, CPU)
    assert prepared is network
    assert any(isinstance(module, MatmulConv2d) for module in network.modules()), "quicker gradients on a CPU"
    assert list(prepared.state_dict()) == list(plain)
    for name, value in prepared.state_dict().items():
        assert value.equal(plain[name]), name
    torch.save(prepared.state_dict(), tmp_path / "model.pt")
    load_weights(fc_network(), tmp_path / "model.pt")
