"""Pseudo-labels, FixMatch, VAAL, BGADL and training without co-training; the ImageNet pipeline at toy size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import log_softmax, softmax

from aral.acquisition import Need
from aral.benchmarking import Method, RunSpec, make_learner, resolve
from aral.data.batches import gather
from aral.errors import BadInput
from aral.learners import Batch, Engine, Net, Task
from aral.learners.nets import eval_probabilities
from aral.networks import BigganDiscriminator, BigganFamily
from aral.networks.vgg import VggFamily
from aral.randomness import Stream
from aral.testing import planted_data, tiny_settings
from aral.types import ImageSet, LabelledSet

QUIET = {"input_noise": 0.0, "hidden_noise": 0.0}
AS_IT_IS = {"shift": 0.0, "scale": 0.0, "rotation": 0, "shear": 0, "cut_out": 0.0}
BLANK = AS_IT_IS | {"cut_out": 1.0}


def cross_entropy(logits: Tensor, class_probs: Tensor) -> float:
    return float(-(class_probs * log_softmax(logits.detach(), dim=1)).sum(dim=1).mean())


def predicted(step, images: Tensor) -> Tensor:
    disc = step.nets.discriminator
    with torch.no_grad():
        probs = softmax(disc.eval()(images), dim=1)
    disc.train()
    return probs


def opinionated(step):
    """A new classifier gives each class a third of every image; make it prefer some, by a part of the image."""
    with torch.no_grad():
        step.nets.discriminator.class_layer.bias.add_(torch.tensor([0.7, 0.0, -0.7]))
        for parameter in step.nets.discriminator.class_layer.parameters():
            if parameter.ndim == 2 and parameter.shape[1] == 1:  # lengths of the rows, by weight norm
                parameter.mul_(40)
    return step


# Pseudo-labels of the classifier's own


@pytest.mark.parametrize("name", ["pseudo-label", "fixmatch"])
def test_only_certain_predictions_become_labels(name: str, one_step) -> None:
    """−log of the probability of the likeliest class where it is certain, divided by all images."""
    plain = {"networks": QUIET, "training": {"unlabelled_batch": 30}}
    augmentation = {"weak": AS_IT_IS, "strong": AS_IT_IS} if name == "fixmatch" else {}
    step = opinionated(one_step(tiny_settings(name, **plain)))
    y_u = predicted(step, step.batch.unlabelled.images)
    highest, entropy = y_u.max(dim=1).values, -(y_u * y_u.log()).sum(dim=1)
    if name == "pseudo-label":
        own = {"entropy": float(entropy.median()) + 1e-6}
        used = entropy < own["entropy"]
    else:
        own = {"pseudo_labels": augmentation | {"confidence": float(highest.median()) - 1e-6}}
        used = highest >= own["pseudo_labels"]["confidence"]
    assert 10 < int(used.sum()) < 20
    step = opinionated(one_step(tiny_settings(name, **plain, **own)))
    by_hand = -float(highest[used].log().sum()) / len(used)
    term = "classify pseudo-labelled" if name == "pseudo-label" else "consistency"
    assert step.values(next(step.phases()))[term] == pytest.approx(by_hand, rel=1e-4)


def test_fixmatch_predicts_weak_images_and_trains_on_strong_ones(one_step, monkeypatch) -> None:
    """Weak images are blank: every prediction is that of a blank image; strong ones are as they are."""
    own = {"confidence": 0.0, "weak": BLANK, "strong": AS_IT_IS}
    step = one_step(tiny_settings("fixmatch", networks=QUIET, pseudo_labels=own))
    shown: list[Tensor] = []
    features = step.nets.discriminator.features
    monkeypatch.setattr(step.nets.discriminator, "features", lambda x: shown.append(x) or features(x))
    phase = next(step.phases())
    step.values(phase)
    trained, weak = shown[0], shown[1]
    x_l, x_u = step.batch.labelled.images, step.batch.unlabelled.images
    assert not torch.allclose(trained[:8], x_l, atol=0.05) and torch.equal(trained[8:], x_u)
    assert not torch.allclose(weak, x_u, atol=0.05)


def test_fixmatch_aligns_where_that_is_set(start) -> None:
    values = []
    for align in (False, True):
        learner = start(
            tiny_settings("fixmatch", networks=QUIET, pseudo_labels={"align": align, "confidence": 0.45})
        )
        state = learner.state_dict()
        state["discriminator.class_layer.bias"] += torch.tensor([3.0, 0.0, 0.0])
        learner.load_state_dict(state)
        values.append(learner.step(0).values["consistency"])
    assert values[0] > 0 and values[1] == 0, "aligned predictions are as uncertain as the labels' shares"


# VAAL and BGADL


def test_vaal_encodes_without_classes(one_step) -> None:
    """Its codes do not change with the classifier; ARAL's do."""
    found = {}
    for name in ("vaal", "aral"):
        for prefers in (0.0, 9.0):
            step = one_step(tiny_settings(name, networks=QUIET))
            with torch.no_grad():
                step.nets.discriminator.class_layer.bias.add_(torch.tensor([prefers, 0.0, 0.0]))
            (sampler,) = [phase for phase in step.stage.step(step.nets, step.batch) if phase.name == "S"]
            found[name, prefers] = step.values(sampler)
    assert found["vaal", 0.0] == found["vaal", 9.0] and found["aral", 0.0] != found["aral", 9.0]


