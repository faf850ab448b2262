"""Selection without a loop: rows out, what each strategy needs, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import aral
from aral.acquisition import ACQUISITIONS, Need
from aral.errors import BadInput

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(40, 5))
PASSES = RANDOM.dirichlet(np.ones(3), size=(40, 4))
PROBABILITIES = PASSES.mean(axis=1)
LABELLED, CLASSES = [7, 2, 30], [1, 0, 2]
FROM_FEATURES = {Need.FEATURES, Need.REPRESENTATION}
FROM_ALL = FROM_FEATURES | {Need.PROBABILITIES, Need.MC_PROBABILITIES}


@pytest.mark.parametrize("name", sorted(ACQUISITIONS))
def test_every_strategy_is_available_or_refused_with_what_it_needs(name: str) -> None:
    needs = ACQUISITIONS[name].needs
    given: dict[str, Any] = {"probabilities": PASSES, "labelled": LABELLED, "labelled_classes": CLASSES}
    if needs <= FROM_ALL:
        found = aral.select(FEATURES, 6, strategy=name, **given)
        assert len(set(found.ids)) == 6 and not set(found.ids) & set(LABELLED)
        assert len(found.scores) == len(found.reasons) == 6
    else:
        for missing in needs - FROM_ALL:
            with pytest.raises(BadInput, match=f"'{name}' needs .*{missing.replace('_', ' ')}"):
                aral.select(FEATURES, 6, strategy=name, **given)
    if not needs <= FROM_FEATURES:
        with pytest.raises(BadInput, match=f"'{name}' needs"):
            aral.select(FEATURES, 6, strategy=name)


def test_the_smallest_margins_among_rows_without_a_label() -> None:
    best = np.sort(PROBABILITIES, axis=1)
    margins = best[:, -1] - best[:, -2]
    margins[LABELLED] = np.inf
    found = aral.select(FEATURES, 5, probabilities=PROBABILITIES, labelled=LABELLED, strategy="margin")
    assert found.ids.tolist() == np.argsort(margins)[:5].tolist()


@pytest.mark.parametrize("strategy", ["maxherding", "uncertainty-herding", "core-set"])
def test_tensors_masks_and_the_order_of_labels_make_no_difference(strategy: str) -> None:
    mask = np.zeros(40, dtype=bool)
    mask[LABELLED] = True
    arrays = aral.select(FEATURES, 5, probabilities=PROBABILITIES, labelled=LABELLED, strategy=strategy)
    tensors = aral.select(
        torch.from_numpy(FEATURES).requires_grad_(),
        5,
        probabilities=torch.from_numpy(PROBABILITIES),
        labelled=torch.from_numpy(mask),
        strategy=strategy,
    )
    assert arrays.ids.tolist() == tensors.ids.tolist()


def test_the_seed_decides() -> None:
    found = [aral.select(FEATURES, 5, strategy="random", seed=seed).ids.tolist() for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


NAN = np.where(np.arange(200).reshape(40, 5) == 3, np.nan, FEATURES)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features": FEATURES[0]}, r"must be N×F.*\(5,\)"),
        ({"features": NAN}, "1 number of features is NaN"),
        ({"features": FEATURES.astype(str)}, "must be numbers"),
        ({"probabilities": PROBABILITIES[:39]}, "probabilities must be 40×K"),
        ({"probabilities": 2 * PROBABILITIES}, "sum to one"),
        ({"probabilities": FEATURES}, "non-negative"),
        ({"labelled": [40]}, "from 0 to 39"),
        ({"labelled": [0.5]}, "row numbers"),
        ({"labelled": [1, 1]}, "occurs twice"),
        ({"labelled": [1, 2], "labelled_classes": [0]}, "2 rows are labelled"),
        ({"labelled": [1], "labelled_classes": [-1]}, "class numbers from 0"),
        ({"labelled": [1], "labelled_classes": [3], "probabilities": PROBABILITIES}, "3 classes"),
        ({"strategy": "maxherdin"}, "Did you mean 'maxherding'"),
        ({"strategy": "probcover"}, "needs the number of classes"),
        ({"n": 41}, "41 images but only 40"),
        ({"n": 38, "labelled": LABELLED}, "38 images but only 37"),
        ({"n": 0}, "at least one image"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        aral.select(**{"features": FEATURES, "n": 5} | changes)
