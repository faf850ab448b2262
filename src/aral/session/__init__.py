"""Ask / tell / fit / evaluate on one store; resumes anywhere."""

from aral.session.observer import Observer
from aral.session.progress import Pace, Stopped
from aral.session.session import Session
from aral.session.strategy import Strategy, check_strategy
from aral.session.validation import Validation

__all__ = ["Observer", "Pace", "Session", "Stopped", "Strategy", "Validation", "check_strategy"]
