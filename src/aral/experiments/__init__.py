"""Experiments: specifications, presets, and runs with known labels."""

from aral.experiments.methods import LEARNERS, SHORT_NAMES, Method, make_learner
from aral.experiments.run import drive, load_data, read_spec, run
from aral.experiments.spec import Rounds, RunSpec, differences, preset_names, resolve, validated

__all__ = [
    "LEARNERS",
    "SHORT_NAMES",
    "Method",
    "Rounds",
    "RunSpec",
    "differences",
    "drive",
    "load_data",
    "make_learner",
    "preset_names",
    "read_spec",
    "resolve",
    "run",
    "validated",
]
