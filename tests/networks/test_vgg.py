"""VGG-16: torchvision's layers at the defaults, any side from 32 up, and sizes by argument."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import vgg16_bn

from aral.errors import BadInput
from aral.networks.vgg import Resize, VggFamily

TINY = VggFamily(width=2, pooled_side=2, hidden_size=8)


def test_layer_for_layer_torchvisions() -> None:
    with torch.device("meta"):
        theirs = vgg16_bn(weights=None, num_classes=10)
        ours = VggFamily().discriminator((3, 224, 224), 10, 4)
    kept = [*ours.trunk.state_dict().values(), *ours.class_layer.state_dict().values()]
    assert [value.shape for value in kept] == [value.shape for value in theirs.state_dict().values()]


def test_the_same_function_as_torchvisions_with_its_weights() -> None:
    """Convolutions, norms and halvings in the same order: equal maps from equal weights."""
    ours = VggFamily(hidden_size=4, pooled_side=1).discriminator((3, 32, 32), 2, 2)
    theirs = vgg16_bn(weights=None, init_weights=False).features
    convolutional = ours.trunk[: len(theirs)]
    theirs.load_state_dict(convolutional.state_dict())
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(convolutional.eval()(images), theirs.eval()(images))


@pytest.mark.parametrize("side", [32, 64, 224])
@pytest.mark.parametrize("channels", [1, 3])
def test_sides_and_channels(side: int, channels: int) -> None:
    network = TINY.discriminator((channels, side, side), 5, 3).eval()
    images = torch.randn(2, channels, side, side)
    features = network.features(images)
    assert features.shape == (2, 8) and network.feature_size == 8
    assert network(images).shape == (2, 5)
    assert network.realness(features, torch.zeros(2, 3), torch.eye(5)[:2]).shape == (2,)


def test_both_images_count_and_only_training_drops_out() -> None:
    network = TINY.discriminator((3, 32, 32), 5, 3)
    images = torch.randn(4, 3, 32, 32)
    assert not torch.equal(network(images), network(images))
    network.eval()
    logits = network(images)
    assert torch.equal(logits, network(images))
    torch.testing.assert_close(network(images.flip(0)), logits.flip(0))


def test_small_images_are_refused_or_enlarged() -> None:
    with pytest.raises(BadInput, match="16×16") as caught:
        TINY.discriminator((3, 16, 16), 5, 3)
    assert "input_side" in caught.value.hint
    enlarging = VggFamily(width=2, pooled_side=2, hidden_size=8, input_side=32)
    assert enlarging.discriminator((3, 16, 16), 5, 3).eval()(torch.randn(2, 3, 16, 16)).shape == (2, 5)


def test_resizing_keeps_a_flat_image_flat() -> None:
    flat = torch.full((1, 3, 256, 256), 0.7)
    assert Resize(224)(flat).shape == (1, 3, 224, 224)
    torch.testing.assert_close(Resize(224)(flat), torch.full((1, 3, 224, 224), 0.7))


def test_gradient_reaches_every_layer() -> None:
    network = TINY.discriminator((3, 32, 32), 5, 3).eval()
    network(torch.randn(8, 3, 32, 32)).square().sum().backward()
    used = [*network.trunk.parameters(), *network.class_layer.parameters()]
    assert all(parameter.grad is not None for parameter in used)
    assert sum(bool(parameter.grad.abs().sum() > 0) for parameter in used) > len(used) / 2
