"""Ask / tell / fit / evaluate on one store; resumes anywhere."""

from typing import TYPE_CHECKING

from aral.lazy import export_lazily

if TYPE_CHECKING:
    from aral.errors import Stopped
    from aral.session.observer import Observer
    from aral.session.progress import Pace
    from aral.session.session import Session
    from aral.session.strategy import Strategy, check_strategy
    from aral.session.validation import Validation

__all__ = ["Observer", "Pace", "Session", "Stopped", "Strategy", "Validation", "check_strategy"]

export_lazily(__name__)
