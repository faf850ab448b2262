"""What a learner knows beside its networks: its pool, who neighbours whom there, and what people said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from aral.acquisition.interface import Need, Predictions
from aral.learners.spec import Partitioning
from aral.randomness import Stream
from aral.representations.neighbours import Neighbourhood, SpreadLabels
from aral.types import NOBODY, Ids, ImageSet, LabelledSet


class Acquaintance:
    """Knows a pool once it has met it, and answers what no network says; nothing is sought before it is asked for.

    Args:
        name: the learner's, for messages.
    """

    supplies = frozenset({Need.SPREAD, Need.PLACES})
    """The outputs it can add."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ImageSet | None = None
        self._foreign: Ids = NOBODY
        self._spread: Callable[[], SpreadLabels] | None = None
        self.neighbourhood: Neighbourhood | None = None
        """Who neighbours whom; ``None`` before a pool was met."""

    @property
    def pool(self) -> ImageSet:
        """Every image.

        Raises:
            ValueError: no pool was met.
        """
        if self._pool is None:
            raise ValueError(f"'{self._name}' has not met a pool")
        return self._pool

    def meet_pool(self, pool: ImageSet, settings: Partitioning, symmetric: bool, stream: Stream) -> None:
        """Remember the pool; who neighbours whom is found out when it is first needed."""
        self._pool = pool
        self.neighbourhood = Neighbourhood(
            pool, settings.neighbours_in, settings.components, settings.neighbours, symmetric, stream
        )

    def meet_labels(self, labelled: LabelledSet, foreign: Ids) -> None:
        """Remember what a query may count with, and which images are of no class."""
        self._foreign = foreign
        self._spread = self.spreading(labelled)

    def spreading(self, labelled: LabelledSet) -> Callable[[], SpreadLabels]:
        """Gives what some labels say along the graph, with the images of no class that were met last."""
        foreign = self._foreign
        return lambda: self._met.spread(labelled, foreign)

    def complete(self, found: Predictions, wanted: frozenset[Need]) -> Predictions:
        """The outputs of networks, and those of :attr:`supplies` that are wanted.

        Raises:
            ValueError: they need a pool or labels that were not met.
        """
        if Need.PLACES in wanted:
            found = replace(found, places=self._met.places(found.ids))
        if Need.SPREAD not in wanted:
            return found
        if self._spread is None:
            raise ValueError(f"'{self._name}' has not met any labels that could spread")
        return replace(found, spread=self._spread()(found.ids))

    @property
    def _met(self) -> Neighbourhood:
        if self.neighbourhood is None:
            raise ValueError(f"'{self._name}' has not met a pool")
        return self.neighbourhood
