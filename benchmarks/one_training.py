"""One training of a learner on given labels, without a session around it."""

from __future__ import annotations

from aral.benchmarking import make_learner
from aral.data import DataSet
from aral.learners import Learner, LearnerSettings
from aral.randomness import Stream
from aral.types import LabelledSet


def trained(settings: LearnerSettings, data: DataSet, labelled: LabelledSet, stream: Stream) -> Learner:
    """A new learner, trained for one round; the rest of the pool is unlabelled."""
    learner = make_learner(settings, data.pool, data.class_count, stream.child("learner"))
    learner.set_pool(data.pool, stream.child("pool"))
    learner.set_labels(labelled)
    learner.start_round(0, labelled, data.pool.without(labelled.images.ids), stream.child("round"))
    for index in range(learner.steps_per_round):
        learner.step(index)
    return learner
