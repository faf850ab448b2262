"""Outputs of a learner's networks on images: probabilities, features, latents, pictures; eval mode, order of id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import one_hot, softmax

from aral.acquisition.interface import Need, Predictions
from aral.data.batches import chunks, gather
from aral.learners.feature_dropout import dropped_classes
from aral.learners.feature_mixing import class_anchors, mixing_changes
from aral.learners.interface import Gallery
from aral.learners.nets import Nets
from aral.learners.settings import GenerativePrediction, LearnerSettings, Net
from aral.learners.synthesis import synthesise
from aral.logistic import fit_logistic
from aral.losses import gaussian
from aral.networks.cluster_heads import ClusterHeads
from aral.networks.interface import Discriminator, PixelRange
from aral.networks.layers import one_draw, stochastic_layers
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

GENERATED_PER_CLASS = 100
MOST_JUDGED = 1000
"""Generated features of each class that are checked."""

INVERSE_PENALTY = 1.0
"""C of the logistic regression that checks them."""


class Predictor:
    """Scores images with the networks of a learner.

    Args:
        nets: the networks.
        averages: averaged networks, which classify and assign clusters instead of those being trained.
        settings: pixel range, images scored at once, passes and precision.
        device: where to compute.
    """

    def __init__(
        self, nets: Nets, averages: Mapping[Net, nn.Module], settings: LearnerSettings, device: torch.device
    ) -> None:
        self._nets = nets
        self._classifier = cast(Discriminator, averages.get(Net.DISCRIMINATOR, nets.discriminator))
        self._clusters = cast(ClusterHeads | None, averages.get(Net.CLUSTERS, nets.modules.get(Net.CLUSTERS)))
        self._settings = settings
        self._device = device
        self._symmetric = settings.networks.pixel_range is PixelRange.SYMMETRIC

    @property
    def supplies(self) -> frozenset[Need]:
        """What :meth:`predict` can compute with these networks.

        Monte-Carlo probabilities only with a stochastic layer: otherwise all passes are equal.
        """
        supplies = {Need.PROBABILITIES, Need.FEATURES, Need.MIXING_CHANGES}
        if stochastic_layers(self._classifier):
            supplies.add(Need.MC_PROBABILITIES)
        if self._settings.networks.pixel_range is PixelRange.REAL:  # reads features
            supplies.add(Need.DROPPED_CLASSES)
        if Net.ENCODER in self._nets.modules:
            supplies.add(Need.LATENTS)
            if Net.SAMPLER in self._nets.modules:
                supplies.add(Need.SAMPLER_LOGITS)
        if Net.GENERATOR in self._nets.modules:
            supplies.add(Need.SYNTHESISED)
        if self._clusters is not None:
            supplies.add(Need.CLUSTERS)
        return frozenset(supplies)

    @torch.no_grad()
    def predict(
        self,
        images: ImageSet,
        needs: frozenset[Need],
        stream: Stream,
        labelled: LabelledSet | None = None,
    ) -> Predictions:
        """See :meth:`aral.learners.interface.Learner.predict`.

        Args:
            images: any images of the learner's shape.
            needs: the outputs wanted.
            stream: decides Monte-Carlo passes and passes with dropped features.
            labelled: the images whose features are mixed with those of others; ``None`` before the first label.

        Raises:
            ValueError: an output needs labels that were not given.
        """
        if not needs:
            return Predictions(images.ids)
        found: dict[Need, list[Tensor]] = {need: [] for need in needs}
        of_images = needs - {Need.SYNTHESISED}
        anchors = self._anchors(labelled, stream) if Need.MIXING_CHANGES in needs else None
        with self._eval_mode():
            for _, batch in chunks(images, self._settings.prediction.batch, self._symmetric):
                for need, value in self._outputs(batch.to(self._device), of_images, stream, anchors).items():
                    found[need].append(value.cpu())
            if Need.SYNTHESISED in needs:
                found[Need.SYNTHESISED].append(self._synthesised(stream.child("synthesis")))
        joined = {need: torch.cat(values) for need, values in found.items()}
        return Predictions(images.ids, joined)

    def _anchors(self, labelled: LabelledSet | None, stream: Stream) -> Float[Tensor, "A F"]:
        """The mean features of each class that has a labelled image."""
        if labelled is None:
            raise ValueError(
                "there are no labelled images whose features could be mixed with those of others"
            )
        found = self.predict(labelled.images, frozenset({Need.FEATURES}), stream)
        return class_anchors(found.get(Need.FEATURES), labelled.classes)

    def _synthesised(self, stream: Stream) -> Float[Tensor, "Q F"]:
        settings = self._settings.prediction
        assert isinstance(settings, GenerativePrediction)  # as every learner with a generator has
        made = synthesise(self._nets, self._classifier, settings.synthesised, stream)
        return self._classifier.features(made.images).cpu()

    def _outputs(
        self,
        batch: Float[Tensor, "N C H W"],
        needs: frozenset[Need],
        stream: Stream,
        anchors: Float[Tensor, "A F"] | None,
    ) -> dict[Need, Tensor]:
        features = self._classifier.features(batch)
        probabilities = softmax(self._classifier.classify(features), dim=1)
        outputs = {Need.PROBABILITIES: probabilities, Need.FEATURES: features}
        if needs & {Need.LATENTS, Need.SAMPLER_LOGITS}:
            # E is conditioned on C(x), never on a label: no label can reach a query.
            mean, _ = self._nets.encode(batch, probabilities)
            outputs[Need.LATENTS] = mean
            if Need.SAMPLER_LOGITS in needs:
                outputs[Need.SAMPLER_LOGITS] = self._nets.sampler(mean)
        if Need.CLUSTERS in needs and self._clusters is not None:
            outputs[Need.CLUSTERS] = softmax(self._clusters(features)[0], dim=1)
        if Need.MC_PROBABILITIES in needs:
            outputs[Need.MC_PROBABILITIES] = self._monte_carlo(batch, stream)
        if Need.DROPPED_CLASSES in needs:
            masks = stream.child("feature dropout")
            outputs[Need.DROPPED_CLASSES] = dropped_classes(self._classifier, batch, masks)
        if Need.MIXING_CHANGES in needs:
            assert anchors is not None  # they are computed for this need
            outputs[Need.MIXING_CHANGES] = mixing_changes(self._classifier.classify, features, anchors)
        return {need: outputs[need] for need in needs}

    def _monte_carlo(self, batch: Float[Tensor, "N C H W"], stream: Stream) -> Float[Tensor, "N M K"]:
        """Probabilities by M draws of the network, each the same for all images and all batches."""
        passes = []
        for number in range(self._settings.prediction.mc_passes):
            with one_draw(self._classifier, stream.child("pass", number)):
                passes.append(softmax(self._classifier(batch), dim=1))
        return torch.stack(passes, dim=1)

    @torch.no_grad()
    def diagnose(self, labelled: ImageSet, unlabelled: ImageSet) -> dict[str, float]:
        """Whether the latents have collapsed, and whether S can tell the labelled from the unlabelled set.

        Returns:
            ``latent std``: standard deviation of μ over images, mean over dimensions (the prior has 1);
            ``latent KL``: KL(q ‖ N(0, I)) in nats, mean over images;
            ``sampler AUC``: area under the ROC curve of S for labelled against unlabelled; 0.5 is chance.
            Without an encoder: nothing; without a sampler: no AUC.
        """
        if Need.LATENTS not in self.supplies:
            return {}
        means, divergences = [], []
        logits: list[list[Tensor]] = [[], []]
        with self._eval_mode():
            for which, images in enumerate((labelled, unlabelled)):
                for _, batch in chunks(images, self._settings.prediction.batch, self._symmetric):
                    probabilities = softmax(self._classifier(batch.to(self._device)), dim=1)
                    mean, log_variance = self._nets.encode(batch.to(self._device), probabilities)
                    means.append(mean)
                    divergences.append(gaussian.divergence_from_standard_normal(mean, log_variance))
                    if Need.SAMPLER_LOGITS in self.supplies:
                        logits[which].append(self._nets.sampler(mean))
        result = {
            "latent std": float(torch.cat(means).std(dim=0).mean()),
            "latent KL": float(torch.cat(divergences).mean()),
        }
        if logits[0] and logits[1]:
            from sklearn.metrics import roc_auc_score

            scores = torch.cat([*logits[0], *logits[1]]).cpu().numpy()
            truth = np.r_[np.ones(len(labelled)), np.zeros(len(unlabelled))]
            result["sampler AUC"] = float(roc_auc_score(truth, scores))
        return result

    @torch.no_grad()
    def check_generated(self, labelled: LabelledSet, stream: Stream) -> dict[str, float]:
        """Whether G generates images, or features, of the class that it is given, and different ones.

        Logistic regression is trained on labelled images, at most :data:`MOST_JUDGED` of them, and predicts the class
        of G(z, y), with as many y of each class that has labels. No network of the learner takes part in the judgement.

        Args:
            labelled: real images with their classes.
            stream: decides z.

        Returns:
            ``generated recognised``: the share whose predicted class is y, in [0, 1]; with c classes 1/c is chance.
            ``generated spread``: the standard deviation over z of G(z, y), mean over pixels and classes, divided by
            that over the labelled images; 0 where G makes one image of each class.
            Nothing without a class-conditional generator, or with labels of fewer than two classes.
        """
        present = np.unique(labelled.classes)
        if not self._generates_classes or present.size < 2:
            return {}
        judged = labelled.classes[:MOST_JUDGED]
        real = (
            gather(labelled.images, labelled.ids[:MOST_JUDGED], self._symmetric).flatten(1).double().numpy()
        )
        weights, bias = fit_logistic(real, judged, labelled.class_count, INVERSE_PENALTY)
        classes = torch.from_numpy(present).repeat_interleave(GENERATED_PER_CLASS)
        made = self._generate(classes, stream).float().flatten(1).double().cpu().numpy()
        spread = (
            made.reshape(present.size, GENERATED_PER_CLASS, -1).std(axis=1).mean() / real.std(axis=0).mean()
        )
        right = (made @ weights.T + bias).argmax(axis=1) == classes.numpy()
        return {"generated recognised": float(right.mean()), "generated spread": float(spread)}

    @torch.no_grad()
    def generate(self, classes: Int64[Tensor, " N"], stream: Stream) -> Float[Tensor, "N C H W"] | None:
        """See :meth:`aral.learners.interface.Learner.generate`."""
        if not self._generates_classes:
            return None
        generated = self._generate(classes, stream)
        of_features = self._settings.networks.pixel_range is PixelRange.REAL
        return generated.float().cpu() if of_features else self._as_unit(generated.float())

    @property
    def _generates_classes(self) -> bool:
        nets = self._nets
        return Net.GENERATOR in nets.modules and (nets.conditional or Net.CRITIC in nets.modules)

    def _generate(self, classes: Int64[Tensor, " N"], stream: Stream) -> Float[Tensor, "N C H W"]:
        """G(z, y) with one z an image, in the range of the networks."""
        latents = torch.randn(len(classes), self._nets.latent_size, generator=stream.torch())
        with self._eval_mode():
            given = one_hot(classes, self._nets.class_count).float()
            return self._nets.generate(latents.to(self._device), given.to(self._device))

    @torch.no_grad()
    def gallery(self, images: ImageSet, per_class: int, stream: Stream) -> Gallery | None:
        """See :meth:`aral.learners.interface.Learner.gallery`."""
        if Net.GENERATOR not in self._nets.modules or images.is_features:
            return None
        nets = self._nets
        with self._eval_mode():
            batch = gather(images, images.ids, self._symmetric).to(self._device)
            if Net.ENCODER in nets.modules:
                class_probs = softmax(self._classifier(batch), dim=1)
                reconstructions = nets.decode(nets.encode(batch, class_probs)[0], class_probs)
            else:
                batch = reconstructions = batch[:0]
            latents = torch.randn(per_class, nets.latent_size, generator=stream.torch()).to(self._device)
            classes = torch.eye(nets.class_count, device=self._device).repeat_interleave(per_class, dim=0)
            generated = nets.generate(latents.repeat(nets.class_count, 1), classes)
        return Gallery(
            torch.unflatten(self._as_unit(generated), 0, (nets.class_count, per_class)),
            self._as_unit(batch),
            self._as_unit(reconstructions),
        )

    def _as_unit(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        return ((images + 1) / 2 if self._symmetric else images).clamp(0, 1).cpu()

    @contextmanager
    def _eval_mode(self) -> Iterator[None]:
        modules = [self._classifier, *self._nets.modules.values()]  # cluster heads have no mode
        before = [module.training for module in modules]
        for module in modules:
            module.eval()
        precise = self._settings.training.precision == "float32"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=not precise):
            yield
        for module, training in zip(modules, before, strict=True):
            module.train(training)
