"""Queries of a pool in shards, in two levels: each shard is summarised by itself, then the summaries are merged.

    summaries = [summarise("entropy", shard, n, stream) for shard in shards]  # each may be on another machine
    selection = merge("entropy", summaries, n, stream)

Where :func:`needs_sample`, shards are sampled first, and what is made of the samples goes to both levels:

    samples = [sample("maxherding", shard, n, stream) for shard in shards]
    shared = share("maxherding", samples, any_shard, n, stream)
    summaries = [summarise("maxherding", shard, n, stream, shared) for shard in shards]
    selection = merge("maxherding", summaries, n, stream, shared)

Image ids are global: an image has the same id, and so the same random numbers, whichever shard it is in. A summary has
at most a few thousand images, whatever the size of the shard. :data:`SHARDED` says what holds for which acquisition.
With a single shard that is not empty all of them give ids, scores and reasons of the acquisition itself.

Exact
-----
Ids, order, scores and reasons are those of the acquisition on the whole pool, for any partition.

* Scores of single images (:class:`TopScores`): an image of the n highest of the pool is one of the n highest of its
  shard. Not where a score depends on the rest of the pool (``softrank-bald``, a rank).
* ``cluster-margin`` and ``batchbald`` choose among the C images with the highest scores. A summary has the C + 1
  highest of its shard with what the acquisition reads of them; the acquisition itself is computed on their union.

core-set: at most 4 times the smallest radius
---------------------------------------------
Level one: n images of each shard by greedy k-centre, the labelled images L being the first centres. Level two: the
same among these candidates. Let r be the smallest radius that n further centres can reach: all images of the pool lie
within r of L or of n images of the pool. Then all lie within 4·r of L or of the chosen ones (Malkomes, Kusner, Chen,
Weinberger & Moseley 2015, without L):

    Of a shard, let p be the image farthest from L and the shard's candidates, at a distance d > 0. The n candidates
    and p are at least d from each other and from L, because greedy takes the farthest image. If the best solution
    covers one of these n + 1 images by L, d ≤ r. Otherwise it covers two of them by one centre, and d ≤ 2·r. So each
    image is within 2·r of L or of a candidate of its shard. The candidates are images of the pool, so in level two
    the same holds: each is within 2·r of L or of a chosen image. Together 4·r.

A shard with fewer than n images returns all, with d = 0. Without labels each shard begins with its image of the lowest
random number and level two with that of the pool; the argument is the same with an empty L. In one level greedy
reaches 2·r.

maxherding, uncertainty-herding, linear-herding: coverage
---------------------------------------------------------
GreeDi (Mirzasoleiman, Karbasi, Sarkar & Krause 2013). All shards maximise the same function, the increase of the
coverage of the same images (:class:`Shared`): up to ``most_compared`` images of the pool, drawn by id as in one level,
with their weights. It is monotone and submodular, and 0 for no images. Level one: n images of each shard by greedy.
Level two: n of all candidates by greedy, or the candidates of the best shard if they cover more (filled up by greedy
where they are fewer than n). Let OPT be the largest increase by n images, in m shards that are not empty:

* Any partition: at least (1 − 1/e)/min(m, n) of OPT. The parts of the best solution in the m shards together are worth
  OPT at least, so one is worth OPT/m; greedy reaches 1 − 1/e of it, and the best shard counts. Likewise one image of
  the best solution is worth OPT/n, and the first choice in its shard at least that. (The paper's factor is (1 − 1/e)².)
* Each image in a random shard, independently of the others: at least (1 − 1/e)/2 of OPT in expectation over the
  partition (Barbosa, Ene, Le Nguyen & Ward 2015). Let p(x) be the probability that greedy chooses x in a random
  shard to which x is added. Of the best solution, the images that greedy would not choose in the first shard change
  nothing there when they are added, so this shard is worth 1 − 1/e of them; each is one of them with probability
  1 − p. Those that are candidates, each with probability p, are worth 1 − 1/e of themselves in level two. For a
  submodular function the expected values of the two random sets add up to OPT at least.

One level reaches 1 − 1/e. Coverage is that of the compared images, in one level as in two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64, Int64

from aral.acquisition.bald import BatchBald, bald_scores
from aral.acquisition.catalogue import ACQUISITIONS, make_acquisition
from aral.acquisition.cluster_margin import ClusterMargin
from aral.acquisition.coverage import KCentre
from aral.acquisition.geometry import (
    labelled_features,
    mean_and_spread,
    nearest_squared_distances,
    unit_length,
    vectors_of,
)
from aral.acquisition.herding import EQUAL, Herding, Moments, herd
from aral.acquisition.interface import (
    Acquisition,
    Describe,
    JointBatch,
    Need,
    PoolView,
    Predictions,
    Scores,
    TopScores,
    check_query_size,
    sorted_by_id,
)
from aral.acquisition.summaries import Outputs, Query, Sample, Shared, Summary
from aral.acquisition.uncertainty import margin_scores
from aral.errors import BadInput
from aral.randomness import Stream
from aral.types import NO_IDS, Ids, Selection

__all__ = [
    "SHARDED",
    "Query",
    "Sample",
    "Shared",
    "Summary",
    "merge",
    "needs_sample",
    "sample",
    "share",
    "summarise",
]

# The two levels


def needs_sample(strategy: str | Acquisition) -> bool:
    """Whether all shards have to be sampled (:func:`sample`, :func:`share`) before they are summarised.

    Raises:
        BadInput: the strategy is unknown or cannot be computed by shards.
    """
    return _resolved(strategy)[1].needs_sample


def sample(strategy: str | Acquisition, pool: PoolView, n: int, stream: Stream) -> Sample:
    """A shard's part of what all shards are compared with; arguments as of :func:`summarise`.

    Raises:
        BadInput: the strategy is unknown, cannot be computed by shards, or needs no sample; or n is below 1.
    """
    acquisition, scheme = _with_sample(strategy)
    check_query_size(n, max(n, 1))
    view = sorted_by_id(pool)
    ids, outputs, moments = NO_IDS, {}, None
    if view.unlabelled.ids.size:
        rows = scheme.choose.compared(view.unlabelled.ids, stream)
        ids, outputs = view.unlabelled.ids[rows], _outputs(view, rows, acquisition.needs)
        if scheme.choose.needs_moments(view):
            moments = mean_and_spread(vectors_of(view.unlabelled, Need.REPRESENTATION))
    query = Query.of(acquisition, pool, n, stream)
    return Sample(query, view.unlabelled.ids.size, ids, outputs, moments)


def share(
    strategy: str | Acquisition, samples: Sequence[Sample], pool: PoolView, n: int, stream: Stream
) -> Shared:
    """What all shards are compared with, from the samples of all shards.

    Args:
        strategy: as of :func:`summarise`.
        samples: one a shard, in any order.
        pool: of any shard; only its labelled images are read.
        n: as of :func:`summarise`.
        stream: as of :func:`summarise`.

    Raises:
        BadInput: the strategy is unknown, cannot be computed by shards, or needs no sample; a sample is of another
            query; an image is in two of them; or the pool has fewer than n images.
    """
    acquisition, scheme = _with_sample(strategy)
    images = sum(each.images for each in samples)
    check_query_size(n, images)
    query = Query.of(acquisition, pool, n, stream)
    for place, each in enumerate(samples):
        query.check(f"Sample {place}", each.query)
    found = _in_order(samples)
    # The images with the lowest random numbers of the pool are among those of their shards.
    drawn = _union(found, acquisition.needs, pool)
    part = sorted_by_id(drawn)
    rows = scheme.choose.compared(part.unlabelled.ids, stream)
    part = PoolView(part.unlabelled.rows(rows), part.labelled, part.labelled_classes, part.class_count)
    target = scheme.choose.target(part, _moments(found), stream)
    known = labelled_features(part, target.points.shape[1], Need.REPRESENTATION)
    return Shared(query, images, target, unit_length(known))


def _moments(samples: Sequence[Sample]) -> Moments | None:
    """Mean and standard deviation over all shards, by the parallel formula of Chan, Golub & LeVeque 1983."""
    total, moments = 0, None
    for each in samples:
        if each.moments is None:
            return None
        if moments is None:
            total, moments = each.images, each.moments
            continue
        (mean, spread), (other, other_spread) = moments, each.moments
        both, step = total + each.images, other - mean
        squares = total * spread**2 + each.images * other_spread**2 + step**2 * total * each.images / both
        total, moments = both, (mean + step * each.images / both, np.sqrt(squares / both))
    return moments


def summarise(
    strategy: str | Acquisition, pool: PoolView, n: int, stream: Stream, shared: Shared | None = None
) -> Summary:
    """Level one: what level two has to know of one shard.

    Args:
        strategy: a name out of :data:`SHARDED`, or an acquisition.
        pool: the shard. ``unlabelled`` has this shard's images only, none is allowed; ``labelled`` all labelled images
            of all shards. Ids are global.
        n: how many images the query asks for in all; a shard may have fewer.
        stream: the same for all shards; that of the whole pool's query.
        shared: what :func:`share` returned, where :func:`needs_sample`.

    Raises:
        BadInput: the strategy is unknown or cannot be computed by shards, n is below 1, or ``shared`` is missing or of
            another query.
    """
    acquisition, scheme = _resolved(strategy)
    check_query_size(n, max(n, 1))
    query = Query.of(acquisition, pool, n, stream)
    digest = _digest(acquisition, scheme, shared)
    if shared is not None:
        query.check("The shared part", shared.query)
    found = _Candidates(NO_IDS, np.empty(0), (), {})
    view = sorted_by_id(pool)
    if view.unlabelled.ids.size:
        found = scheme.candidates(view, n, stream, shared)
    return Summary(
        query,
        digest,
        view.unlabelled.ids.size,
        found.ids,
        found.scores,
        found.reasons,
        found.outputs,
    )


def merge(
    strategy: str | Acquisition,
    summaries: Sequence[Summary],
    n: int,
    stream: Stream,
    shared: Shared | None = None,
) -> Selection:
    """Level two: the selection from the whole pool, from the summaries of all its shards.

    Args:
        strategy: as of :func:`summarise`.
        summaries: one a shard, in any order, also those of empty shards.
        n: as of :func:`summarise`.
        stream: as of :func:`summarise`.
        shared: as of :func:`summarise`.

    Returns:
        Global ids, the most useful first. The order of the summaries does not matter.

    Raises:
        BadInput: the strategy is unknown or cannot be computed by shards; a summary is of another strategy, n, seed,
            labelled images or ``shared``; an image is in two of them; or the pool has fewer than n images.
    """
    acquisition, scheme = _resolved(strategy)
    check_query_size(n, sum(summary.images for summary in summaries))
    expected = Query(acquisition.name, n, stream.key, summaries[0].query.labelled)
    if shared is not None:
        expected.check("The shared part", shared.query)
    digest = _digest(acquisition, scheme, shared)
    for place, summary in enumerate(summaries):
        expected.check(f"Summary {place}", summary.query)
        if summary.shared != digest:
            raise BadInput(
                f"Summary {place} was computed with another shared part than the one given.",
                "Summarise this shard again with the result of share.",
            )
    found = _in_order(summaries)
    return scheme.merged(found, n, stream, shared)


def _digest(acquisition: Acquisition, scheme: _Scheme, shared: Shared | None) -> str:
    if shared is not None:
        return shared.digest
    if scheme.needs_sample:
        raise BadInput(
            f"Strategy '{acquisition.name}' compares all shards with the same images, which were not given.",
            "Call sample for each shard, then share, and give its result to summarise and merge.",
        )
    return ""


_Part = TypeVar("_Part", Sample, Summary)


def _in_order(parts: Sequence[_Part]) -> list[_Part]:
    """The parts of shards that are not empty, so that the order in which shards are listed decides nothing."""
    found = sorted((each for each in parts if each.ids.size), key=lambda each: int(each.ids.min()))
    ids = np.concatenate([each.ids for each in found])
    if np.unique(ids).size != ids.size:
        raise BadInput("An image is in two shards.", "Give each shard once.")
    return found


# What is exact


@dataclass(frozen=True, eq=False)
class _Candidates:
    ids: Int64[np.ndarray, " c"]
    scores: Float64[np.ndarray, " c"]
    reasons: tuple[str, ...]
    outputs: Outputs


@runtime_checkable
class _Scheme(Protocol):
    """How one kind of acquisition is computed in two levels."""

    @property
    def note(self) -> str:
        """``exact``, or the bound."""
        ...

    @property
    def needs_sample(self) -> bool:
        """Whether shards are compared with a sample of all of them."""
        ...

    def candidates(self, pool: PoolView, n: int, stream: Stream, shared: Shared | None) -> _Candidates:
        """Level one; the pool is sorted by id and not empty."""
        ...

    def merged(
        self, summaries: Sequence[Summary], n: int, stream: Stream, shared: Shared | None
    ) -> Selection:
        """Level two; the summaries are ordered and not empty, and have at least n images."""
        ...


@dataclass(frozen=True)
class _ByScore:
    """The n highest scores."""

    acquisition: TopScores
    note: str = "exact"
    needs_sample: bool = False

    def candidates(self, pool: PoolView, n: int, stream: Stream, shared: Shared | None) -> _Candidates:
        found = self.acquisition(pool, min(n, pool.unlabelled.ids.size), stream)
        rows = np.searchsorted(pool.unlabelled.ids, found.ids)[: (len(found) + 1) // 2]
        # Half of them are scored again without the others: a score that depends on the rest of the pool, such as a
        # rank, would be merged with scores that mean something else.
        alone = PoolView(pool.unlabelled.rows(rows), pool.labelled, pool.labelled_classes, pool.class_count)
        again = self.acquisition.score(alone, stream.child("score"))
        if not np.allclose(again, found.scores[: rows.size], rtol=1e-3, atol=1e-6):
            raise _refused(self.acquisition)
        return _Candidates(found.ids, found.scores.astype(np.float64), found.reasons, {})

    def merged(
        self, summaries: Sequence[Summary], n: int, stream: Stream, shared: Shared | None
    ) -> Selection:
        ids, scores = _joined(summaries)
        order = _highest(ids, scores, n, stream)
        reasons = [reason for summary in summaries for reason in summary.reasons]
        return Selection(
            ids[order], scores[order], self.acquisition.name, tuple(reasons[row] for row in order)
        )


@dataclass(frozen=True)
class _ByShortlist:
    """An acquisition on the images with the highest scores; of one more than it reads, so that it knows of others."""

    acquisition: Acquisition
    score: Callable[[PoolView, Stream], Scores]
    count: Callable[[int], int]
    note: str = "exact"
    needs_sample: bool = False

    def candidates(self, pool: PoolView, n: int, stream: Stream, shared: Shared | None) -> _Candidates:
        ids, scores = pool.unlabelled.ids, self.score(pool, stream)
        rows = np.sort(_highest(ids, scores, self.count(n) + 1, stream))
        return _Candidates(
            ids[rows], scores[rows], ("candidate",) * rows.size, _outputs(pool, rows, self.acquisition.needs)
        )

    def merged(
        self, summaries: Sequence[Summary], n: int, stream: Stream, shared: Shared | None
    ) -> Selection:
        return self.acquisition(_union(summaries, self.acquisition.needs), n, stream)


def _highest(ids: Ids, scores: Scores, n: int, stream: Stream) -> Int64[np.ndarray, " n"]:
    """Rows of the n highest scores, highest first; ties as in :func:`aral.acquisition.interface.top_scores`."""
    return np.lexsort((stream.child("ties").uniform(ids), -scores))[:n]


def _joined(summaries: Sequence[Summary]) -> tuple[Ids, Float64[np.ndarray, " c"]]:
    return (
        np.concatenate([each.ids for each in summaries]),
        np.concatenate([each.scores for each in summaries]),
    )


def _outputs(pool: PoolView, rows: Int64[np.ndarray, " c"], needs: frozenset[Need]) -> dict[str, np.ndarray]:
    """Some rows of the outputs of the unlabelled images; what NumPy does not know becomes float32."""
    found = {}
    for need in needs:
        values = pool.unlabelled.rows(rows).get(need).detach()
        found[need.value] = (values.float() if values.dtype is torch.bfloat16 else values).numpy()
    return found


def _union(
    parts: Sequence[Sample] | Sequence[Summary], needs: frozenset[Need], known: PoolView | None = None
) -> PoolView:
    """The candidates of all shards as a pool, with the labelled images of another one or without any."""
    outputs = {
        need: torch.from_numpy(np.concatenate([each.outputs[need.value] for each in parts])) for need in needs
    }
    candidates = Predictions(np.concatenate([each.ids for each in parts]), outputs)
    if known is None:
        return PoolView(candidates, Predictions(NO_IDS), NO_IDS, 2)
    return PoolView(candidates, known.labelled, known.labelled_classes, known.class_count)


# What is bounded


@dataclass(frozen=True)
class _ByDistance:
    """Greedy k-centre among the centres of the shards."""

    acquisition: JointBatch
    choose: KCentre
    note: str = "largest distance left at most 4 times the smallest possible"
    needs_sample: bool = False

    def candidates(self, pool: PoolView, n: int, stream: Stream, shared: Shared | None) -> _Candidates:
        ids = pool.unlabelled.ids
        features = vectors_of(pool.unlabelled, Need.FEATURES)
        nearest = nearest_squared_distances(features, labelled_features(pool, features.shape[1]))
        ties = stream.child("ties").uniform(ids)
        found = self.choose.farthest_first(features, nearest.copy(), ties, min(n, ids.size))
        outputs = _outputs(pool, found.rows, self.acquisition.needs) | {_NEAREST: nearest[found.rows]}
        return _Candidates(ids[found.rows], found.scores, found.reasons, outputs)

    def merged(
        self, summaries: Sequence[Summary], n: int, stream: Stream, shared: Shared | None
    ) -> Selection:
        if len(summaries) == 1:
            return _own(summaries[0])
        candidates = _union(summaries, self.acquisition.needs).unlabelled
        nearest = np.concatenate([each.outputs[_NEAREST] for each in summaries])
        ties = stream.child("ties").uniform(candidates.ids)
        found = self.choose.farthest_first(vectors_of(candidates, Need.FEATURES), nearest, ties, n)
        reasons = tuple(reason + _among(summaries) for reason in found.reasons)
        return Selection(candidates.ids[found.rows], found.scores, self.acquisition.name, reasons)


_NEAREST = "nearest"
"""Squared distance to the nearest labelled image; ∞ without one."""


@dataclass(frozen=True)
class _ByCoverage:
    """GreeDi: greedy among what greedy chose in each shard, or the best shard's."""

    acquisition: JointBatch
    choose: Herding
    note: str = (
        "coverage at least (1 − 1/e)/min(m, n) of the largest possible increase in m shards, "
        "in expectation (1 − 1/e)/2 where each image is in a random shard"
    )
    needs_sample: bool = True

    def candidates(self, pool: PoolView, n: int, stream: Stream, shared: Shared | None) -> _Candidates:
        assert shared is not None
        ids = pool.unlabelled.ids
        vectors = vectors_of(pool.unlabelled, Need.REPRESENTATION, unit=True)
        ties = stream.child("ties").uniform(ids)
        found, gains = herd(vectors, shared.labelled, shared.target, min(n, ids.size), ties)
        rows, reason = np.array(found, dtype=np.int64), self._reason(shared)
        outputs = _outputs(pool, rows, frozenset({Need.REPRESENTATION}))
        return _Candidates(ids[rows], np.array(gains), tuple(map(reason, gains)), outputs)

    def merged(
        self, summaries: Sequence[Summary], n: int, stream: Stream, shared: Shared | None
    ) -> Selection:
        assert shared is not None
        if len(summaries) == 1:
            return _own(summaries[0])
        candidates = _union(summaries, frozenset({Need.REPRESENTATION})).unlabelled
        vectors = vectors_of(candidates, Need.REPRESENTATION, unit=True)
        ties = stream.child("ties").uniform(candidates.ids)
        rows, gains = herd(vectors, shared.labelled, shared.target, n, ties)
        best = max(summaries, key=lambda each: float(each.scores.sum()))
        if best.scores.sum() > sum(gains) + EQUAL:
            first = np.flatnonzero(np.isin(candidates.ids, best.ids))
            rows, gains = first.tolist(), best.scores.tolist()
            others = np.setdiff1d(np.arange(candidates.ids.size), first)
            covering = np.concatenate([shared.labelled, vectors[first]])
            more, more_gains = herd(
                vectors.subset(others), covering, shared.target, n - first.size, ties[others]
            )
            rows, gains = rows + others[more].tolist(), gains + more_gains
        reason, among = self._reason(shared), _among(summaries)
        return Selection(
            candidates.ids[rows],
            np.array(gains),
            self.acquisition.name,
            tuple(reason(gain) + among for gain in gains),
        )

    def _reason(self, shared: Shared) -> Describe:
        return self.choose.reason(len(shared.target.points) < shared.images)


