"""Which images of a pool in shards to label next: jobs read the shards, and their summaries are merged.

The walk of the data is :func:`select_from_shards`, from its first line to its last. Two kinds of jobs run on an engine:
:func:`aral.benchmarking.shard_jobs.extract` computes the features of one shard, once for all queries; :func:`score`
reads features of some shards and writes what the query has to know of each (:mod:`aral.acquisition.sharded`).

The coordinator has no array of the size of the pool but hashes of keys. A pool of one shard, or of at most
:data:`ONE_ARRAY` images, is one array: then the selection is that of :func:`aral.acquisition.select`, by any strategy.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64

from aral.acquisition import Acquisition, Need, PoolView, Predictions, make_acquisition, select
from aral.acquisition.selecting import check_needs
from aral.acquisition.sharded import (
    SHARDED,
    Sample,
    Shared,
    Summary,
    merge,
    needs_sample,
    sample,
    share,
    summarise,
)
from aral.benchmarking.jobs import GridObserver, Report
from aral.benchmarking.shard_jobs import ShardJobs, ShardResources, written_features
from aral.data.shards import ROWS, Shard
from aral.data.unreadable import Unreadable
from aral.durable import write_file
from aral.errors import BadInput, Stopped
from aral.logistic import calibrated_logistic, class_probabilities
from aral.plural import counted
from aral.randomness import Stream
from aral.representations import (
    Backbone,
    FeaturesFolder,
    Projection,
    RepresentationSettings,
    fit_projection,
    make_backbone,
    project,
)
from aral.types import Selection

COMPONENTS, INVERSE_PENALTY = 128, 1.0
"""Principal components of the features, and C of the logistic regression on the labels."""

SAMPLE = 20_000
"""Images that the principal components of a larger pool in several shards are computed from, at random."""

ONE_ARRAY = SAMPLE
"""Images of a pool in several shards that are still selected from as one array."""

SCORE = "aral.benchmarking.sharded_selection:score"
"""What a worker of a query does."""

SUPPLIED = frozenset({Need.FEATURES, Need.REPRESENTATION, Need.PROBABILITIES})


@dataclass(frozen=True)
class ShardQuery:
    """What to select.

    Attributes:
        n: how many images.
        strategy: name of an acquisition.
        representation: the backbone of the features.
        labels: the class of each labelled image by its key.
        seed: decides everything random.
        called: short name of the strategy that the user gave, for messages.
    """

    n: int
    strategy: str
    representation: RepresentationSettings
    labels: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    called: str = ""

    @property
    def stream(self) -> Stream:
        """The same as of :func:`aral.acquisition.select`."""
        return Stream.root(self.seed).child("select")


@dataclass(frozen=True)
class SelectedImage:
    """An image to label.

    Attributes:
        key: of the image.
        shard: address of its shard.
        row: within the shard, from 0, all images counted.
        rank: from 1, the most useful first.
        score: higher = label first.
        reason: one short sentence.
    """

    key: str
    shard: str
    row: int
    rank: int
    score: float
    reason: str


@dataclass(frozen=True)
class ShardSelection:
    """What was selected, and what was left out.

    Attributes:
        images: the selected ones, the most useful first.
        acquisition: its name.
        pool_size: images that could be decoded.
        unreadable: the others: addresses of shards and, as path, keys.
    """

    images: tuple[SelectedImage, ...]
    acquisition: str
    pool_size: int
    unreadable: tuple[tuple[str, Unreadable], ...]


# The coordinator


def select_from_shards(
    shards: Sequence[Shard],
    query: ShardQuery,
    resources: ShardResources,
    *,
    download: bool = False,
    observer: GridObserver | None = None,
    say: Callable[[str], None] = lambda text: None,
    stopping: Callable[[], bool] = lambda: False,
) -> ShardSelection:
    """Select images of shards to label.

    Features that are in the folder are not computed again, so a command that was stopped or killed continues with the
    shards that are left, and the next query starts at once.

    Args:
        shards: in the order that decides the ids of images, and so random numbers.
        query: what to select.
        resources: where to compute.
        download: whether missing weights may be downloaded.
        observer: is told of the progress of the jobs; a step is a byte of a shard.
        say: given sentences on what is computed and what is left out.
        stopping: asked a few times a second; true stops, and the features of finished shards stay.

    Raises:
        BadInput: the strategy is unknown, lacks something or cannot be computed by shards; a shard cannot be used; a
            key is in two shards; there are fewer than n images without a label; another command uses the folder.
        RunFailed: a shard could not be read, or workers died.
        Stopped: ``stopping`` returned true.
    """
    observer = observer or GridObserver()
    acquisition = make_acquisition(query.strategy)
    _check_strategy(acquisition, query, shards, say)
    resources.engine.check()
    backbone = make_backbone(query.representation, download)
    folder = FeaturesFolder(resources.features, backbone)
    with ShardJobs(folder, resources, observer, stopping) as jobs:
        jobs.compute_features(shards, say)
        pool = _Pool.read(folder, shards, query.labels)
        _check_pool(pool, query, acquisition, say)
        if pool.is_one_array:
            known = (pool.labelled, pool.classes, pool.class_count)
            selection = select_rows(pool.all(), query.n, acquisition, backbone, *known, query.seed)
        else:
            selection = _selection_by_shards(jobs, pool, query, acquisition, say)
        images = pool.images(folder, selection)
        return ShardSelection(images, selection.acquisition, pool.size, tuple(pool.unreadable))


def select_rows(
    features: Float[np.ndarray, "N F"],
    n: int,
    acquisition: Acquisition,
    backbone: Backbone,
    labelled: Int64[np.ndarray, " L"],
    classes: Int64[np.ndarray, " L"],
    class_count: int,
    seed: int,
) -> Selection:
    """The rows of features to label next, of a pool that is one array.

    Args:
        features: of all images by a backbone; may be mapped from a file.
        n: how many.
        acquisition: what chooses.
        backbone: of the features.
        labelled: rows that have a label.
        classes: of these, 0..K−1.
        class_count: K; below 2 no probabilities are computed.
        seed: decides everything random.
    """
    projection = fit_projection(features, COMPONENTS, backbone.parts)
    vectors = _vectors(projection, features)
    probabilities = None
    if class_count > 1:
        head = calibrated_logistic(vectors[labelled], classes, class_count, INVERSE_PENALTY)
        probabilities = class_probabilities(vectors, *head)
    return select(
        vectors,
        n,
        probabilities=probabilities,
        labelled=labelled,
        labelled_classes=classes,
        strategy=acquisition,
        seed=seed,
    )


def check_labels_for(acquisition: Acquisition, class_count: int, called: str = "") -> None:
    """Refuse an acquisition that reads class probabilities where there are labels of fewer than two classes.

    Args:
        acquisition: what would choose.
        class_count: of the labels.
        called: a short name that the user gave.

    Raises:
        BadInput: says which file of labels to give.
    """
    if Need.PROBABILITIES in acquisition.needs and class_count < 2:
        raise BadInput(
            f"Strategy '{called or acquisition.name}' needs labels of images of two classes or more.",
            "Add --labels LABELS.csv with the columns path (of shards: key) and label, or choose --strategy diverse.",
        )


def _check_strategy(
    acquisition: Acquisition, query: ShardQuery, shards: Sequence[Shard], say: Callable[[str], None]
) -> None:
    """Before anything is computed."""
    check_needs(acquisition, SUPPLIED, len(set(query.labels.values())))
    check_labels_for(acquisition, len(set(query.labels.values())), query.called)
    counts = [shard.count for shard in shards]
    known = sum(count for count in counts if count is not None)
    if None not in counts and query.n > known:
        raise _too_few(query.n, known)
    if len(shards) > 1 and known > ONE_ARRAY:
        needs_sample(acquisition)  # refuses what cannot be computed by shards
    elif len(shards) > 1 and None in counts and acquisition.name not in SHARDED:
        possible = [name for name in SHARDED if make_acquisition(name).needs <= SUPPLIED]
        say(
            f"Strategy '{query.called or acquisition.name}' is for pools in shards of at most {ONE_ARRAY} images; tars "
            f"tell how many they have when they are read. For larger ones: {', '.join(possible)}."
        )


def _too_few(n: int, available: int) -> BadInput:
    return BadInput(
        f"{counted(n, 'image')} but only {available} without a label.", f"Give --n {available} or fewer."
    )


def _check_pool(pool: _Pool, query: ShardQuery, acquisition: Acquisition, say: Callable[[str], None]) -> None:
    if not pool.size:
        raise BadInput(f"None of the {counted(len(pool.unreadable), 'image')} can be read.")
    if pool.unreadable:
        address, bad = pool.unreadable[0]
        say(
            f"{counted(len(pool.unreadable), 'image')} could not be read, such as {bad.path} in {address} "
            f"({bad.reason})."
        )
    if pool.not_read:
        kinds = ", ".join(f"{count} of {kind}" for kind, count in sorted(pool.not_read.items()))
        say(f"Members of tars that are not read: {kinds}.")
    if pool.without_image:
        say(f"{counted(pool.without_image, 'sample has', 'samples have')} no image.")
    if query.labels:
        say(
            f"{counted(pool.labelled.size, 'image has', 'images have')} a label; "
            f"{counted(len(query.labels) - pool.labelled.size, 'key')} of the labels not among the images."
        )
    check_labels_for(acquisition, pool.class_count, query.called)
    if query.n > pool.size - pool.labelled.size:
        raise _too_few(query.n, pool.size - pool.labelled.size)


@dataclass(frozen=True)
class _Part:
    """The features of one shard in the pool; an image has the id ``offset`` + its row in the file."""

    shard: Shard
    features: Path
    offset: int
    count: int

    def read(self) -> Float[np.ndarray, "n F"]:
        found: Float[np.ndarray, "n F"] = np.load(self.features, mmap_mode="r" if self.count else None)
        return found


@dataclass(frozen=True, eq=False)
class _Pool:
    """All shards, without what has the size of the pool."""

    parts: Sequence[_Part]
    labelled: Int64[np.ndarray, " L"]
    classes: Int64[np.ndarray, " L"]
    class_count: int
    unreadable: Sequence[tuple[str, Unreadable]]
    not_read: Counter[str]
    without_image: int

    @property
    def size(self) -> int:
        return sum(part.count for part in self.parts)

    @property
    def is_one_array(self) -> bool:
        return len(self.parts) == 1 or self.size <= ONE_ARRAY

    @classmethod
    def read(cls, folder: FeaturesFolder, shards: Sequence[Shard], labels: Mapping[str, str]) -> _Pool:
        """What the jobs wrote; refuses a key of two shards."""
        parts: list[_Part] = []
        named: dict[int, str] = {}
        unreadable: list[tuple[str, Unreadable]] = []
        not_read, without_image, offset = Counter[str](), 0, 0
        hashes: list[Int64[np.ndarray, " _"]] = []
        for shard in shards:
            found = written_features(folder, shard)
            parts.append(_Part(shard, found.path, offset, len(found)))
            named |= {offset + row: labels[key] for row, key in enumerate(found.keys) if key in labels}
            unreadable += [(shard.address, bad) for bad in found.unreadable]
            not_read, without_image = not_read + found.not_read, without_image + found.without_image
            if shard.keys != ROWS:  # with the address, so no other shard has them
                hashes.append(np.fromiter(map(hash, found.keys), dtype=np.int64, count=len(found)))
            offset += len(found)
        _check_keys(folder, shards, hashes)
        names = sorted(set(named.values()))
        ids = sorted(named)
        classes = [names.index(named[image]) for image in ids]
        return cls(
            parts,
            np.array(ids, dtype=np.int64),
            np.array(classes, dtype=np.int64),
            len(names),
            unreadable,
            not_read,
            without_image,
        )

    def rows(self, ids: Int64[np.ndarray, " n"]) -> Float[np.ndarray, "n F"]:
        """The features of some images by ascending id."""
        ends = np.searchsorted(ids, [part.offset + part.count for part in self.parts])
        starts = np.concatenate([[0], ends[:-1]])
        return np.concatenate(
            [
                part.read()[ids[start:end] - part.offset]
                for part, start, end in zip(self.parts, starts, ends, strict=True)
                if end > start
            ]
        )

    def all(self) -> Float[np.ndarray, "N F"]:
        """Of one shard mapped from its file, of more in memory."""
        if len(self.parts) == 1:
            return self.parts[0].read()
        return np.concatenate([part.read() for part in self.parts])

    def sample(self, count: int, stream: Stream) -> Int64[np.ndarray, " n"]:
        """The ids with the smallest random numbers, ascending."""
        ids, numbers = np.empty(0, dtype=np.int64), np.empty(0)
        for part in self.parts:
            more = np.arange(part.offset, part.offset + part.count)
            ids, numbers = np.concatenate([ids, more]), np.concatenate([numbers, stream.uniform(more)])
            kept = np.argsort(numbers, kind="stable")[:count]
            ids, numbers = ids[kept], numbers[kept]
        return np.sort(ids)

    def images(self, folder: FeaturesFolder, selection: Selection) -> tuple[SelectedImage, ...]:
        """The images that were selected, with their keys."""
        ends = np.array([part.offset + part.count for part in self.parts])
        places = np.searchsorted(ends, selection.ids, side="right")
        found: dict[int, tuple[str, str, int]] = {}
        for place in np.unique(places):  # one after another: the keys of a shard are many
            part = self.parts[place]
            features = written_features(folder, part.shard)
            for image in selection.ids[places == place].tolist():
                row = image - part.offset
                found[image] = features.keys[row], part.shard.address, int(features.rows[row])
        return tuple(
            SelectedImage(*found[int(image)], rank, float(score), reason)
            for rank, (image, score, reason) in enumerate(
                zip(selection.ids, selection.scores, selection.reasons, strict=True), 1
            )
        )


def _check_keys(
    folder: FeaturesFolder, shards: Sequence[Shard], hashes: Sequence[Int64[np.ndarray, " _"]]
) -> None:
    """Refuse a key that two shards have; they are read again only where hashes are equal."""
    if not hashes:
        return
    ordered = np.sort(np.concatenate(hashes))
    equal = set(ordered[1:][np.diff(ordered) == 0].tolist())
    before: dict[str, str] = {}
    for shard in shards if equal else ():
        if shard.keys == ROWS:
            continue
        for key in written_features(folder, shard).keys:
            if hash(key) in equal and before.setdefault(key, shard.address) != shard.address:
                raise BadInput(
                    f"The key '{key}' is in two shards: {before[key]} and {shard.address}.",
                    f"Number the rows, which computes no features again: --keys {ROWS}",
                )


# The query of a pool in several shards


def _selection_by_shards(
    jobs: ShardJobs, pool: _Pool, query: ShardQuery, acquisition: Acquisition, say: Callable[[str], None]
) -> Selection:
    """In two levels; see :mod:`aral.acquisition.sharded`."""
    two_levels = needs_sample(acquisition)
    say(
        f"Principal components of {counted(min(SAMPLE, pool.size), 'random image')} of {pool.size}; strategy "
        f"'{acquisition.name}' by shards: {SHARDED[acquisition.name]}."
    )
    scoring = _Scoring.fit(pool, jobs.folder.backbone, query)
    scoring.save(jobs.path / "scoring.npz")
    shared: Shared | None = None
    if two_levels:
        samples = [Sample.load(path) for path in _score(jobs, pool, query, acquisition, "sample", "")]
        shared = share(acquisition, samples, scoring.view_of_labelled(), query.n, query.stream)
        shared.save(jobs.path / "shared.npz")
    name = "" if shared is None else str(jobs.path / "shared.npz")
    summaries = [Summary.load(path) for path in _score(jobs, pool, query, acquisition, "summary", name)]
    return merge(acquisition, summaries, query.n, query.stream, shared)


def _score(
    jobs: ShardJobs, pool: _Pool, query: ShardQuery, acquisition: Acquisition, what: str, shared: str
) -> list[Path]:
    """A file for each shard."""
    paths = [jobs.path / f"{what}-{number:05d}.npz" for number in range(len(pool.parts))]
    about = [
        {"features": str(part.features), "offset": part.offset, "count": part.count, "result": str(path)}
        for part, path in zip(pool.parts, paths, strict=True)
    ]
    request = {
        "what": what,
        "shared": shared,
        "scoring": str(jobs.path / "scoring.npz"),
        "strategy": acquisition.name,
        "n": query.n,
        "seed": query.seed,
    }
    jobs.execute_in_groups(SCORE, what, about, request, 32 * COMPONENTS)
    return paths


# What the jobs of one query share


@dataclass(frozen=True, eq=False)
class _Scoring:
    """From features of images to what an acquisition reads, the same for all shards."""

    projection: Projection
    weights: Float64[np.ndarray, "K c"]
    bias: Float64[np.ndarray, " K"]
    labelled: Int64[np.ndarray, " L"]
    vectors: Float64[np.ndarray, "L c"]
    classes: Int64[np.ndarray, " L"]

    @classmethod
    def fit(cls, pool: _Pool, backbone: Backbone, query: ShardQuery) -> _Scoring:
        """On a random sample of the pool, and on its labels."""
        chosen = pool.sample(SAMPLE, query.stream.child("components"))
        projection = fit_projection(pool.rows(chosen), COMPONENTS, backbone.parts)
        width = projection.matrix.shape[1]
        vectors = (
            _vectors(projection, pool.rows(pool.labelled)) if pool.labelled.size else np.empty((0, width))
        )
        head = np.empty((0, width)), np.empty(0)
        if pool.class_count > 1:
            head = calibrated_logistic(vectors, pool.classes, pool.class_count, INVERSE_PENALTY)
        return cls(projection, *head, pool.labelled, vectors, pool.classes)

    def save(self, path: Path) -> None:
        """Write a ``.npz`` file."""
        arrays: dict[str, Any] = {name: value for name, value in vars(self).items() if name != "projection"}
        arrays |= {f"projection {name}": value.numpy() for name, value in self.projection.state().items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_file(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> _Scoring:
        """Read a file that :meth:`save` wrote."""
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        state = {
            name.removeprefix("projection "): torch.from_numpy(arrays.pop(name))
            for name in list(arrays)
            if name.startswith("projection ")
        }
        return cls(projection=Projection.of_state(state), **arrays)

    def view(self, features: Float[np.ndarray, "n F"], offset: int) -> PoolView:
        """A shard for an acquisition, whose images have the ids from ``offset`` on."""
        vectors = _vectors(self.projection, features)
        ids = np.arange(offset, offset + len(features))
        without_label = np.flatnonzero(~np.isin(ids, self.labelled))
        return PoolView(
            Predictions(ids, self._outputs(vectors)).rows(without_label),
            Predictions(self.labelled, self._outputs(self.vectors)),
            self.classes,
            max(len(self.bias), int(self.classes.max(initial=0)) + 1, 2),
        )

    def view_of_labelled(self) -> PoolView:
        """The labelled images, without a shard."""
        return self.view(np.empty((0, len(self.projection.mean)), dtype=np.float16), 0)

    def _outputs(self, vectors: Float64[np.ndarray, "n c"]) -> dict[Need, torch.Tensor]:
        found = dict.fromkeys((Need.FEATURES, Need.REPRESENTATION), torch.from_numpy(vectors))
        if len(self.bias):
            probabilities = class_probabilities(vectors, self.weights, self.bias)
            found[Need.PROBABILITIES] = torch.from_numpy(probabilities)
        return found


def _vectors(projection: Projection, features: Float[np.ndarray, "n F"]) -> Float64[np.ndarray, "n c"]:
    return project(projection, features).flatten(1).double().numpy()


# What workers do


def score(request: Mapping[str, Any], report: Report, stopping: Callable[[], bool]) -> None:
    """Write what the query has to know of each of some shards.

    Args:
        request: ``parts`` (features, offset, count, result), ``what`` (``sample`` or ``summary``), ``scoring`` and
            ``shared``, files; ``strategy``, ``n`` and ``seed``.
        report: sends the images that were scored as steps.
        stopping: asked before each shard.

    Raises:
        BadInput: a file is missing.
        Stopped: ``stopping`` returned true.
    """
    report({"round": 0, "stage": request["what"]})
    scoring = _Scoring.load(Path(request["scoring"]))
    stream = ShardQuery(1, "", RepresentationSettings(), seed=request["seed"]).stream
    shared = Shared.load(Path(request["shared"])) if request["shared"] else None
    done = 0
    for part in request["parts"]:
        if stopping():
            raise Stopped("Stopped.", "Run the same command to continue.")
        target = Path(part["result"])
        if not target.exists():
            features = np.load(part["features"], mmap_mode="r" if part["count"] else None)
            view = scoring.view(features, part["offset"])
            if request["what"] == "sample":
                sample(request["strategy"], view, request["n"], stream).save(target)
            else:
                summarise(request["strategy"], view, request["n"], stream, shared).save(target)
        done += part["count"]
        report({"round": 0, "step": done})
