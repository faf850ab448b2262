"""Queries of a pool in shards, in two levels: each shard is summarised by itself, then the summaries are merged.

    summaries = [summarise("entropy", shard, n, stream) for shard in shards]  # each may be on another machine
    selection = merge("entropy", summaries, n, stream)

Image ids are global: an image has the same id and so the same random numbers whichever shard it is in. A summary has
at most a few thousand images, whatever the size of the shard. :data:`SHARDED` says what holds for which acquisition.

**Exact**: ids, order, scores and reasons are those of the acquisition on the whole pool, for any partition.

* Scores of single images (:class:`TopScores`): an image of the n highest of the pool is one of the n highest of its
  shard. Not where a score depends on the rest of the pool (``softrank-bald``, a rank).
* ``cluster-margin`` and ``batchbald`` choose among the C images with the highest scores. A summary has the C + 1
  highest of its shard with what the acquisition reads of them; the acquisition itself is computed on their union.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, runtime_checkable
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float64, Int64, Shaped

from aral.acquisition.bald import BatchBald, bald_scores
from aral.acquisition.catalogue import ACQUISITIONS, make_acquisition
from aral.acquisition.cluster_margin import ClusterMargin
from aral.acquisition.interface import (
    Acquisition,
    JointBatch,
    Need,
    PoolView,
    Predictions,
    Scores,
    TopScores,
    check_query_size,
    sorted_by_id,
)
from aral.acquisition.uncertainty import margin_scores
from aral.durable import write_file
from aral.errors import BadInput
from aral.plural import counted
from aral.randomness import Stream
from aral.types import NO_IDS, Ids, Selection

Outputs: TypeAlias = Mapping[str, Shaped[np.ndarray, "c *shape"]]
"""What level two reads of each image of a summary, by name; in the precision in which it was given."""

# What is passed between shards


@dataclass(frozen=True)
class Query:
    """What a summary was computed for. Only summaries of one query are merged.

    Attributes:
        strategy: name of the acquisition.
        n: how many images the query asks for.
        key: of the stream, which the seed decides.
        labelled: digest of the labelled images and their classes.
    """

    strategy: str
    n: int
    key: int
    labelled: str

    @classmethod
    def of(cls, acquisition: Acquisition, pool: PoolView, n: int, stream: Stream) -> Query:
        """The query on a pool, the labelled images of which are all of all shards."""
        order = np.argsort(pool.labelled.ids, kind="stable")
        digest = blake2b(digest_size=8)
        for numbers in (pool.labelled.ids[order], pool.labelled_classes[order]):
            digest.update(numbers.astype("<i8").tobytes())
        return cls(acquisition.name, n, stream.key, digest.hexdigest())


@dataclass(frozen=True, eq=False)
class Summary:
    """What level two has to know of a shard.

    Attributes:
        query: what it was computed for.
        shared: digest of the :class:`Shared` that it was computed with; empty without one.
        images: how many unlabelled images the shard has.
        ids: of the candidates, global.
        scores: of the candidates, higher = label first.
        reasons: one a candidate.
        outputs: what level two reads of the candidates.
    """

    query: Query
    shared: str
    images: int
    ids: Int64[np.ndarray, " c"]
    scores: Float64[np.ndarray, " c"]
    reasons: tuple[str, ...]
    outputs: Outputs

    def save(self, path: Path) -> None:
        """Write a ``.npz`` file in one step; nothing in it is pickled."""
        header = {"shared": self.shared, "images": self.images}
        arrays = {"ids": self.ids, "scores": self.scores, "reasons": np.array(self.reasons, dtype=np.str_)}
        _write(path, "summary", self.query, header, arrays, self.outputs)

    @classmethod
    def load(cls, path: Path) -> Summary:
        """Read a file that :meth:`save` wrote.

        Raises:
            BadInput: there is none, or it holds something else.
        """
        query, header, arrays, outputs = _read(path, "summary", ("ids", "scores", "reasons"))
        return cls(
            query,
            str(header["shared"]),
            int(header["images"]),
            arrays["ids"],
            arrays["scores"],
            tuple(arrays["reasons"].tolist()),
            outputs,
        )


@dataclass(frozen=True, eq=False)
class Sample:
    """A shard's part of the random images that the coverage is computed from (:func:`sample`).

    Attributes:
        query: what it was drawn for.
        images: how many unlabelled images the shard has.
        ids: of the sampled images, global.
        outputs: of the sampled images; and what is known of all vectors of the shard, where it is needed.
    """

    query: Query
    images: int
    ids: Int64[np.ndarray, " c"]
    outputs: Mapping[str, Shaped[np.ndarray, ...]]

    def save(self, path: Path) -> None:
        """Write a ``.npz`` file in one step; nothing in it is pickled."""
        _write(path, "sample", self.query, {"images": self.images}, {"ids": self.ids}, self.outputs)

    @classmethod
    def load(cls, path: Path) -> Sample:
        """Read a file that :meth:`save` wrote; raises :class:`BadInput` where there is none."""
        query, header, arrays, outputs = _read(path, "sample", ("ids",))
        return cls(query, int(header["images"]), arrays["ids"], outputs)


@dataclass(frozen=True, eq=False)
class Shared:
    """What all shards are compared with, the same for each (:func:`share`).

    Attributes:
        query: what it was made for.
        images: how many unlabelled images the pool has.
        width: of the kernel.
        outputs: points, their weights, and the labelled images.
    """

    query: Query
    images: int
    width: float
    outputs: Mapping[str, Shaped[np.ndarray, ...]]

    @property
    def digest(self) -> str:
        """Differs when anything in it does."""
        found = blake2b(f"{self.query} {self.images} {self.width!r}".encode(), digest_size=8)
        for name in sorted(self.outputs):
            found.update(self.outputs[name].tobytes())
        return found.hexdigest()

    def save(self, path: Path) -> None:
        """Write a ``.npz`` file in one step; nothing in it is pickled."""
        header = {"images": self.images, "width": self.width}
        _write(path, "shared", self.query, header, {}, self.outputs)

    @classmethod
    def load(cls, path: Path) -> Shared:
        """Read a file that :meth:`save` wrote; raises :class:`BadInput` where there is none."""
        query, header, _, outputs = _read(path, "shared", ())
        return cls(query, int(header["images"]), float(header["width"]), outputs)


# The two levels


def needs_sample(strategy: str | Acquisition) -> bool:
    """Whether all shards have to be sampled (:func:`sample`, :func:`share`) before they are summarised.

    Raises:
        BadInput: the strategy is unknown or cannot be computed by shards.
    """
    return _resolved(strategy)[1].needs_sample


def sample(strategy: str | Acquisition, pool: PoolView, n: int, stream: Stream) -> Sample:
    """A shard's part of what all shards are compared with; arguments as of :func:`summarise`."""
    raise BadInput(f"Strategy '{_resolved(strategy)[0].name}' needs no sample.", "Call summarise.")


