"""Selection by itself: which rows of an array to label next, for a learner of one's own; nothing is kept."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor

from aral.acquisition.catalogue import ACQUISITIONS, make_acquisition
from aral.acquisition.interface import BLOCK, Acquisition, Need, PoolView, Predictions, blocks_of
from aral.acquisition.typicality import typiclust
from aral.errors import BadInput
from aral.neighbours import require_index
from aral.plural import counted
from aral.randomness import Stream
from aral.types import Selection

Numbers: TypeAlias = Shaped[np.ndarray, "..."] | Tensor | Sequence[Any]
"""An array of NumPy, a tensor of PyTorch, or a list."""

_READS_CLASS_COUNT = frozenset({"probcover"})
_ROUNDING = 1e-3


def select(
    features: Numbers,
    n: int,
    *,
    probabilities: Numbers | None = None,
    labelled: Numbers | None = None,
    labelled_classes: Numbers | None = None,
    strategy: str | Acquisition = "maxherding",
    seed: int = 0,
    recall: float = 1.0,
) -> Selection:
    """The rows to label next; ``ids`` of the result are rows of ``features``, the most useful first.

    The same arguments give the same rows. Every strategy whose needs can be met is available:

    * features alone: ``random``, ``centroids``, ``maxherding``, ``typiclust``, ``core-set``,
      ``robust-core-set``; with labelled classes ``linear-herding``;
    * with the number of classes, from probabilities or labelled classes: ``probcover`` too;
    * with probabilities: ``margin``, ``entropy``, ``least-confidence``, ``badge``, ``cluster-margin``,
      ``typical-entropy``, ``uncertainty-herding``;
    * with probabilities of several passes: ``bald``, ``batchbald`` and the others of Monte-Carlo passes.

    Args:
        features: N×F, any finite numbers, NumPy or PyTorch; of all images, labelled or not. Serves as features and as
            representation. Floating-point numbers stay in their precision and place and are converted where they are
            read, so an array of float16 that is mapped from a file (``np.load(…, mmap_mode="r")``) will do.
        n: how many rows.
        probabilities: class probabilities of all images, N×K with rows that sum to one, or N×M×K of M passes of the
            learner (dropout, members of an ensemble), whose mean is then the prediction. Uncertainty Herding expects
            calibrated ones.
        labelled: the rows that have a label already, as numbers or as a mask of N; none of them is selected.
        labelled_classes: their classes 0..K−1, in the order of ``labelled``; of a mask in the order of rows.
        strategy: a name out of :data:`ACQUISITIONS`, or an acquisition.
        seed: decides everything random.
        recall: of ``typiclust`` only. Below 1, neighbours in clusters of more than 5,000 rows are searched among all
            rows of the cluster, by an index that finds at least this share of them, instead of among 5,000 random
            rows; needs ``aral[neighbours]``. The reasons state the recall that was reached.

    Raises:
        BadInput: an array has another shape or forbidden values, the strategy is unknown or needs something that was
            not given, there are fewer than n rows without a label, or ``recall`` is out of range, without use for the
            strategy, or needs a package that is not installed.
    """
    vectors = _features(features)
    count = len(vectors)
    rows = _rows(labelled, count)
    classes = _classes(labelled_classes, rows.size)
    outputs = {Need.FEATURES: vectors, Need.REPRESENTATION: vectors}
    class_count = int(classes.max(initial=-1)) + 1
    if probabilities is not None:
        found = _probabilities(probabilities, count)
        if found.shape[-1] < class_count:
            raise BadInput(
                f"A labelled image has class {class_count - 1}, but there are probabilities of "
                f"{counted(found.shape[-1], 'class', 'classes')}.",
                "Number the classes from 0, in the order of the columns.",
            )
        class_count = found.shape[-1]
        outputs[Need.PROBABILITIES] = found if found.ndim == 2 else _mean_of_passes(found)
        if found.ndim == 3:
            outputs[Need.MC_PROBABILITIES] = found
    acquisition = make_acquisition(strategy) if isinstance(strategy, str) else strategy
    if recall != 1.0:
        acquisition = _with_recall(acquisition, recall)
    check_needs(acquisition, frozenset(outputs), class_count)
    everything = Predictions(np.arange(count, dtype=np.int64), outputs)
    order = np.argsort(rows)
    view = PoolView(
        everything.rows(np.setdiff1d(everything.ids, rows)) if rows.size else everything,
        everything.rows(rows[order]),
        classes[order] if classes.size else np.zeros(rows.size, dtype=np.int64),
        max(class_count, 2),
    )
    return acquisition(view, n, Stream.root(seed).child("select"))


def _with_recall(acquisition: Acquisition, recall: float) -> Acquisition:
    if not 0 < recall <= 1:
        raise BadInput(f"recall must be above 0 and at most 1, not {recall}.", "Leave it out, or try 0.95.")
    if acquisition is not ACQUISITIONS["typiclust"]:
        raise BadInput(
            f"Strategy '{acquisition.name}' searches no nearest neighbours, so recall has no use for it.",
            "Leave recall out, or take the strategy 'typiclust'.",
        )
    require_index()
    return typiclust(recall)


def check_needs(acquisition: Acquisition, supplied: frozenset[Need], class_count: int) -> None:
    """Refuse an acquisition that needs an output which is not supplied, or the number of classes where it is 0.

    Raises:
        BadInput: says which, and which acquisitions are possible.
    """
    missing = acquisition.needs - supplied
    if missing:
        names = ", ".join(sorted(missing)).replace("_", " ")
        if missing == {Need.PROBABILITIES}:
            hint = "Give probabilities=…, N×K."
        elif missing <= {Need.PROBABILITIES, Need.MC_PROBABILITIES}:
            hint = "Give probabilities=… of several passes, N×M×K."
        else:
            possible = [name for name, each in ACQUISITIONS.items() if each.needs <= supplied]
            hint = (
                f"Only a learner of this package supplies that. With what was given: {', '.join(possible)}."
            )
        raise BadInput(f"Strategy '{acquisition.name}' needs {names}, which was not given.", hint)
    if acquisition.name in _READS_CLASS_COUNT and class_count < 1:
        raise BadInput(
            f"Strategy '{acquisition.name}' needs the number of classes, which was not given.",
            "Give probabilities=… or labelled_classes=….",
        )


def _array(values: object, what: str) -> Shaped[np.ndarray, ...]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype is torch.bfloat16 else values).numpy()
    found = np.asarray(values)
    if found.dtype.kind not in "fiub":
        raise BadInput(f"{what} must be numbers, not {found.dtype}.", "Give an array of NumPy or PyTorch.")
    return found


def _finite(values: object, what: str) -> Float[Tensor, ...]:
    """Numbers as a tensor that shares their memory where it can; integers become float64."""
    found = _array(values, what)
    if found.dtype not in (np.float16, np.float32, np.float64) or not found.dtype.isnative:
        found = found.astype(np.float64)
    blocks = np.array_split(found, 1 + found.size // BLOCK) if found.ndim else [found]
    bad = sum(int((~np.isfinite(block)).sum()) for block in blocks)
    if bad:
        raise BadInput(
            f"{counted(bad, 'number')} of {what} is NaN or infinite.", "Replace or leave out these rows."
        )
    with warnings.catch_warnings():
        # A file that is mapped for reading only; nothing is written to it.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(found if min(found.strides, default=0) >= 0 else found.copy())


def _mean_of_passes(passes: Float[Tensor, "N M K"]) -> Float64[Tensor, "N K"]:
    return torch.cat([part.double().mean(dim=1) for part in blocks_of(passes)])


def _features(values: object) -> Float[Tensor, "N F"]:
    found = _finite(values, "features")
    if found.ndim != 2 or 0 in found.shape:
        raise BadInput(
            f"features must be N×F, one row an image; their shape is {tuple(found.shape)}.",
            "Flatten each image's features into one row.",
        )
    return found


def _probabilities(values: object, count: int) -> Float[Tensor, "N *M K"]:
    found = _finite(values, "probabilities")
    if found.ndim not in (2, 3) or len(found) != count or found.shape[-1] < 2 or 0 in found.shape:
        raise BadInput(
            f"probabilities must be {count}×K or {count}×M×K with two classes or more; their shape is "
            f"{tuple(found.shape)}.",
            "Give one row an image, labelled images too.",
        )
    # float64: a sum in float16 is wrong by more than the rounding that is allowed.
    sums = torch.cat([part.double().sum(dim=-1) for part in blocks_of(found)])
    if found.min() < 0 or (sums - 1).abs().max() > _ROUNDING:
        raise BadInput(
            f"Rows of probabilities must be non-negative and sum to one; found {float(found.min()):.3g} as the lowest "
            f"number and sums from {float(sums.min()):.3g} to {float(sums.max()):.3g}.",
            "Give softmax outputs or predict_proba, not logits.",
        )
    return found


def _rows(labelled: object, count: int) -> Int64[np.ndarray, " L"]:
    if labelled is None:
        return np.empty(0, dtype=np.int64)
    found = _array(labelled, "labelled")
    if found.dtype.kind == "b" and found.shape == (count,):
        return np.flatnonzero(found).astype(np.int64)
    if found.size == 0:
        return np.empty(0, dtype=np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= count:
        raise BadInput(
            f"labelled must be row numbers from 0 to {count - 1}, or a mask of {count}.",
            "Try np.flatnonzero(mask).",
        )
    if np.unique(found).size != found.size:
        raise BadInput("A row occurs twice in labelled.", "Name each labelled row once.")
    return found.astype(np.int64)


def _classes(values: object, count: int) -> Int64[np.ndarray, " L"]:
    if values is None:
        return np.empty(0, dtype=np.int64)
    found = _array(values, "labelled_classes")
    if found.shape != (count,):
        raise BadInput(
            f"labelled_classes has the shape {found.shape}, but {counted(count, 'row is', 'rows are')} labelled.",
            "Give one class for each labelled row.",
        )
    if found.size and (found.dtype.kind not in "iu" or found.min() < 0):
        raise BadInput(
            "labelled_classes must be class numbers from 0.", "Try np.unique(names, return_inverse=True)[1]."
        )
    return found.astype(np.int64)