def test_vaal_scaled_as_in_its_released_code(one_step) -> None:
    """By NumPy: squared error a pixel, divergence summed over all images, and eq. 2 without a factor."""
    settings = tiny_settings("vaal", scaling="authors", networks=QUIET, training={"unlabelled_batch": 30})
    assert settings.title == "vaal:authors"
    step = one_step(settings)
    nets, batch = step.nets, step.batch
    x_l, x_u = batch.labelled.images, batch.unlabelled.images
    with torch.no_grad():
        mean, log_variance = nets.encode(torch.cat([x_l, x_u]), torch.zeros(38, 0))
        noise = batch.normal("codes", *mean.shape)
        made = nets.decode(mean + (log_variance / 2).exp() * noise, torch.zeros(38, 0)).numpy()
    (phase,) = [phase for phase in step.stage.step(nets, batch) if phase.name == "E+G"]
    logits = nets.sampler(mean).detach().numpy()
    mean, log_variance, x_l, x_u = (each.numpy() for each in (mean, log_variance, x_l, x_u))
    expected = {
        "reconstruction": np.mean((made[:8] - x_l) ** 2) + np.mean((made[8:] - x_u) ** 2),
        "divergence": 0.5 * np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance),
        "encoder against S": np.mean(np.log1p(np.exp(-logits[:8]))) + np.mean(np.log1p(np.exp(-logits[8:]))),
    }
    assert step.values(phase) == pytest.approx(expected, rel=1e-4)
    assert all(term.weight == 1 for term in phase.terms)


def test_bgadl_trains_on_reconstructions_with_their_labels(one_step) -> None:
    step = one_step(tiny_settings("bgadl", networks=QUIET))
    nets, batch = step.nets, step.batch
    x, y = batch.labelled.images, batch.labelled.class_probs
    mean, log_variance = nets.encoder(x, y)
    noise = batch.normal("codes", *mean.shape)
    made = nets.generator(mean + (log_variance / 2).exp() * noise, y)
    no_code = torch.zeros_like(mean)

    def realness(images: Tensor) -> Tensor:
        return nets.discriminator.realness(nets.discriminator.features(images), no_code, y)

    for phase in step.phases():
        values = step.values(phase)
        if phase.name == "D":
            told = torch.nn.functional.softplus(-realness(x)).mean()
            told = told + torch.nn.functional.softplus(realness(made)).mean()
            assert values["tell real from reconstructed"] == pytest.approx(float(told.detach()), rel=1e-4)
            expected = cross_entropy(nets.discriminator(made), y)
            assert values["classify reconstructed"] == pytest.approx(expected, rel=1e-4)
        else:
            against = torch.nn.functional.softplus(-realness(made)).mean()
            assert values["reconstruct against D"] == pytest.approx(float(against.detach()), rel=1e-4)
            assert values["keep class"] == pytest.approx(cross_entropy(nets.discriminator(made), y), rel=1e-4)


# Without co-training


def test_the_separate_gan_is_conditional_and_the_encoder_is_not(one_step) -> None:
    nets = one_step(tiny_settings("no-co-training")).nets
    latents, classes = torch.randn(2, 4), torch.eye(3)
    for net in (Net.ENCODER, Net.DECODER, Net.GENERATOR):
        nets.modules[net].eval()
    generated = [nets.generate(latents, classes[[index] * 2]) for index in (0, 1)]
    decoded = [nets.decode(latents, classes[[index] * 2]) for index in (0, 1)]
    assert not torch.allclose(*generated) and torch.equal(*decoded)
    assert nets.decoder is nets.modules[Net.DECODER] is not nets.generator