def share(
    strategy: str | Acquisition, samples: Sequence[Sample], pool: PoolView, n: int, stream: Stream
) -> Shared:
    """What all shards are compared with, from the samples of all shards.

    Args:
        strategy: as of :func:`summarise`.
        samples: one a shard, in any order.
        pool: of any shard; its labelled images are read.
        n: as of :func:`summarise`.
        stream: as of :func:`summarise`.
    """
    raise BadInput(f"Strategy '{_resolved(strategy)[0].name}' needs no sample.", "Call summarise.")


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
    if scheme.needs_sample and shared is None:
        raise BadInput(
            f"Strategy '{acquisition.name}' compares all shards with the same images, which were not given.",
            "Call sample for each shard, then share, and give its result to summarise and merge.",
        )
    if shared is not None:
        _check_query("The shared part", shared.query, query)
    found = _Candidates(NO_IDS, np.empty(0), (), {})
    view = sorted_by_id(pool)
    if view.unlabelled.ids.size:
        found = scheme.candidates(view, n, stream, shared)
    return Summary(
        query,
        "" if shared is None else shared.digest,
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
        _check_query("The shared part", shared.query, expected)
    for place, summary in enumerate(summaries):
        _check_query(f"Summary {place}", summary.query, expected)
        if summary.shared != ("" if shared is None else shared.digest):
            raise BadInput(
                f"Summary {place} was computed with another shared part than the one given.",
                "Summarise this shard again with the result of share.",
            )
    # Ordered by their content, so that the order in which shards are listed decides nothing.
    found = sorted((each for each in summaries if each.ids.size), key=lambda each: int(each.ids.min()))
    ids = np.concatenate([each.ids for each in found])
    if np.unique(ids).size != ids.size:
        raise BadInput("An image is in two summaries.", "Give the summary of each shard once.")
    return scheme.merged(found, n, stream, shared)


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
        ids, _ = _joined(summaries)
        nothing = Predictions(NO_IDS)
        outputs = {need: _stacked(summaries, need) for need in self.acquisition.needs}
        return self.acquisition(PoolView(Predictions(ids, outputs), nothing, NO_IDS, 2), n, stream)


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


def _stacked(summaries: Sequence[Summary], name: str) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([each.outputs[name] for each in summaries]))


