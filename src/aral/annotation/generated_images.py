"""Whether generated images show something: a generator that has learned little is not presented as if it had."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aral.annotation.accuracy_estimate import exact_interval
from aral.annotation.classifier import Classifier
from aral.learners import Gallery

LEAST_RECOGNISED = 0.5
"""The share of generated images that the classifier must give the class they were generated for."""

MOST_ROUGH = 2.0
"""How many times as rough as the photos generated images may be."""


def why_hidden(gallery: Gallery, classifier: Classifier, photos: Float[Tensor, "N C H W"]) -> str:
    """Why generated images should not be shown, as a sentence; empty if they show something.

    Two measures decide. The classifier, which is trained on labels, recognises the class that each image was generated
    for, in at least half of them and in more than a random choice would get. And they are no noise: see
    :func:`roughness`.

    Args:
        gallery: the generated images, values in [0, 1].
        classifier: of the same round.
        photos: some images of the folder, values in [0, 1].
    """
    class_count, per_class = gallery.generated.shape[:2]
    pixels = (gallery.generated.flatten(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    intended = np.repeat(np.arange(class_count), per_class)
    recognised = classifier.of_pixels(pixels).argmax(axis=1) == intended
    right, count = int(recognised.sum()), recognised.size
    if right < LEAST_RECOGNISED * count or exact_interval(right, count).low <= 1 / class_count:
        return (
            "Generated images are not shown: the classifier recognises the class they were generated for in "
            f"{right} of {count}."
        )
    ratio = roughness(gallery.generated.flatten(0, 1)) / max(roughness(photos), 1e-6)
    if ratio > MOST_ROUGH:
        return (
            f"Generated images are not shown: they are noise. Neighbouring pixels differ {ratio:.1f} times as much as "
            "in the photos."
        )
    return ""


def roughness(images: Float[Tensor, "N C H W"]) -> float:
    """Mean absolute difference of neighbouring pixels, relative to the standard deviation of all pixels.

    About 1.1 for white noise, whatever its strength; 0.1 to 0.4 for photos.
    """
    values = images.double().cpu()
    differences = [values.diff(dim=axis).abs().mean() for axis in (2, 3) if values.shape[axis] > 1]
    deviation = float(values.std(correction=0))
    return float(sum(differences)) / max(len(differences), 1) / deviation if deviation else 0.0
