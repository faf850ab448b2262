"""Zero-shot probabilities and features of class names; values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from aral.errors import BadInput
from aral.representations import TextTower, cosine_similarities, zero_shot_probabilities


def test_cosine_similarities_by_hand() -> None:
    images = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    texts = torch.tensor([[2.0, 0.0], [0.0, 0.5], [-6.0, -8.0]])
    assert cosine_similarities(images, texts)[0].tolist() == pytest.approx([0.6, 0.8, -1.0])
    assert cosine_similarities(images, texts)[1].tolist() == [0, 0, 0]


def test_probabilities_are_the_softmax_of_scaled_similarities() -> None:
    images, texts = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 0.5]])
    found = zero_shot_probabilities(images, texts, 10.0)
    # exp(6) / (exp(6) + exp(8)) = 1 / (1 + exp(2))
    assert found[0].tolist() == pytest.approx([1 / (1 + math.exp(2)), 1 / (1 + math.exp(-2))])
    assert zero_shot_probabilities(1000 * images, 0.01 * texts, 10.0)[0].tolist() == pytest.approx(
        found[0].tolist()
    ), "lengths do not matter"
    certain = zero_shot_probabilities(torch.tensor([[1.0, 0.0]]), torch.eye(2), 1e4)
    assert certain.tolist() == [[1, 0]], "no overflow"


class Written:
    """Remembers what it embeds: (1, 0) for the first prompt, (0, 5) for the second."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Tensor:
        self.seen += texts
        return torch.tensor([[1.0, 0.0] if text.startswith("one") else [0.0, 5.0] for text in texts])


def test_class_names_in_prompts_averaged_after_normalising() -> None:
    embed = Written()
    tower = TextTower(embed, 1.0, ("one {}.", "two {}."))
    found = tower.of_classes(["sea_lion", "T-shirt", "-", "{}"])
    assert embed.seen == [
        *("one sea lion.", "one T shirt.", "one -.", "one {}."),
        *("two sea lion.", "two T shirt.", "two -.", "two {}."),
    ]
    # (1, 0) and (0, 1) have the mean (½, ½), of length 1 (√½, √½): the 5 does not count.
    assert found.flatten().tolist() == pytest.approx([math.sqrt(0.5)] * 8)


def test_many_texts_are_embedded_in_parts_in_their_order() -> None:
    sizes: list[int] = []

    def embed(texts: Sequence[str]) -> Tensor:
        sizes.append(len(texts))
        return torch.tensor([[float(text)] for text in texts])

    assert TextTower(embed, 1.0)([str(number) for number in range(40)]).flatten().tolist() == list(range(40))
    assert len(sizes) > 1


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(BadInput, match="NaN or infinite"):
        TextTower(lambda texts: torch.full((len(texts), 2), torch.nan), 1.0)(["cat"])
