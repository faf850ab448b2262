"""Whether a generator makes features of the class that it is given: generators of known answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aral.benchmarking import Method, Rounds, RunSpec, run
from aral.data import DataSet, FeaturesOf
from aral.learners import Net, Nets
from aral.learners.prediction import GENERATED_PER_CLASS, Predictor
from aral.loop.reading import store_reading
from aral.networks import FeatureFamily
from aral.networks.interface import Generator
from aral.randomness import Stream
from aral.testing import tiny_settings
from aral.types import ImageSet, LabelledSet

CENTRES = torch.tensor([[6.0, 0, 0, 0], [0, 6.0, 0, 0], [0, 0, 6.0, 0], [0, 0, 0, 6.0]])
FEATURES = {"scale": "features", "encoder_sizes": (4,), "generator_sizes": (4,), "discriminator_sizes": (4,)}


def features(classes: list[int]) -> LabelledSet:
    """Features near the centres of their classes; four classes in all."""
    noise = torch.from_numpy(np.random.default_rng(0).normal(scale=0.1, size=(len(classes), 4))).float()
    rows = CENTRES[torch.tensor(classes)] + noise
    return LabelledSet(ImageSet.of(rows[:, :, None, None]), np.array(classes, dtype=np.int64), 4)


class Planned(Generator):
    """Generates what a function of latents and classes says."""

    def __init__(self, centre_of: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.classes: list[int] = []
        self.latents: list[Tensor] = []
        self._centre_of = centre_of

    def forward(self, latents: Tensor, class_probs: Tensor) -> Tensor:
        """The centre of a class."""
        classes = class_probs.argmax(dim=1) if class_probs.shape[1] else torch.zeros(len(latents)).long()
        self.classes, self.latents = classes.tolist(), [*self.latents, latents]
        return CENTRES[self._centre_of(latents, classes)][:, :, None, None]


def predictor(generator: Generator | None, conditional: bool = True) -> Predictor:
    settings = tiny_settings("aral:no-encoder", networks=FEATURES)
    modules: dict[Net, nn.Module] = {Net.DISCRIMINATOR: FeatureFamily().discriminator((4, 1, 1), 4, 3)}
    if generator is not None:
        modules[Net.GENERATOR] = generator
    return Predictor(Nets(modules, 3, 4, conditional), {}, settings, torch.device("cpu"))


def share(centre_of: Callable[[Tensor, Tensor], Tensor], classes: list[int]) -> float:
    found = predictor(Planned(centre_of)).check_generated(features(classes), Stream.root(0))
    assert found.keys() == {"generated recognised", "generated spread"}
    return found["generated recognised"]


ALL = [0, 1, 2, 3] * 3


def test_a_perfect_a_useless_and_a_collapsed_generator() -> None:
    assert share(lambda z, y: y, ALL) == 1.0
    assert share(lambda z, y: (y + 1) % 4, ALL) == 0.0
    assert share(lambda z, y: torch.full_like(y, 2), ALL) == 0.25


def test_the_share_is_over_latents_too() -> None:
    """Wrong where the first latent is negative, which the stream decides: about half."""
    generator = Planned(lambda z, y: torch.where(z[:, 0] < 0, (y + 1) % 4, y))
    found = predictor(generator).check_generated(features(ALL), Stream.root(0))["generated recognised"]
    expected = float((generator.latents[0][:, 0] >= 0).double().mean())
    assert found == pytest.approx(expected) and 0.4 < found < 0.6
    again = predictor(generator).check_generated(features(ALL), Stream.root(0))["generated recognised"]
    assert found == again and torch.equal(*generator.latents)
    predictor(generator).check_generated(features(ALL), Stream.root(1))
    assert not torch.equal(generator.latents[1], generator.latents[2])


def test_classes_without_labels_are_left_out_and_all_others_count_equally() -> None:
    """Nine labels of class 0 and one of class 3: as many are generated of both; the wrong one is a half."""
    generator = Planned(lambda z, y: torch.zeros_like(y))
    found = predictor(generator).check_generated(features([0] * 9 + [3]), Stream.root(0))
    assert found["generated recognised"] == 0.5
    assert generator.classes == [0] * GENERATED_PER_CLASS + [3] * GENERATED_PER_CLASS


def test_there_is_no_figure_where_it_would_say_nothing() -> None:
    right = Planned(lambda z, y: y)
    assert predictor(right).check_generated(features([2, 2, 2]), Stream.root(0)) == {}, "one class"
    assert predictor(None).check_generated(features(ALL), Stream.root(0)) == {}, "no generator"
    assert predictor(right, conditional=False).check_generated(features(ALL), Stream.root(0)) == {}


class Spread(Generator):
    """Centres of the classes, and noise of the latents around them."""

    def __init__(self, around: float) -> None:
        super().__init__()
        self.around = around

    def forward(self, latents: Tensor, class_probs: Tensor) -> Tensor:
        """All four numbers move with the first latent."""
        return (CENTRES[class_probs.argmax(dim=1)] + self.around * latents[:, :1])[:, :, None, None]


def test_the_spread_is_that_within_classes_over_that_of_the_labelled_images() -> None:
    """Each of four numbers of an image is 6 in a quarter of the images, otherwise 0: a deviation of 6·√3/4."""
    of_labelled = 6 * 3**0.5 / 4
    for around in (0.0, 0.5, 2.0):
        found = predictor(Spread(around)).check_generated(features(ALL), Stream.root(0))
        assert found["generated spread"] == pytest.approx(around / of_labelled, rel=0.1, abs=1e-6)


def test_pixels_are_judged_too() -> None:
    images = (40 * CENTRES[torch.tensor(ALL)]).to(torch.uint8)[:, :, None, None]
    known = LabelledSet(ImageSet.of(images), np.array(ALL, dtype=np.int64), 4)
    found = predictor(Planned(lambda z, y: y)).check_generated(known, Stream.root(0))
    assert found["generated recognised"] == 1.0


@pytest.mark.parametrize(
    ("title", "recorded"),
    [("aral", True), ("aral:no-encoder", True), ("no-co-training", True), ("vaal", False), ("linear", False)],
)
def test_runs_record_it(title: str, recorded: bool, tmp_path: Path) -> None:
    """Of learners with a class-conditional generator; VAAL's is not given the class."""
    known = features(ALL * 3)
    data = DataSet(
        "planted",
        known.images,
        known.classes,
        features(ALL),
        ("a", "b", "c", "d"),
        features_of=FeaturesOf("planted", "", "", "", "", 0),
    )
    settings = tiny_settings(title) if title == "linear" else tiny_settings(title, 2, networks=FEATURES)
    spec = RunSpec(
        data="digits",
        learner=settings,
        acquisition=Method.parse(f"{title}+random").acquisition,
        threads=torch.get_num_threads(),
        rounds=Rounds(query_size=8, budget=16, first_query="random"),
    )
    with store_reading(run(spec, data, tmp_path / "run")) as store:
        values = [row.value for row in store.metrics("generated recognised")]
        losses = [row.value for row in store.metrics("D against G")]
    assert len(values) == (2 if recorded else 0)
    assert all(0 <= value <= 1 for value in values)
    assert len(losses) == len(values) and all(value > 0 for value in losses)
