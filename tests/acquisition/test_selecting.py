"""Selection without a loop: rows out, what each strategy needs, what is refused."""

from __future__ import annotations

from pathlib import Path
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
MANY = np.random.default_rng(1)
RANDOM_FEATURES, PASSES_OF_MANY = MANY.normal(size=(300, 8)), MANY.dirichlet(np.ones(3), size=(300, 4))
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


@pytest.mark.parametrize(
    "name", sorted(name for name in ACQUISITIONS if ACQUISITIONS[name].needs <= FROM_ALL)
)
@pytest.mark.parametrize("labelled", [[], LABELLED])
def test_a_mapped_file_in_half_precision_gives_the_same_rows(
    name: str, labelled: list[int], tmp_path: Path
) -> None:
    """As float32 and as float64 of the same values; the file is only read."""
    half = RANDOM_FEATURES.astype(np.float16)
    np.save(tmp_path / "features.npy", half)
    given: dict[str, Any] = {"probabilities": PASSES_OF_MANY, "strategy": name, "labelled": labelled}
    if labelled:
        given["labelled_classes"] = CLASSES
    mapped = aral.select(np.load(tmp_path / "features.npy", mmap_mode="r"), 20, **given)
    for dtype in (np.float32, np.float64):
        other = aral.select(half.astype(dtype), 20, **given)
        assert mapped.ids.tolist() == other.ids.tolist()
        np.testing.assert_array_equal(mapped.scores, other.scores)
    assert (np.load(tmp_path / "features.npy") == half).all()


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
        ({"recall": 0.9}, "'maxherding' searches no nearest neighbours"),
        ({"recall": 1.5, "strategy": "typiclust"}, "above 0 and at most 1"),
        ({"n": 41}, "41 images but only 40"),
        ({"n": 38, "labelled": LABELLED}, "38 images but only 37"),
        ({"n": 0}, "at least one image"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        aral.select(**{"features": FEATURES, "n": 5} | changes)
