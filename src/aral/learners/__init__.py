"""Learners: networks trained by a list of phases; evaluation; checkpoints."""

from aral.learners.ablations import generated_only, no_active_learning, no_encoder
from aral.learners.aral import aral, aral_phases
from aral.learners.bgadl import bgadl
from aral.learners.blueprint import Blueprint
from aral.learners.evaluation import Evaluation, evaluate, evaluate_probabilities
from aral.learners.few_labels import few_labels, few_labels_phases, phases_before_labels
from aral.learners.interface import Gallery, Learner, StepLosses
from aral.learners.no_co_training import no_co_training
from aral.learners.phased import PhasedLearner
from aral.learners.semi_supervised import consistency, pseudo_label
from aral.learners.spec import Model, Net, Objective
from aral.learners.supervised import supervised
from aral.learners.synthesis import Synthesised, synthesise
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
    "Synthesised",
    "aral",
    "aral_phases",
    "bgadl",
    "consistency",
    "evaluate",
    "evaluate_probabilities",
    "few_labels",
    "few_labels_phases",
    "generated_only",
    "no_active_learning",
    "no_co_training",
    "no_encoder",
    "phases_before_labels",
    "pseudo_label",
    "supervised",
    "synthesise",
    "vaal",
    "vaal_phases",
]
