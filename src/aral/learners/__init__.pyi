from .ablations import generated_only, no_active_learning, no_encoder
from .aral import aral_phases
from .blueprint import Blueprint
from .evaluation import Evaluation, evaluate, evaluate_probabilities
from .few_labels import few_labels_phases, phases_before_labels
from .interface import Gallery, Learner, StepLosses
from .phased import PhasedLearner
from .semi_supervised import consistency, pseudo_label
from .spec import Model, Net, Objective
from .synthesis import Synthesised, synthesise
from .vaal import vaal_phases

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
    "aral_phases",
    "consistency",
    "evaluate",
    "evaluate_probabilities",
    "few_labels_phases",
    "generated_only",
    "no_active_learning",
    "no_encoder",
    "phases_before_labels",
    "pseudo_label",
    "synthesise",
    "vaal_phases",
]
