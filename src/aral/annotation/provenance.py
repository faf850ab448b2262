"""Why an image was shown to an annotator: recorded with every answer, kept in exports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Purpose = Literal["query", "reserve", "estimate", "random"]
"""Why an image is shown: queried by the newest round, next best after the query, drawn for the estimate set, or
drawn at random."""

ESTIMATE_SET, BY_CHANCE, BROWSING = "estimate slice", "by chance", "browsing"
"""Values of :attr:`Provenance.strategy` where no acquisition chose the image: drawn for the estimate set, drawn
at random, picked by the annotator from the grid. Projects and exports store these values, so older names are kept."""

LABEL_STUDIO, IMPORT = "label studio", "import"
"""Values of :attr:`Provenance.strategy` of labels that were given outside the project."""

IMPORT_KEY = f"{IMPORT}:"
"""Prefix of the keys of imported answers; their strategy may be one that their file states."""


@dataclass(frozen=True)
class Provenance:
    """Why an annotator was shown an image.

    Attributes:
        round: the round whose model queried it; None when no model did.
        strategy: the acquisition; :data:`ESTIMATE_SET`, :data:`BY_CHANCE` or :data:`BROWSING` without one. Of an
            imported label what its file states, else :data:`LABEL_STUDIO` or :data:`IMPORT`. Empty for answers
            of projects that did not record it yet.
        score: the acquisition score, higher = label first, comparable within one round only; None without one.

    Raises:
        ValueError: the score is not finite.
    """

    round: int | None
    strategy: str
    score: float | None

    def __post_init__(self) -> None:
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError(f"a score of {self.score}")