@pytest.mark.parametrize("form", ["hard", "soft"])
@pytest.mark.parametrize("loss", ["hinge", "logistic"])
def test_the_critics_loss(form: str, loss: str, one_step) -> None:
    """The critic's own prediction is the class of an unlabelled image, as it is or as its likeliest class."""
    settings = tiny_settings(
        "no-co-training",
        networks=QUIET,
        separate_gan={"labels": form, "loss": loss},
        weights={"labelled_share": 0.3},
    )
    step = one_step(settings)
    with torch.no_grad():
        step.nets.critic.class_layer.bias.add_(torch.tensor([0.5, 0.0, -0.5]))
    critic, batch = step.nets.critic, step.batch
    z_g, y_g = batch.prior(step.nets)
    x_g = step.nets.generate(z_g, y_g).detach()
    x_l, y_l, x_u = batch.labelled.images, batch.labelled.class_probs, batch.unlabelled.images
    y_u = softmax(critic(x_u), dim=1).detach()
    y_u = torch.eye(3)[y_u.argmax(dim=1)] if form == "hard" else y_u

    def realness(images: Tensor, y: Tensor) -> Tensor:
        return critic.realness(critic.features(images), torch.zeros(len(images), 4), y).detach()

    if loss == "hinge":
        high, low = (lambda x: (1 - x).clamp(min=0).mean()), (lambda x: (1 + x).clamp(min=0).mean())
    else:
        high, low = (lambda x: torch.log1p((-x).exp()).mean()), (lambda x: torch.log1p(x.exp()).mean())
    for phase in step.phases():
        if phase.name == "critic":
            told = 0.3 * high(realness(x_l, y_l)) + 0.7 * high(realness(x_u, y_u)) + low(realness(x_g, y_g))
            assert step.values(phase)["tell real from generated"] == pytest.approx(float(told), rel=1e-4)
            assert step.values(phase)["predict labelled"] == pytest.approx(
                cross_entropy(critic(x_l), y_l), rel=1e-4
            )
        if phase.name == "G":
            logits = realness(x_g, y_g)
            against = -logits.mean() if loss == "hinge" else high(logits)
            assert step.values(phase)["generator against critic"] == pytest.approx(float(against), rel=1e-4)


def test_rotation_needs_a_head_for_it() -> None:
    for name in ("rotation", "rotation_of_generated"):
        setting = f"learner.separate_gan.{name}=1.0"
        with pytest.raises(BadInput, match="'mlp' have no rotation head"):
            resolve("digits", Method.parse("no-co-training"), [setting])


# The ImageNet pipeline: the preset's own table, only sizes and counts replaced

TOY = (
    "learner.networks.channels=8",
    "learner.networks.encoder_widths=[4, 4, 8, 8]",
    "learner.networks.generator_embedding_size=4",
    "learner.networks.sampler_width=16",
    "learner.classifier.width=4",
    "learner.classifier.hidden_size=16",
    "learner.classifier.pooled_side=1",
    "learner.classifier.input_side=40",
    "learner.latent_size=8",
    "learner.training.steps=2",
    "learner.training.labelled_batch=4",
    "learner.training.unlabelled_batch=4",
    "learner.prediction.synthesised=3",
    "learner.weights.generated_ramp={begin=0, end=0}",
)


def toy(*settings: str) -> RunSpec:
    return resolve("imagenet", Method.parse("no-co-training"), [*TOY, *settings])


def started(spec: RunSpec) -> tuple[Engine, ImageSet]:
    generator = torch.Generator().manual_seed(0)
    pool = ImageSet.of(torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=generator))
    learner = make_learner(spec.learner, pool, 3, Stream.root(0))
    assert isinstance(learner, Engine)
    ids = np.arange(5, dtype=np.int64)
    learner.start_round(0, LabelledSet(pool.subset(ids), ids % 3, 3), pool.without(ids), Stream.root(1))
    return learner, pool


