"""ARAL's two objectives: every loss of a step worked out again from the networks and the batch.

Written with softplus as docs/maths.md has the equations, without the package's own losses.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, log_softmax, softmax, softplus

from aral.learners import Nets, Ramp
from aral.testing import tiny_settings

QUIET = {"input_noise": 0.0, "hidden_noise": 0.0}
SHARE = 0.3


def wants_high(logits: Tensor) -> Tensor:
    """−log σ(l), mean."""
    return softplus(-logits).mean()


def wants_low(logits: Tensor) -> Tensor:
    """−log(1 − σ(l)), mean."""
    return softplus(logits).mean()


def cross_entropy(logits: Tensor, class_probs: Tensor) -> Tensor:
    return -(class_probs * log_softmax(logits, dim=1)).sum(dim=1).mean()


@torch.no_grad()
def predicted(nets: Nets, images: Tensor) -> Tensor:
    """ŷ, in eval mode."""
    probs = softmax(nets.discriminator.eval()(images), dim=1)
    nets.discriminator.train()
    return probs


class Expected:
    """The terms of a step, by phase, with the networks as they are when they are asked for."""

    def __init__(self, step, sees: str, norm: str) -> None:
        batch = step.batch
        self.nets, self.sees, self.norm = step.nets, sees, norm
        self.x_l, self.y_l, self.x_u = (
            batch.labelled.images,
            batch.labelled.class_probs,
            batch.unlabelled.images,
        )
        self.count = len(self.x_l)
        self.x = torch.cat([self.x_l, self.x_u])
        self.z_g, self.y_g = batch.prior(step.nets)
        self.noise = batch.normal("codes", len(self.x), step.nets.latent_size)
        self.encoder = "encoder" in step.nets.modules

    def see(self, y_u: Tensor) -> None:
        """What E and G make of the batch; neither has moved before its own phase."""
        self.y = torch.cat([self.y_l, y_u])
        self.x_g = self.nets.generator(self.z_g, self.y_g)
        self.z = torch.zeros(len(self.x), self.nets.latent_size)
        if self.encoder:
            self.mean, self.log_variance = self.nets.encoder(self.x, self.y)
            self.z = self.mean + (self.log_variance / 2).exp() * self.noise

    def realness(self, images: Tensor, z: Tensor, y: Tensor) -> Tensor:
        disc = self.nets.discriminator
        return disc.realness(disc.features(images), z, y)

    def real(self) -> tuple[Tensor, Tensor]:
        logits = self.realness(self.x, self.z, self.y)
        return logits[: self.count], logits[self.count :]

    def generated(self) -> Tensor:
        return self.realness(self.x_g, self.z_g if self.encoder else torch.zeros_like(self.z_g), self.y_g)

    def paper_d(self) -> dict[str, Tensor]:
        labelled, unlabelled = self.real()
        real = SHARE * wants_high(labelled) + (1 - SHARE) * wants_high(unlabelled)
        return {
            "tell real from generated": real + wants_low(self.generated()),
            "classify labelled": cross_entropy(self.nets.discriminator(self.x_l), self.y_l),
            "classify generated": cross_entropy(self.nets.discriminator(self.x_g), self.y_g),
        }

    def released_d(self) -> dict[str, Tensor]:
        """Z of the class logits: D(x) = Z / (Z + 1), half the cross-entropy of each side."""
        z_u, z_g = (self.nets.discriminator(images).exp().sum(dim=1) for images in (self.x_u, self.x_g))
        real = -(z_u / (z_u + 1)).log().mean() / 2 - (1 / (z_g + 1)).log().mean() / 2
        labelled = cross_entropy(self.nets.discriminator(self.x_l), self.y_l)
        return {"tell real from generated": real, "classify labelled": labelled}

    def sampler(self) -> tuple[Tensor, Tensor]:
        logits = self.nets.sampler(self.mean if self.sees == "mean" else self.z)
        return logits[: self.count], logits[self.count :]

    def s(self) -> dict[str, Tensor]:
        labelled, unlabelled = self.sampler()
        return {"tell labelled from unlabelled": wants_high(labelled) + wants_low(unlabelled)}

    def vae(self) -> dict[str, Tensor]:
        made = self.nets.generator(self.z, self.y)
        divergence = -(1 + self.log_variance - self.mean**2 - self.log_variance.exp()).sum(dim=1).mean() / 2
        terms = {
            "reconstruction": binary_cross_entropy(made, self.x, reduction="sum") / len(self.x),
            "divergence": divergence,
        }
        if "sampler" in self.nets.modules:
            labelled, unlabelled = self.sampler()
            terms["encoder against S"] = wants_high(labelled) + wants_high(unlabelled)
        return terms

    def matching(self) -> dict[str, Tensor]:
        h_u, h_g = (self.nets.discriminator.features(images).mean(dim=0) for images in (self.x_u, self.x_g))
        gap = h_u - h_g
        return {"feature matching": gap.abs().mean() if self.norm == "absolute" else (gap**2).sum()}

    def joint(self) -> dict[str, Tensor]:
        terms = {"generator against D": wants_high(self.generated())}
        if self.encoder:
            labelled, unlabelled = self.real()
            terms["encoder against D"] = SHARE * wants_low(labelled) + (1 - SHARE) * wants_low(unlabelled)
        return terms


def check(phase, values: dict[str, float], expected: dict[str, Tensor]) -> None:
    assert values == pytest.approx(
        {name: float(value.detach()) for name, value in expected.items()}, rel=1e-4
    )


CASES = [
    ("aral", "mean", "squared"),
    ("aral", "sample", "absolute"),
    ("aral:no-sampler", "mean", "squared"),
    ("aral:no-encoder", "mean", "squared"),
]


@pytest.mark.parametrize(("title", "sees", "norm"), CASES)
def test_the_papers_objective(title: str, sees: str, norm: str, one_step) -> None:
    """Eq. 1 to 13. ŷ is that of the classifier before the step, for all phases."""
    settings = tiny_settings(
        title, networks=QUIET, sampler_sees=sees, matching_norm=norm, weights={"labelled_share": SHARE}
    )
    step = one_step(settings)
    expected = Expected(step, sees, norm)
    expected.see(predicted(step.nets, step.batch.unlabelled.images))
    seen = []
    for phase in step.phases():
        parts = {
            "D": lambda: expected.paper_d(),
            "S": lambda: expected.s(),
            "E+G": lambda: expected.vae() | expected.joint() | expected.matching(),
            "G": lambda: expected.joint() | expected.matching(),
        }
        check(phase, step.values(phase), parts[phase.name]())
        seen.append(phase.name)
    assert (
        seen
        == {"aral": ["D", "S", "E+G"], "aral:no-sampler": ["D", "E+G"], "aral:no-encoder": ["D", "G"]}[title]
    )


@pytest.mark.parametrize(
    ("title", "sees", "norm"),
    [(title.replace("aral", "aral:released"), *rest) for title, *rest in CASES],
)
def test_the_released_codes_objective(title: str, sees: str, norm: str, one_step) -> None:
    """Realness from the class logits. ŷ is that of the classifier that has just moved."""
    settings = tiny_settings(title, networks=QUIET, sampler_sees=sees, matching_norm=norm)
    step = one_step(settings)
    expected = Expected(step, sees, norm)
    expected.see(predicted(step.nets, step.batch.unlabelled.images))
    for phase in step.phases():
        if phase.name == "D":
            check(phase, step.values(phase), expected.released_d())
            continue
        expected.see(predicted(step.nets, step.batch.unlabelled.images))
        if phase.name == "S":
            check(phase, step.values(phase), expected.s())
        else:
            vae = expected.vae() if expected.encoder else {}
            check(phase, step.values(phase), vae | expected.matching())


def test_weights_are_the_equations(one_step) -> None:
    weights = {"trd": 0.3, "beta": 0.5, "adv": 0.7, "gan": 0.2, "cls": 0.4, "generated": 0.6}
    weights |= {"feature_matching": 0.9, "generated_ramp": Ramp(begin=0, end=20)}
    found = {}
    for phase in one_step(tiny_settings("aral", weights=weights), age=10).phases():
        found |= {term.name: term.weight for term in phase.terms}
    assert found == pytest.approx(
        {
            "tell real from generated": 0.2,
            "classify labelled": 0.4,
            "classify generated": 0.4 * 0.6 / 2,
            "tell labelled from unlabelled": 1.0,
            "reconstruction": 0.3,
            "divergence": 0.3 * 0.5,
            "encoder against S": 0.7,
            "encoder against D": 0.2,
            "generator against D": 0.2,
            "feature matching": 0.9,
        }
    )


def test_generated_only_leaves_unlabelled_images_out_of_d(one_step) -> None:
    """The real side of D is the labelled images alone; E still hides both."""
    step = one_step(tiny_settings("aral:generated-only", networks=QUIET, weights={"labelled_share": SHARE}))
    expected = Expected(step, "mean", "squared")
    expected.see(predicted(step.nets, step.batch.unlabelled.images))
    for phase in step.phases():
        if phase.name == "D":
            labelled, _ = expected.real()
            wanted = expected.paper_d()
            wanted["tell real from generated"] = wants_high(labelled) + wants_low(expected.generated())
            check(phase, step.values(phase), wanted)
        elif phase.name == "E+G":
            labelled, unlabelled = expected.sampler()
            wanted = wants_high(labelled) + wants_high(unlabelled)
            assert step.values(phase)["encoder against S"] == pytest.approx(float(wanted.detach()), rel=1e-4)


def test_predicted_classes_carry_no_gradient_and_no_noise(one_step) -> None:
    """With noise in D̃'s layers: two steps that differ in it alone encode the same codes."""
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        step = one_step(tiny_settings("aral", networks={"input_noise": 0.5}))
        (_, sampler, _) = step.phases()
        found.append(sampler.terms[0].compute().detach())
        assert step.nets.discriminator.training
    assert torch.equal(*found)


