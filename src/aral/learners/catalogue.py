"""Every learner by name: its settings class, its variants and the acquisition it is used with by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from aral.learners.aral import AralSettings
from aral.learners.bgadl import BgadlSettings
from aral.learners.fixmatch import FixMatchSettings
from aral.learners.graph_ssl import GraphSslSettings
from aral.learners.linear import LinearSettings
from aral.learners.no_co_training import NoCoTrainingSettings
from aral.learners.pseudo_label import PseudoLabelSettings
from aral.learners.settings import LearnerSettings
from aral.learners.supervised import SupervisedSettings
from aral.learners.vaal import VaalSettings

AnyLearner: TypeAlias = Annotated[
    GraphSslSettings
    | AralSettings
    | VaalSettings
    | SupervisedSettings
    | PseudoLabelSettings
    | FixMatchSettings
    | BgadlSettings
    | NoCoTrainingSettings
    | LinearSettings,
    Field(discriminator="name"),
]
"""The settings of one of the learners; ``name`` says which when they are read from a file."""

LEARNERS: Mapping[str, type[LearnerSettings]] = {
    str(settings.model_fields["name"].default): settings
    for settings in (
        GraphSslSettings,
        AralSettings,
        VaalSettings,
        SupervisedSettings,
        PseudoLabelSettings,
        FixMatchSettings,
        BgadlSettings,
        NoCoTrainingSettings,
        LinearSettings,
    )
}
"""The settings class of each learner."""

DEFAULT_ACQUISITION: Mapping[str, str] = {
    "graph-ssl": "aral-graph",
    "aral": "aral",
    "aral:no-sampler": "random",
    "aral:no-encoder": "bald",
    "vaal": "vaal",
    "supervised": "random",
    "pseudo-label": "least-confidence",
    "fixmatch": "random",
    "bgadl": "bald",
    "no-co-training": "vaal",
    "linear": "margin",
}
"""The acquisition of a method that names only its learner; of variants, the last one listed here that applies."""


def variant_settings(name: str, variants: tuple[str, ...]) -> dict[str, Any]:
    """The settings that variants of a learner set.

    Args:
        name: one of :data:`LEARNERS`.
        variants: each one of the learner's variants.
    """
    known = LEARNERS[name].VARIANTS
    return {setting: value for variant in variants for setting, value in known[variant].items()}
