"""Generated images are hidden when they show nothing, and shown when they show their class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from aral.annotation import Classifier, Project
from aral.annotation.generated_images import roughness, why_hidden
from aral.learners import Gallery
from aral.testing import digit_class

PER_CLASS = 8


@pytest.fixture
def digits(trained: Project) -> dict[int, Tensor]:
    """Eight photos of each class, in [0, 1]."""
    ids = trained.images.labelable_ids()
    classes = np.array([digit_class(trained.images.get(int(image_id)).name) for image_id in ids])
    pixels = torch.from_numpy(trained.images.pixels().rows(ids).copy()) / 255
    return {number: pixels[classes == number][:PER_CLASS] for number in range(3)}


def separating(found: Classifier, images: Tensor) -> Classifier:
    """The same networks under a class layer that separates images, eight of each class."""
    features = found.network.features(images)
    targets = torch.eye(3).repeat_interleave(PER_CLASS, dim=0)
    centred = features - features.mean(dim=0)
    weight = torch.linalg.lstsq(centred, 10 * (targets - targets.mean(dim=0)), driver="gelsd").solution.T
    layer = {"class_layer.weight": weight.contiguous(), "class_layer.bias": -weight @ features.mean(dim=0)}
    classifier = Classifier(found.description, found.network.state_dict() | layer)
    right = classifier.of_pixels((images * 255).round().to(torch.uint8).numpy()).argmax(axis=1)
    assert (right == np.repeat(np.arange(3), PER_CLASS)).all()
    return classifier


@pytest.fixture
def classifier(trained: Project, digits: dict[int, Tensor]) -> Classifier:
    """One that recognises the digits."""
    found = Classifier.load(trained.folder / trained.models.all()[-1].folder)
    return separating(found, torch.cat(list(digits.values())))


def gallery(rows: list[Tensor]) -> Gallery:
    nothing = rows[0][:0]
    return Gallery(torch.stack(rows), nothing, nothing)


def test_images_of_their_classes_are_shown(classifier: Classifier, digits: dict[int, Tensor]) -> None:
    everything = torch.cat(list(digits.values()))
    assert why_hidden(gallery([digits[0], digits[1], digits[2]]), classifier, everything) == ""


def test_images_of_other_classes_are_hidden(classifier: Classifier, digits: dict[int, Tensor]) -> None:
    everything = torch.cat(list(digits.values()))
    said = why_hidden(gallery([digits[1], digits[2], digits[0]]), classifier, everything)
    assert "recognises" in said and "0 of 24" in said


def test_recognised_noise_is_hidden(classifier: Classifier, digits: dict[int, Tensor]) -> None:
    """A generator may be trained until the classifier agrees, without showing anything."""
    noise = torch.rand((3, PER_CLASS, 1, 28, 28), generator=torch.Generator().manual_seed(1))
    noise[0, :, :, :14] = noise[1, :, :, 14:] = noise[2, :, :, :, :14] = 0
    everything = torch.cat(list(digits.values()))
    said = why_hidden(gallery(list(noise)), separating(classifier, noise.flatten(0, 1)), everything)
    assert "noise" in said and "times as much" in said


def test_roughness_does_not_depend_on_strength() -> None:
    noise = torch.rand((4, 3, 40, 40), generator=torch.Generator().manual_seed(1))
    assert roughness(noise) == pytest.approx(1.15, abs=0.05)
    assert roughness(0.1 * noise + 0.3) == pytest.approx(roughness(noise))
    ramp = torch.linspace(0, 1, 40).expand(1, 1, 40, 40)
    assert roughness(ramp) < 0.1
    assert roughness(torch.zeros(1, 1, 4, 4)) == 0