@pytest.mark.parametrize("title", ["aral:pseudo-labels", "aral:released:pseudo-labels"])
@pytest.mark.parametrize("confidence", [0.0, 0.45])
def test_confident_predictions_are_labels_of_the_variant_alone(
    title: str, confidence: float, one_step
) -> None:
    """Cross-entropy with the hard prediction of the classifier without noise, summed where it is confident."""
    settings = tiny_settings(
        title, networks=QUIET, confidence=confidence, weights={"pseudo_labelled": 0.3, "cls": 0.5}
    )
    step = one_step(settings)
    x_u = step.batch.unlabelled.images
    probs = predicted(step.nets, x_u)
    used = probs.amax(dim=1) >= confidence
    logits = step.nets.discriminator(x_u)
    each = -log_softmax(logits, dim=1)[torch.arange(len(x_u)), probs.argmax(dim=1)]
    phase = next(step.phases())
    found = {term.name: term for term in phase.terms}["classify pseudo-labelled"]
    assert found.weight == pytest.approx(0.15)
    assert float(found.compute().detach()) == pytest.approx(
        float((each * used).sum().detach() / len(x_u)), rel=1e-4
    )
    assert confidence == 0 or 0 < used.sum() < len(x_u)
    plain = next(one_step(tiny_settings(title.removesuffix(":pseudo-labels"))).phases())
    assert "classify pseudo-labelled" not in {term.name for term in plain.terms}


def test_generated_classes_can_have_the_labels_shares(one_step) -> None:
    step = one_step(tiny_settings("aral", training={"unlabelled_batch": 60}))
    shares = np.array([0.0, 0.9, 0.1])
    _, classes = step.batch.prior(step.nets, shares)
    assert classes.sum(dim=0)[0] == 0 and classes.sum(dim=0)[1] > 40
    _, uniform = step.batch.prior(step.nets)
    assert (uniform.sum(dim=0) > 8).all()
