"""Images that are kept for validation, or are of no class, do not come back as somebody's neighbours."""

from __future__ import annotations

import numpy as np
import torch

from aral.benchmarking.methods import make_learner
from aral.data.augmentation import Augmentation
from aral.data.batches import gather
from aral.learners import PhasedLearner
from aral.randomness import Stream
from aral.representations.graph import NeighbourGraph
from aral.testing import planted_data, tiny_model
from aral.types import Ids, LabelledSet, UnlabelledBatch

DATA = planted_data(pool_size=30)
LABELLED, HIDDEN = np.arange(6, dtype=np.int64), np.arange(6, 16, dtype=np.int64)


def test_a_hidden_neighbour_is_replaced_by_the_image_itself() -> None:
    model = tiny_model(steps=2)
    plain = model.self_training.model_copy(update={"strong": Augmentation()})
    model = model.model_copy(update={"self_training": plain})
    learner = make_learner("aral", model, DATA.pool, 3, Stream.root(0))
    assert isinstance(learner, PhasedLearner)
    learner.set_pool(DATA.pool, Stream.root(3))
    labelled = LabelledSet(DATA.pool.subset(LABELLED), DATA.pool_classes[LABELLED], 3)
    unlabelled = DATA.pool.without(np.union1d(LABELLED, HIDDEN))
    learner.start_round(1, labelled, unlabelled, Stream.root(1))
    step = learner._new_step(learner._stage, 0, Stream.root(2))
    own = step.unlabelled
    # Neighbours in turn: one of validation, one with a label.
    found = np.where(np.arange(own.ids.size) % 2 == 0, HIDDEN[0], LABELLED[0])

    class Planted(NeighbourGraph):
        def __call__(self, ids: Ids, stream: Stream) -> UnlabelledBatch:
            assert ids.tolist() == own.ids.tolist()
            return UnlabelledBatch(found, gather(DATA.pool, found, learner._symmetric))

    step._neighbourhood = Planted(DATA.pool, "pixels", 5, 3, learner._symmetric, Stream.root(0))
    seen, other = step.strong_neighbour_images, gather(DATA.pool, LABELLED[:1], learner._symmetric)[0]
    for place in range(own.ids.size):
        torch.testing.assert_close(seen[place], own.images[place] if place % 2 == 0 else other)
