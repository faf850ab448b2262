"""ARAL with typicality: doubtful images of which there are many alike.

The most doubtful image of a pool is often one of a kind, and its label teaches nothing else. So the images that
sampler and classifier rank highest (see :mod:`aral.acquisition.diverse`), a share of the pool, are cut into n
clusters of their features, and the one nearest to each centre is asked: what it stands for is a whole region in
which the classifier is unsure and nothing has been labelled. While labels are few these regions are large, so
typicality counts most; as the classifier grows sure they become the few images that are left in doubt.

Doubt is the entropy of the classifier's answer, or the margin of whichever is less sure, classifier or graph. With
the graph, while there are fewer than four labels a class, a fifth of the pool is looked at instead of a twentieth,
and images are alike where both the classifier's features and the places in the graph say so: features that were
learned from ten labels hold together what these cannot tell apart, above all classes that nobody has named.

Sampler logits N, probabilities N×K, labels along the graph N×K, features N×F, places N×C; a score is the number of
doubtful images in the cluster, higher = label first. Cost that of one k-means on share·N images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aral.acquisition.clusters import k_means
from aral.acquisition.confidence import entropy_scores, graph_margin_scores
from aral.acquisition.distances import features_of, squared_distances
from aral.acquisition.diverse import with_sampler
from aral.acquisition.groups import directions
from aral.acquisition.interface import Need, PoolView, Scores
from aral.acquisition.joint import Choice, JointBatch, first_of_best
from aral.randomness import Stream
from aral.words import counted


@dataclass(frozen=True)
class Look:
    """Which images are looked at, and in what they are alike.

    Attributes:
        share: of the pool that counts as doubtful.
        spaces: features in which images are alike; in each of several, all images count the same.
    """

    share: float = 0.05
    spaces: tuple[Need, ...] = (Need.FEATURES,)


@dataclass(frozen=True)
class TypicalDoubts:
    """The centres of n clusters of doubtful images.

    Attributes:
        score: higher = more doubtful.
        look: where doubts are sought.
        at_first: the same while there are fewer labels than ``few`` a class; ``None``: as later.
        few: labels a class.
    """

    score: Callable[[PoolView, Stream], Scores]
    look: Look = Look()
    at_first: Look | None = None
    few: int = 4

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, those of the largest clusters first."""
        scores = self.score(pool, stream.child("scores"))
        ties = stream.child("ties").uniform(pool.unlabelled.ids)
        look = self._look(pool)
        count = min(len(scores), max(n, round(look.share * len(scores))))
        order = np.lexsort((ties, -scores))[:count]
        doubtful = np.sort(order)
        features = np.hstack(
            [directions(features_of(pool.unlabelled, space)[doubtful]) for space in look.spaces]
        )
        clusters = k_means(features, n, stream.child("clusters"))
        sizes = np.bincount(clusters, minlength=n)
        rows: list[int] = []
        for cluster in np.argsort(-sizes, kind="stable"):
            inside = np.flatnonzero(clusters == cluster)
            if inside.size:
                centre = features[inside].mean(axis=0, keepdims=True)
                nearness = -squared_distances(features[inside], centre)
                rows.append(int(doubtful[inside[first_of_best(nearness, ties[doubtful[inside]])]]))
        # Exact copies make fewer clusters than were asked for; the most doubtful of the rest fill up.
        rest = [int(row) for row in order if row not in rows]
        worth = [float(size) for size in sorted(sizes[sizes > 0], reverse=True)]
        chosen = np.array((rows + rest)[:n], dtype=np.int64)
        values = np.array((worth + [1.0] * n)[:n])
        return Choice(
            chosen, values, tuple(f"stands for {counted(round(value), 'doubtful image')}" for value in values)
        )

    def _look(self, pool: PoolView) -> Look:
        early = pool.labelled_classes.size < self.few * pool.class_count
        return self.at_first if early and self.at_first is not None else self.look


_DOUBTS = frozenset({Need.PROBABILITIES, Need.FEATURES})
_SHARED = _DOUBTS | {Need.PROPAGATED, Need.REPRESENTATION}
_AT_FIRST = Look(0.2, (Need.FEATURES, Need.REPRESENTATION))
_SAMPLER = frozenset({Need.SAMPLER_LOGITS})
ARAL_TYPICAL = JointBatch("aral-typical", _DOUBTS | _SAMPLER, TypicalDoubts(with_sampler(entropy_scores)))
ARAL_GRAPH = JointBatch(
    "aral-graph", _SHARED | _SAMPLER, TypicalDoubts(with_sampler(graph_margin_scores), at_first=_AT_FIRST)
)
TYPICAL_ENTROPY = JointBatch("typical-entropy", _DOUBTS, TypicalDoubts(entropy_scores))
TYPICAL_GRAPH = JointBatch("typical-graph", _SHARED, TypicalDoubts(graph_margin_scores, at_first=_AT_FIRST))
