"""Learners: networks trained by a list of phases; evaluation; checkpoints."""

from aral.learners.aral import aral, aral_phases
from aral.learners.blueprint import Blueprint
from aral.learners.evaluation import Evaluation, evaluate, evaluate_probabilities
from aral.learners.interface import Gallery, Learner, StepLosses
from aral.learners.phased import PhasedLearner
from aral.learners.spec import Model, Net, Objective
from aral.learners.supervised import supervised
from aral.learners.vaal import vaal, vaal_phases

__all__ = [
    "Blueprint",
    "Evaluation",
    "Gallery",
    "Learner",
    "Model",
    "Net",
    "Objective",
    "PhasedLearner",
    "StepLosses",
    "aral",
    "aral_phases",
    "evaluate",
    "evaluate_probabilities",
    "supervised",
    "vaal",
    "vaal_phases",
]