# Which acquisitions


def _scheme(acquisition: Acquisition) -> _Scheme | None:
    if isinstance(acquisition, TopScores):
        return None if acquisition.whole_pool else _ByScore(acquisition)
    if isinstance(acquisition, JointBatch):
        match acquisition.choose:
            case BatchBald() as choose:
                return _ByShortlist(acquisition, bald_scores, choose.candidate_count)
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


def _refused(acquisition: Acquisition) -> BadInput:
    why = "its choice needs the whole pool at once"
    if isinstance(acquisition, TopScores):
        why = "the score of an image depends on the other images of the pool"
    return BadInput(
        f"Strategy '{acquisition.name}' cannot be computed by shards: {why}.",
        f"Choose one of {', '.join(SHARDED)}.",
    )


def _check_query(what: str, found: Query, expected: Query) -> None:
    """Refuse what was computed for another query, and say what differs."""
    for differs, name in (
        (found.strategy != expected.strategy, f"strategy '{found.strategy}', not '{expected.strategy}'"),
        (found.n != expected.n, f"a query of {counted(found.n, 'image')}, not {expected.n}"),
        (found.key != expected.key, "another seed"),
        (found.labelled != expected.labelled, "other labelled images"),
    ):
        if differs:
            raise BadInput(f"{what} is of {name}.", "Compute it again for this query.")


# Files

_FORMAT = 1


def _write(
    path: Path,
    kind: str,
    query: Query,
    header: dict[str, Any],
    arrays: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
) -> None:
    described = {"format": _FORMAT, "kind": kind, "query": query.__dict__, **header}
    members: dict[str, Any] = {
        "header": np.frombuffer(json.dumps(described).encode(), dtype=np.uint8),
        **arrays,
        **{f"output-{name}": values for name, values in outputs.items()},
    }
    buffer = BytesIO()
    np.savez(buffer, **members)
    write_file(path, buffer.getvalue())


def _read(
    path: Path, kind: str, names: Sequence[str]
) -> tuple[Query, dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
    hint = "Compute it again."
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            arrays = {name: file[name] for name in names}
            outputs = {
                name.removeprefix("output-"): file[name] for name in file.files if name.startswith("output-")
            }
        if header["format"] != _FORMAT:
            raise BadInput(f"{path} has the unknown format {header['format']}, not {_FORMAT}.", hint)
        if header["kind"] != kind:
            raise BadInput(f"{path} is no {kind} of a sharded query but a {header['kind']}.", hint)
        return Query(**header["query"]), header, arrays, outputs
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        raise BadInput(
            f"{path} cannot be read as a {kind} of a sharded query: {type(error).__name__}: {error}.", hint
        ) from error
