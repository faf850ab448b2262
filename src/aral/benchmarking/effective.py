"""What a run really does to its classifier, where the settings alone do not tell."""

from __future__ import annotations

from collections.abc import Mapping

import torch

import aral
from aral.benchmarking.spec import RunSpec
from aral.data.augmentation import Augmentation
from aral.durable import Json
from aral.learners.step import Part

LABELLED_AS: Mapping[str, Part] = {"consistency": Part.WEAK_LABELLED, "aral": Part.STRONG_LABELLED}
"""How the classifier of a learner sees labelled images; all others see them as they are."""

BEGIN_WITHOUT_LABELS = frozenset({"aral"})
"""Learners that train on the pool before the first query."""


def effective_facts(spec: RunSpec) -> dict[str, Json]:
    """By name in words: how labelled images are augmented, and the steps before labels that really run."""
    own = spec.model.self_training
    part = LABELLED_AS.get(spec.learner, Part.LABELLED)
    applied = {Part.WEAK_LABELLED: own.weak, Part.STRONG_LABELLED: own.strong}.get(part, Augmentation())
    steps = spec.model.partitioning.steps if spec.learner in BEGIN_WITHOUT_LABELS else 0
    return {"labelled images are trained on": in_words(applied), "steps before labels": steps}


def in_words(by: Augmentation) -> str:
    """An augmentation, such as ``with shift 0.1, rotation 20``; ``as they are`` for none."""
    limits = [f"{name} {value:g}" for name, value in by.model_dump().items() if value]
    return f"with {', '.join(limits)}" if limits else "as they are"


def versions() -> dict[str, Json]:
    """Of what computes: aral and PyTorch."""
    return {"aral": aral.__version__, "torch": torch.__version__}
