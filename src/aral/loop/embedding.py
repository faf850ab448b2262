"""The learner's representation of the pool in two dimensions, for the report of a run."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from safetensors.numpy import save

from aral.acquisition import Need
from aral.durable import write_file
from aral.loop.session import Session
from aral.randomness import Stream
from aral.representations.components import leading_components
from aral.types import ImageSet

EMBEDDING_FILE = "embedding.safetensors"
"""In the run folder: ``ids``, ``rounds``, and the coordinates N×2 of each kind."""

PCA, TSNE, UMAP = "pca", "tsne", "umap"

MOST_IMAGES = 1000
"""More images than this are not embedded."""

MOST_QUERIED = 500
"""Of these, so many queried ones at most."""

NOT_QUERIED = -1
"""In place of a round."""

FEWEST_IMAGES = 10
"""With fewer there are principal components only."""

COMPONENTS = 50
"""Principal components that t-SNE and UMAP read, as van der Maaten and Hinton (2008) propose."""


def save_embedding(session: Session, stream: Stream) -> Path | None:
    """Embed a sample of the pool by the features of the learner, as it is now, into the run folder.

    The sample has the queried images, drawn at random beyond :data:`MOST_QUERIED`, and other images of the pool drawn
    at random, :data:`MOST_IMAGES` in all. Kinds: the first two principal components; t-SNE, unless there are too few
    images or no variance; UMAP where umap-learn is installed.

    Args:
        session: with at least one trained round.
        stream: draws the sample, and decides t-SNE and UMAP.

    Returns:
        The file; None if the learner has no features, or nothing was trained.
    """
    if Need.FEATURES not in session.learner.supplies or not session.round_number:
        return None
    asked: dict[int, int] = {}
    for row in session.store.rounds():
        query = session.store.query(row.round)
        asked |= dict.fromkeys([] if query is None else query.ids.tolist(), row.round)
    ids = _sample(session.pool, np.array(sorted(asked), dtype=np.int64), stream)
    session.repair()
    session.learner.set_labels(session.labelled(), session.labels.ood())
    found = session.learner.predict(
        session.pool.subset(ids), frozenset({Need.FEATURES}), stream.child("passes")
    )
    features = torch.as_tensor(found.get(Need.FEATURES)).float().flatten(1)
    tensors: dict[str, np.ndarray] = {
        "ids": ids,
        "rounds": np.array([asked.get(image, NOT_QUERIED) for image in ids.tolist()], dtype=np.int64),
        **embeddings(features.numpy(), stream),
    }
    about = {"pool": str(len(session.pool)), "queried": str(len(asked))}
    target = session.store.folder / EMBEDDING_FILE
    write_file(target, save({name: np.ascontiguousarray(each) for name, each in tensors.items()}, about))
    return target


def _sample(pool: ImageSet, queried: np.ndarray, stream: Stream) -> np.ndarray:
    """Ids, ascending."""

    def drawn(ids: np.ndarray, count: int) -> np.ndarray:
        return ids[np.argsort(stream.child("sample").uniform(ids), kind="stable")[:count]]

    kept = drawn(queried, MOST_QUERIED)
    others = drawn(np.setdiff1d(pool.ids, queried), MOST_IMAGES - kept.size)
    return np.sort(np.concatenate([kept, others])).astype(np.int64)


def embeddings(features: Float[np.ndarray, "N F"], stream: Stream) -> dict[str, Float32[np.ndarray, "N 2"]]:
    """The coordinates of each kind of embedding, by its name.

    Args:
        features: of the images.
        stream: decides those that are random.
    """
    components = leading_components(torch.from_numpy(features), COMPONENTS, stream.child(PCA)).numpy()
    plane = np.zeros((len(components), 2), dtype=np.float32)
    plane[:, : min(2, components.shape[1])] = components[:, :2]
    result = {PCA: plane}
    if len(components) < FEWEST_IMAGES or not components.any() or components.shape[1] < 2:
        return result
    seed = int(stream.child(TSNE).numpy().integers(2**31))
    result[TSNE] = _tsne(components, seed)
    if find_spec("umap") is not None:
        made = import_module("umap").UMAP(n_components=2, random_state=seed).fit_transform(components)
        result[UMAP] = np.asarray(made, dtype=np.float32)
    return result


def _tsne(components: Float32[np.ndarray, "N c"], seed: int) -> Float32[np.ndarray, "N 2"]:
    from sklearn.manifold import TSNE as Tsne

    perplexity = min(30.0, (len(components) - 1) / 3)
    found = Tsne(2, init="pca", perplexity=perplexity, random_state=seed).fit_transform(components)
    return np.asarray(found, dtype=np.float32)
