"""Images of a round for its report: the query, and what a generative learner generates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import save
from torch import Tensor

from aral.durable import write_file
from aral.learners.interface import Learner
from aral.loop.run_store import Store
from aral.randomness import Stream
from aral.types import ImageSet

PICTURES = "pictures"
PER_CLASS = 10
RECONSTRUCTED = 10
MOST_CHOSEN = 100


def save_pictures(store: Store, number: int, pool: ImageSet, learner: Learner, stream: Stream) -> Path:
    """Write ``pictures/round-NNN.safetensors`` in the run folder, replacing it as a whole.

    It holds uint8 tensors: ``chosen`` (the round's query in order, at most 100) and, for a learner that
    generates, ``generated``, ``originals`` and ``reconstructions`` as in
    :class:`aral.learners.interface.Gallery`.
    """
    tensors: dict[str, Tensor] = {}
    query = store.query(number)
    if query is not None:
        tensors["chosen"] = pool.pixels[torch.from_numpy(query.ids[:MOST_CHOSEN])]
    sample = pool.ids[np.argsort(stream.uniform(pool.ids))[:RECONSTRUCTED]]
    gallery = learner.gallery(pool.subset(sample), PER_CLASS, stream.child("gallery"))
    if gallery is not None:
        tensors["generated"] = _as_bytes(gallery.generated)
        tensors["originals"] = _as_bytes(gallery.originals)
        tensors["reconstructions"] = _as_bytes(gallery.reconstructions)
    folder = store.folder / PICTURES
    folder.mkdir(exist_ok=True)
    target = folder / f"round-{number:03d}.safetensors"
    write_file(target, save({name: value.contiguous() for name, value in tensors.items()}))
    return target


def _as_bytes(images: Float[Tensor, ...]) -> UInt8[Tensor, ...]:
    return (images * 255).round().to(torch.uint8)
