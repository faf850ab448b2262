"""Check before any run that each learner of a grid supplies what its acquisitions need."""

from __future__ import annotations

from collections.abc import Iterable

from aral.benchmarking.grid import Unit
from aral.benchmarking.methods import make_learner_without_weights
from aral.benchmarking.runs import strategy_of
from aral.benchmarking.spec import RunSpec
from aral.data import NAMES, shape_of
from aral.loop import check_strategy
from aral.networks import ImageShape

_ANY_COUNT = 10
"""Number of classes where the data have not been read; what a learner supplies does not depend on it."""


def check_pairings(
    units: Iterable[Unit], shape: ImageShape | None = None, class_count: int = _ANY_COUNT
) -> None:
    """Refuse a learner that cannot answer its acquisition, or networks that cannot take the images.

    Each learner is made once for each acquisition and first query, without allocating its weights.

    Args:
        units: the units.
        shape: channels, height and width of the images; ``None``: as the data set's name or ``side`` has it.
        class_count: K.

    Raises:
        BadInput: names the first that does not fit.
    """
    seen: set[tuple[str, str, str]] = set()
    for unit in units:
        spec = unit.spec
        key = (spec.learner.title, spec.acquisition, spec.rounds.first_query)
        if key not in seen:
            seen.add(key)
            _check(spec, shape or _shape(spec), class_count)


def _shape(spec: RunSpec) -> ImageShape:
    return shape_of(spec.data, spec.side) if spec.data in NAMES else (3, spec.side, spec.side)


def _check(spec: RunSpec, shape: ImageShape, class_count: int) -> None:
    check_strategy(strategy_of(spec), make_learner_without_weights(spec.learner, shape, class_count))
