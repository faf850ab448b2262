"""What all settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of all settings: frozen, and neither an unknown field nor NaN or infinity passes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
