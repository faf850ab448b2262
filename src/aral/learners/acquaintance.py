"""What a learner knows beside its networks: its pool, who neighbours whom there, and what people said of it."""

from __future__ import annotations

from collections.abc import Callable

from aral.acquisition.interface import Need, Predictions
from aral.learners.spec import Partitioning
from aral.randomness import Stream
from aral.representations.graph import NeighbourGraph, PropagatedLabels
from aral.types import NO_IDS, Ids, ImageSet, LabelledSet


class Acquaintance:
    """Knows a pool once it has met it, and answers what no network says; nothing is sought before it is asked for.

    Args:
        name: the learner's, for messages.
    """

    supplies = frozenset({Need.PROPAGATED, Need.REPRESENTATION})
    """The outputs it can add."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ImageSet | None = None
        self._ood: Ids = NO_IDS
        self._spread: Callable[[], PropagatedLabels] | None = None
        self.neighbour_graph: NeighbourGraph | None = None
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

    def set_pool(self, pool: ImageSet, settings: Partitioning, symmetric: bool, stream: Stream) -> None:
        """Remember the pool; who neighbours whom is found out when it is first needed."""
        self._pool = pool
        self.neighbour_graph = NeighbourGraph(
            pool, settings.neighbours_in, settings.components, settings.neighbours, symmetric, stream
        )

    def set_labels(self, labelled: LabelledSet, ood: Ids) -> None:
        """Remember what a query may count with, and which images are of no class."""
        self._ood = ood
        self._spread = self.spreading(labelled)

    def spreading(self, labelled: LabelledSet) -> Callable[[], PropagatedLabels]:
        """Gives what some labels say along the graph, with the images of no class that were met last."""
        ood = self._ood
        return lambda: self._met.propagate(labelled, ood)

    def complete(self, found: Predictions, wanted: frozenset[Need]) -> Predictions:
        """The outputs of networks, and those of :attr:`supplies` that are wanted.

        Raises:
            ValueError: they need a pool or labels that were not met.
        """
        if Need.REPRESENTATION in wanted:
            found = found.joined({Need.REPRESENTATION: self._met.vectors(found.ids)})
        if Need.PROPAGATED not in wanted:
            return found
        if self._spread is None:
            raise ValueError(f"'{self._name}' has not met any labels that could spread")
        return found.joined({Need.PROPAGATED: self._spread()(found.ids)})

    @property
    def _met(self) -> NeighbourGraph:
        if self.neighbour_graph is None:
            raise ValueError(f"'{self._name}' has not met a pool")
        return self.neighbour_graph
