"""The training step of ``aral`` written plainly: eager float32, one forward pass for each loss, PyTorch's Adam.

It is what ``train_step.py`` compares the package's step with, and a second derivation of it: on the same batch, without
noise, the gradients of every phase equal those of the package (tests/benchmarks/test_plain_step.py). Nothing is shared
between losses or phases, every phase backpropagates into all networks, and Adam is that of ``torch.optim``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, mse_loss, softmax, softplus

from aral.learners.aral import AralSettings
from aral.learners.engine import Batch
from aral.learners.nets import Nets
from aral.learners.settings import Net
from aral.networks.interface import PixelRange

D, E, G, S = Net.DISCRIMINATOR, Net.ENCODER, Net.GENERATOR, Net.SAMPLER
PlainPhase = tuple[frozenset[Net], Callable[[], Tensor]]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over images, of soft targets."""
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()


class PlainStep:
    """One training step after the other, on networks of its own.

    Args:
        settings: of ``aral`` with encoder and sampler, without pseudo-labels.
        nets: which it moves.
    """

    def __init__(self, settings: AralSettings, nets: Nets) -> None:
        assert settings.encoder and settings.sampler and settings.unlabelled_in_discriminator
        assert not settings.pseudo_labels and settings.prior == "uniform"
        self._settings, self._nets = settings, nets
        self._optimisers = {
            net: torch.optim.Adam(
                module.parameters(),
                lr=settings.optimisers.of(net).rate,
                betas=(settings.optimisers.of(net).beta1, settings.optimisers.of(net).beta2),
            )
            for net, module in nets.modules.items()
        }

    def step(self, batch: Batch) -> None:
        """Move the networks of each phase, in order."""
        for module in self._nets.modules.values():
            module.train()
        for trains, loss in self.phases(batch):
            for optimiser in self._optimisers.values():
                optimiser.zero_grad()
            torch.autograd.backward(loss())
            for net in trains:
                self._optimisers[net].step()

    def phases(self, batch: Batch) -> Iterator[PlainPhase]:
        """Which networks move, and their loss; the next phase is made after they have moved."""
        losses = Losses(self._settings, self._nets, batch)
        if self._settings.objective == "paper":
            losses.predict()
            yield frozenset({D}), losses.of_discriminator
            yield frozenset({S}), losses.of_sampler
            yield frozenset({E, G}), losses.of_encoder_and_generator
        else:
            yield frozenset({D}), losses.of_released_discriminator
            losses.predict()
            yield frozenset({S}), losses.of_sampler
            yield frozenset({E, G}), losses.of_released_encoder_and_generator


class Losses:
    """The losses of one step; each makes the forward passes that it needs.

    Args:
        settings: of ``aral``.
        nets: the networks, as they are when a loss is computed.
        batch: images and random numbers.
    """

    def __init__(self, settings: AralSettings, nets: Nets, batch: Batch) -> None:
        self.s, self.w, self.nets, self.disc = settings, settings.weights, nets, nets.discriminator
        self.age = batch.age
        self.x_l, self.y_l = batch.labelled.images, batch.labelled.class_probs
        self.x_u = batch.unlabelled.images
        self.x, self.count = torch.cat([self.x_l, self.x_u]), len(self.x_l)
        self.z_g, self.y_g = batch.prior(nets)
        self.noise = batch.normal("codes", len(self.x), nets.latent_size)

    def predict(self) -> None:
        """Keep the class probabilities of x_U, computed without noise, dropout or gradient, for the codes."""
        self.disc.eval()
        with torch.no_grad():
            self.y_u = softmax(self.logits(self.x_u), dim=1)
        self.disc.train()
        self.y = torch.cat([self.y_l, self.y_u])

    def logits(self, images: Tensor) -> Tensor:
        return self.disc.classify(self.disc.features(images))

    def realness(self, images: Tensor, latents: Tensor, classes: Tensor) -> Tensor:
        return self.disc.realness(self.disc.features(images), latents, classes)

    def generated(self) -> Tensor:
        return self.nets.generate(self.z_g, self.y_g)

    def codes(self) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.nets.encode(self.x, self.y)
        return mean, log_variance, mean + torch.exp(log_variance / 2) * self.noise

    def seen_by_sampler(self) -> Tensor:
        mean, _, sample = self.codes()
        return mean if self.s.sampler_sees == "mean" else sample

    def of_real(self, z: Tensor, sign: float) -> Tensor:
        """a(±D) of real triples, of which labelled ones have the stated share."""
        of_labelled = softplus(sign * self.realness(self.x_l, z[: self.count], self.y_l)).mean()
        of_unlabelled = softplus(sign * self.realness(self.x_u, z[self.count :], self.y_u)).mean()
        return self.w.labelled_share * of_labelled + (1 - self.w.labelled_share) * of_unlabelled

    def of_discriminator(self) -> Tensor:
        """Eq. 12: eq. 8 and 9."""
        w = self.w
        real = self.of_real(self.codes()[2].detach(), sign=-1)
        fake = softplus(self.realness(self.generated().detach(), self.z_g, self.y_g)).mean()
        loss = w.gan * (real + fake) + w.cls * cross_entropy(self.logits(self.x_l), self.y_l)
        if share := w.cls * w.generated * w.generated_ramp.at(self.age):
            loss = loss + share * cross_entropy(self.logits(self.generated().detach()), self.y_g)
        return loss

    def of_released_discriminator(self) -> Tensor:
        """Realness by the class logits, and eq. 9's first term."""
        unlabelled = self.logits(self.x_u).logsumexp(dim=1)
        fake = self.logits(self.generated().detach()).logsumexp(dim=1)
        loss = self.w.gan * (softplus(-unlabelled).mean() + softplus(fake).mean()) / 2
        return loss + self.w.cls * cross_entropy(self.logits(self.x_l), self.y_l)

    def of_sampler(self) -> Tensor:
        """Eq. 13."""
        judged = self.nets.sampler(self.seen_by_sampler().detach())
        return softplus(-judged[: self.count]).mean() + softplus(judged[self.count :]).mean()

    def of_vae(self) -> Tensor:
        """Eq. 5."""
        mean, log_variance, sample = self.codes()
        decoded = self.nets.decode(sample, self.y)
        if self.s.networks.pixel_range is PixelRange.UNIT:
            distance = binary_cross_entropy(decoded, self.x, reduction="sum")
        else:
            distance = 0.5 * mse_loss(decoded, self.x, reduction="sum")
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
        judged = self.nets.sampler(self.seen_by_sampler())
        fooled = softplus(-judged[: self.count]).mean() + softplus(-judged[self.count :]).mean()
        return self.w.trd * (distance / len(self.x) + self.w.beta * divergence) + self.w.adv * fooled

    def matched(self) -> Tensor:
        """Feature matching."""
        features = self.disc.features
        apart = features(self.x_u).mean(dim=0) - features(self.generated()).mean(dim=0)
        distance = (apart**2).sum() if self.s.matching_norm == "squared" else apart.abs().mean()
        return self.w.feature_matching * distance

    def of_encoder_and_generator(self) -> Tensor:
        """Eq. 11: eq. 5, 7 and 10, and feature matching."""
        encoder = self.of_real(self.codes()[2], sign=1)
        generator = softplus(-self.realness(self.generated(), self.z_g, self.y_g)).mean()
        return self.of_vae() + self.w.gan * (encoder + generator) + self.matched()

    def of_released_encoder_and_generator(self) -> Tensor:
        """Eq. 5 and feature matching."""
        return self.of_vae() + self.matched()
