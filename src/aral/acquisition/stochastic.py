"""Batches drawn at random by their BALD score (Kirsch, Farquhar et al. 2023, 'Stochastic Batch Acquisition').

The top n by a score are often n alike images. Adding independent Gumbel noise of scale 1/β to a score s and
taking the top n draws n images without replacement (Kool et al. 2019), with chances proportional to
    power:    s^β           (noise on log s; an image with s = 0 comes last)
    softmax:  exp(β·s)      (noise on s itself, so β has the unit 1/nats; at β = 1 close to uniform)
    softrank: rank^−β       (noise on −log rank; only the order of s counts).

Passes are N×M×K; the score is the perturbed one, higher = label first. The noise is a function of the stream
and the image's id. Cost N·M·K + N·log N, memory N·M·K.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from aral.acquisition.interface import PoolView, Scores, TopScores
from aral.acquisition.uncertainty import MC, bald_scores
from aral.randomness import Stream
from aral.types import Ids

FLOOR = 1e-12
"""BALD scores below this (in nats) are rounding errors of zero."""


class Perturbation(StrEnum):
    """Which function of the score the noise is added to."""

    POWER = "power"
    SOFTMAX = "softmax"
    SOFTRANK = "softrank"


@dataclass(frozen=True)
class StochasticBald:
    """BALD with Gumbel noise.

    Attributes:
        perturbation: what the noise is added to.
        coldness: β > 0; larger is nearer to the plain top n.
    """

    perturbation: Perturbation
    coldness: float = 1.0

    def __call__(self, pool: PoolView, stream: Stream) -> Scores:
        """Perturbed scores, N."""
        ids = pool.unlabelled.ids
        score = np.maximum(bald_scores(pool, stream), FLOOR)
        match self.perturbation:
            case Perturbation.POWER:
                signal = np.log(score)
            case Perturbation.SOFTMAX:
                signal = score
            case Perturbation.SOFTRANK:
                signal = -np.log(ranks(score, stream.child("ranks").uniform(ids)))
        return signal + gumbel(ids, stream.child("noise")) / self.coldness


def ranks(values: Float[np.ndarray, " N"], ties: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """1 for the highest value, N for the lowest; equal values are ordered by ``ties``."""
    result = np.empty(values.size)
    result[np.lexsort((ties, -values))] = np.arange(1, values.size + 1)
    return result


def gumbel(ids: Ids, stream: Stream) -> Float[np.ndarray, " N"]:
    """A standard Gumbel number of each id: −log(−log u)."""
    return -np.log(-np.log(np.clip(stream.uniform(ids), 2.0**-54, 1 - 2.0**-53)))


def _strategy(name: str, perturbation: Perturbation) -> TopScores:
    return TopScores(
        name, MC, StochasticBald(perturbation), "drawn by disagreement, perturbed score {:.2f}".format
    )


POWER_BALD = _strategy("power-bald", Perturbation.POWER)
SOFTMAX_BALD = _strategy("softmax-bald", Perturbation.SOFTMAX)
SOFTRANK_BALD = _strategy("softrank-bald", Perturbation.SOFTRANK)
