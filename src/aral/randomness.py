"""Named, stateless random streams: every draw is a function of the seed and of names.

A stream is a key without a state. ``root.child("round", 3).child("step", 17)`` gives the same numbers whenever and
wherever it is used, so a killed run resumes exactly and no generator has to be saved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

if TYPE_CHECKING:
    import torch

_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Stream:
    """A node in the tree of random streams.

    Attributes:
        key: 64 bits that decide every number drawn from this stream.
    """

    key: int

    @classmethod
    def root(cls, seed: int) -> Stream:
        """The stream of a whole run."""
        return cls(_hash(b"aral", str(seed).encode()))

    def child(self, *names: str | int) -> Stream:
        """The stream of a named part; different names give independent streams."""
        parts = [f"{type(name).__name__}:{name}".encode() for name in names]
        return Stream(_hash(self.key.to_bytes(8, "little"), *parts))

    def numpy(self) -> np.random.Generator:
        """A NumPy generator that starts at this stream's key."""
        return np.random.Generator(np.random.Philox(key=self.key))

    def torch(self) -> torch.Generator:
        """A PyTorch CPU generator that starts at this stream's key."""
        import torch

        generator = torch.Generator()
        generator.manual_seed(self.key >> 1)
        return generator

    def uniform(self, ids: Int64[np.ndarray, " N"]) -> Float64[np.ndarray, " N"]:
        """One number in [0, 1) for each image id, independent of the order of the ids and of the other ids.

        The ids are mixed with the key by the SplitMix64 finaliser (Steele, Lea and Flood 2014).
        """
        with np.errstate(over="ignore"):
            mixed = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(self.key)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed ^= mixed >> np.uint64(31)
        return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53

    @contextmanager
    def governs_torch(self) -> Iterator[None]:
        """Seed PyTorch's global generator (dropout, noise) with this stream inside a ``with`` block."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.key >> 1)
            yield


def _hash(*parts: bytes) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(4, "little"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "little") & _MASK
