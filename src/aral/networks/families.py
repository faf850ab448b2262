"""The union of all families of networks, for a field of a specification."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from aral.networks.biggan import BigganFamily
from aral.networks.compact import CompactFamily
from aral.networks.conv32 import Conv32Family
from aral.networks.features import FeatureFamily
from aral.networks.mlp import MlpFamily
from aral.networks.resnet import ResnetFamily

AnyFamily: TypeAlias = Annotated[
    MlpFamily | CompactFamily | Conv32Family | ResnetFamily | BigganFamily | FeatureFamily,
    Field(discriminator="scale"),
]
"""One of the families; ``scale`` decides which when it is read from a file."""
