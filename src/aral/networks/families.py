"""Any family of networks, told apart by its scale: the type of a specification's field."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from aral.networks.biggan import BigganFamily
from aral.networks.compact import CompactFamily
from aral.networks.conv32 import Conv32Family
from aral.networks.mlp import MlpFamily
from aral.networks.resnet import ResnetFamily

AnyFamily: TypeAlias = Annotated[
    MlpFamily | CompactFamily | Conv32Family | ResnetFamily | BigganFamily, Field(discriminator="scale")
]
"""One of the families; ``scale`` says which when it is read from a file."""
