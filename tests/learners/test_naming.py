"""C begins as the groups' head, renamed by the first labels: weights worked out by hand."""

from __future__ import annotations

import pytest
import torch
from aral.learners.naming import UNSEEN, name_groups
from aral.networks.discriminators import TrunkDiscriminator
from torch import Tensor, nn

from aral.networks import Partition, RealnessHead
from aral.networks.layers import weight_normalised

# Four groups on two features; a second head of two groups takes no part.
WEIGHTS = [[1.0, 0.0], [0.0, 2.0], [-3.0, 1.0], [5.0, 5.0], [99.0, 99.0], [-99.0, 99.0]]
BIASES = [0.1, 0.2, 0.7, 4.0, 50.0, -50.0]
# Class 0 has two images in group 0 and one in group 1, class 1 one in group 2, class 2 none, class 3 one in
# group 1.
GROUPS, CLASSES = torch.tensor([0, 1, 0, 2, 1]), torch.tensor([0, 0, 0, 1, 3])
EXPECTED = [[2 / 3, 2 / 3], [-3.0, 1.0], [0.0, 0.0], [0.0, 2.0]]
EXPECTED_BIASES = [0.4 / 3, 0.7, (0.4 / 3 + 0.7 + 0.2) / 3 - UNSEEN, 0.2]


def nets(normalised: bool) -> tuple[TrunkDiscriminator, Partition]:
    layer: nn.Module = nn.Linear(2, 4)
    if normalised:
        layer = weight_normalised(nn.Sequential(layer))[0]
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    classifier = TrunkDiscriminator(trunk, 2, layer, RealnessHead(2, 1, 4))
    partition = Partition(2, (4, 2))
    with torch.no_grad():
        partition.layer.weight.copy_(torch.tensor(WEIGHTS))
        partition.layer.bias.copy_(torch.tensor(BIASES))
    return classifier, partition


def copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("normalised", [False, True])
def test_a_class_gets_the_mean_weights_of_its_images_groups(normalised: bool) -> None:
    """Also where weight norm keeps lengths and directions apart, of which a row of zeros has none."""
    classifier, partition = nets(normalised)
    others, groups = copied(classifier), copied(partition)
    name_groups(classifier, partition, GROUPS, CLASSES)
    layer = classifier.class_layer
    torch.testing.assert_close(layer.weight, torch.tensor(EXPECTED), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.bias, torch.tensor(EXPECTED_BIASES))
    assert all(torch.equal(value, groups[name]) for name, value in partition.state_dict().items())
    changed = {
        name for name, value in classifier.state_dict().items() if not torch.equal(value, others[name])
    }
    assert changed and all(name.startswith("class_layer.") for name in changed)


@pytest.mark.parametrize("normalised", [False, True])
def test_it_can_be_trained_on_the_class_without_labels_too(normalised: bool) -> None:
    classifier, partition = nets(normalised)
    name_groups(classifier, partition, GROUPS, CLASSES)
    logits = classifier(torch.randn(5, 1, 1, 2))
    assert logits.isfinite().all() and (logits.argmax(dim=1) != 2).all()
    parameters = list(classifier.class_layer.parameters())
    gradients = torch.autograd.grad(logits[:, 2].sum(), parameters)
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in parameters)
    assert all(gradient.isfinite().all() for gradient in gradients)
    # Its row of the weights: v alone has a direction to learn where weight norm is on.
    assert any(gradient[2].abs().max() > 0 for gradient in gradients if gradient.ndim == 2)


def test_one_image_of_each_group_makes_the_classifier_the_head() -> None:
    classifier, partition = nets(False)
    name_groups(classifier, partition, torch.tensor([3, 0, 1, 2]), torch.tensor([0, 1, 2, 3]))
    images = torch.randn(6, 1, 1, 2)
    expected = partition(classifier.features(images))[0][:, [3, 0, 1, 2]]
    torch.testing.assert_close(classifier(images), expected)