def test_the_preset_is_the_papers_pipeline() -> None:
    spec = resolve("imagenet", Method.parse("no-co-training"))
    learner = spec.learner
    assert (learner.name, spec.acquisition, spec.side) == ("no-co-training", "vaal", 256)
    assert isinstance(learner.networks, BigganFamily) and learner.latent_size == 64
    assert isinstance(learner.classifier, VggFamily) and learner.classifier.input_side == 224
    gan = learner.separate_gan
    assert (gan.loss, gan.labels, gan.rotation, gan.rotation_of_generated) == ("hinge", "hard", 1.0, 0.2)
    assert resolve("imagenet", Method.parse("aral")).learner.classifier is None


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_pipeline_trains_answers_a_query_and_resumes(precision: str) -> None:
    """Rotation and the ramp are on; C's loss reaches C alone, as the table of all methods has it."""
    spec = toy(f'learner.training.precision="{precision}"')
    learner, pool = started(spec)
    for index in range(2):
        losses = learner.step(index)
        assert not losses.skipped
        assert all(np.isfinite(value) for value in losses.values.values())
        assert {"rotation", "rotation of generated", "classify generated"} <= losses.values.keys()
    assert isinstance(learner.nets.critic, BigganDiscriminator)
    assert not isinstance(learner.nets.discriminator, BigganDiscriminator)
    needs = [Need.SAMPLER_LOGITS, Need.PROBABILITIES, Need.SYNTHESISED]
    found = learner.predict(pool, needs, Stream.root(2))
    assert found.get(Need.SAMPLER_LOGITS).shape == (12,)
    torch.testing.assert_close(found.get(Need.PROBABILITIES).sum(dim=1), torch.ones(12))
    assert found.get(Need.SYNTHESISED).shape == (3, 16)
    assert learner.gallery(pool.subset(pool.ids[:2]), 1, Stream.root(3)) is not None
    (first, _), (resumed, _) = started(spec), started(spec)
    first.step(0)
    resumed.load_state_dict(first.state_dict())
    resumed.step(1)
    one, other = learner.state_dict(), resumed.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_rotation_trains_the_critic_on_real_and_the_generator_on_its_own_images(one_step) -> None:
    generator = torch.Generator().manual_seed(0)
    pool = ImageSet.of(torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=generator))
    step = one_step(toy('learner.training.precision="float32"').learner, pool)
    reached = {}
    for phase in step.phases():
        weights = {term.name: (term.weight, term) for term in phase.terms}
        for name in {"rotation", "rotation of generated"} & set(weights):
            weight, term = weights[name]
            reached[name] = (weight, step.reached(term.compute()) & phase.trains)
    assert reached == {"rotation": (1.0, {Net.CRITIC}), "rotation of generated": (0.2, {Net.GENERATOR})}


@pytest.mark.parametrize("agreeing", [True, False])
@pytest.mark.parametrize(
    ("title", "threshold"),
    [
        ("pseudo-label", {"entropy": 10.0}),
        ("aral:pseudo-labels", {"confidence": 0.0}),
        ("aral:released:pseudo-labels", {"confidence": 0.0}),
    ],
)
def test_with_agreement_pseudo_labels_count_only_where_the_regression_says_the_same(
    monkeypatch: pytest.MonkeyPatch, title: str, threshold: dict[str, float], agreeing: bool
) -> None:
    """The regression always says what the network says, or never does."""

    def loss(agreement: bool) -> float:
        settings = tiny_settings(title, agreement=agreement, **threshold)
        data = planted_data()
        stream = Stream.root(4)
        learner = settings.build(Task(data.pool.shape, data.class_count, stream.child("learner")))
        ids = np.arange(9, dtype=np.int64)
        labelled = LabelledSet(data.pool.subset(ids), data.pool_classes[ids], data.class_count)
        learner.set_pool(data.pool, stream.child("pool"))
        learner.set_labels(labelled)
        learner.start_round(0, labelled, data.pool.without(ids), stream.child("round"))

        def said(self: Batch, images: torch.Tensor) -> torch.Tensor:
            found = eval_probabilities(learner.nets.discriminator, images).argmax(dim=1)  # type: ignore[attr-defined]
            return found if agreeing else found + 1

        monkeypatch.setattr(Batch, "linear_classes", said)
        return learner.step(0).values["classify pseudo-labelled"]

    assert loss(agreement=False) > 0
    assert loss(agreement=True) == (loss(agreement=False) if agreeing else 0)


def test_the_regression_of_a_round_is_that_of_its_labels() -> None:
    data = planted_data()
    stream = Stream.root(4)
    settings = tiny_settings("pseudo-label", agreement=True)
    learner = settings.build(Task(data.pool.shape, data.class_count, stream.child("learner")))
    ids = np.arange(20, dtype=np.int64)
    labelled = LabelledSet(data.pool.subset(ids), data.pool_classes[ids], data.class_count)
    learner.set_pool(data.pool, stream.child("pool"))
    learner.start_round(0, labelled, data.pool.without(ids), stream.child("round"))
    vectors = gather(labelled.images, labelled.images.ids, False).flatten(1)
    regression = LogisticRegression(C=1.0, max_iter=1000).fit(vectors.numpy(), labelled.classes)
    batch = Batch(learner._stages[0], 0, 0, torch.device("cpu"), None, None)  # type: ignore[attr-defined]
    others = gather(data.pool, data.pool.ids, False)
    found = batch.linear_classes(others)
    assert found.tolist() == regression.predict(others.flatten(1).numpy()).tolist()
