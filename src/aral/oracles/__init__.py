"""Who answers: here the ground truth of a benchmark."""

from aral.oracles.ground_truth import GroundTruth
from aral.oracles.interface import Oracle

__all__ = ["GroundTruth", "Oracle"]
