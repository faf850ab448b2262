"""What is passed between the shards of a pool and the machine that merges them, as values and as files.

A summary of a shard, its sample, and what is made of all samples (:mod:`aral.acquisition.sharded`). Each knows the
query that it was computed for. A file is a NumPy archive (``.npz``): a header in JSON and arrays of numbers and text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from aral.acquisition.herding import Moments, Target
from aral.acquisition.interface import Acquisition, PoolView
from aral.durable import write_file
from aral.errors import BadInput
from aral.plural import counted
from aral.randomness import Stream

Outputs: TypeAlias = Mapping[str, Shaped[np.ndarray, "c *shape"]]
"""What level two reads of each image of a summary, by name; in the precision in which it was given."""


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

    def check(self, what: str, found: Query) -> None:
        """Refuse what was computed for another query, and say what differs.

        Raises:
            BadInput: with ``what`` as the subject.
        """
        for differs, name in (
            (found.strategy != self.strategy, f"strategy '{found.strategy}', not '{self.strategy}'"),
            (found.n != self.n, f"a query of {counted(found.n, 'image')}, not {self.n}"),
            (found.key != self.key, "another seed"),
            (found.labelled != self.labelled, "other labelled images"),
        ):
            if differs:
                raise BadInput(f"{what} is of {name}.", "Compute it again for this query.")


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
    """A shard's part of the random images that the coverage is computed from (:func:`aral.acquisition.sharded.sample`).

    Attributes:
        query: what it was drawn for.
        images: how many unlabelled images the shard has.
        ids: of the sampled images, global.
        outputs: of the sampled images.
        moments: mean and standard deviation of all representations of the shard; ``None`` where not needed.
    """

    query: Query
    images: int
    ids: Int64[np.ndarray, " c"]
    outputs: Outputs
    moments: Moments | None

    def save(self, path: Path) -> None:
        """Write a ``.npz`` file in one step; nothing in it is pickled."""
        arrays = {"ids": self.ids}
        if self.moments is not None:
            arrays["mean"], arrays["spread"] = self.moments
        _write(path, "sample", self.query, {"images": self.images}, arrays, self.outputs)

    @classmethod
    def load(cls, path: Path) -> Sample:
        """Read a file that :meth:`save` wrote; raises :class:`BadInput` where there is none."""
        query, header, arrays, outputs = _read(path, "sample", ("ids",), ("mean", "spread"))
        moments = (arrays["mean"], arrays["spread"]) if "mean" in arrays else None
        return cls(query, int(header["images"]), arrays["ids"], outputs, moments)


@dataclass(frozen=True, eq=False)
class Shared:
    """What all shards are compared with, the same for each (:func:`aral.acquisition.sharded.share`).

    Attributes:
        query: what it was made for.
        images: how many unlabelled images the pool has.
        target: the images that are to be covered, their weights and the width of the kernel.
        labelled: representations of the labelled images, of length 1.
    """

    query: Query
    images: int
    target: Target
    labelled: Float64[np.ndarray, "L F"]

    @property
    def digest(self) -> str:
        """Differs when anything in it does."""
        found = blake2b(f"{self.query} {self.images} {self.target.width!r}".encode(), digest_size=8)
        for values in (self.target.points, self.target.weights, self.labelled):
            found.update(values.astype("<f8").tobytes())
        return found.hexdigest()

    def save(self, path: Path) -> None:
        """Write a ``.npz`` file in one step; nothing in it is pickled."""
        header = {"images": self.images, "width": self.target.width}
        arrays = {"points": self.target.points, "weights": self.target.weights, "labelled": self.labelled}
        _write(path, "shared part", self.query, header, arrays, {})

    @classmethod
    def load(cls, path: Path) -> Shared:
        """Read a file that :meth:`save` wrote; raises :class:`BadInput` where there is none."""
        query, header, arrays, _ = _read(path, "shared part", ("points", "weights", "labelled"))
        target = Target(arrays["points"], arrays["weights"], float(header["width"]))
        return cls(query, int(header["images"]), target, arrays["labelled"])


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
    path: Path, kind: str, names: Sequence[str], optional: Sequence[str] = ()
) -> tuple[Query, dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
    hint = "Compute it again."
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            header = json.loads(file["header"].tobytes())
            if header["format"] != _FORMAT:
                raise BadInput(f"{path} has the unknown format {header['format']}, not {_FORMAT}.", hint)
            if header["kind"] != kind:
                raise BadInput(f"{path} is no {kind} of a sharded query but a {header['kind']}.", hint)
            arrays = {name: file[name] for name in (*names, *(name for name in optional if name in file))}
            outputs = {
                name.removeprefix("output-"): file[name] for name in file.files if name.startswith("output-")
            }
        return Query(**header["query"]), header, arrays, outputs
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        raise BadInput(
            f"{path} cannot be read as a {kind} of a sharded query: {type(error).__name__}: {error}.", hint
        ) from error