def _own(summary: Summary) -> Selection:
    """What the acquisition chose in the only shard."""
    return Selection(summary.ids, summary.scores, summary.query.strategy, summary.reasons)


def _among(summaries: Sequence[Summary]) -> str:
    """What reasons say of the two levels."""
    count = sum(each.ids.size for each in summaries)
    return f"; among {count:,} candidates of {len(summaries):,} shards"


# Which acquisitions


def _scheme(acquisition: Acquisition) -> _Scheme | None:
    if isinstance(acquisition, TopScores):
        return None if acquisition.whole_pool else _ByScore(acquisition)
    if isinstance(acquisition, JointBatch):
        match acquisition.choose:
            case BatchBald() as choose:
                return _ByShortlist(acquisition, bald_scores, choose.candidate_count)
            case KCentre(outliers=0.0) as choose:
                return _ByDistance(acquisition, choose)
            case Herding() as choose:
                return _ByCoverage(acquisition, choose)
            case ClusterMargin() as choose:
                return _ByShortlist(acquisition, margin_scores, choose.candidate_count)
    return None


SHARDED: Mapping[str, str] = MappingProxyType(
    {
        name: scheme.note
        for name, acquisition in ACQUISITIONS.items()
        if (scheme := _scheme(acquisition)) is not None
    }
)
"""Which acquisitions can be computed by shards: ``exact``, or the bound on what is lost."""


def _resolved(strategy: str | Acquisition) -> tuple[Acquisition, _Scheme]:
    acquisition = make_acquisition(strategy) if isinstance(strategy, str) else strategy
    scheme = _scheme(acquisition)
    if scheme is None:
        raise _refused(acquisition)
    return acquisition, scheme


def _with_sample(strategy: str | Acquisition) -> tuple[Acquisition, _ByCoverage]:
    acquisition, scheme = _resolved(strategy)
    if not isinstance(scheme, _ByCoverage):
        raise BadInput(f"Strategy '{acquisition.name}' needs no sample of the shards.", "Call summarise.")
    return acquisition, scheme


def _refused(acquisition: Acquisition) -> BadInput:
    why = "its choice needs the whole pool at once"
    if isinstance(acquisition, TopScores):
        why = "the score of an image depends on the other images of the pool"
    return BadInput(
        f"Strategy '{acquisition.name}' cannot be computed by shards: {why}.",
        f"Choose one of {', '.join(SHARDED)}.",
    )
