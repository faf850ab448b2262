"""What every family promises, at each scale."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

import aral.networks
from aral.errors import BadInput
from aral.networks import (
    AnyFamily,
    BigganDiscriminator,
    BigganFamily,
    CompactFamily,
    Conv32Family,
    Family,
    GaussianNoise,
    ImageShape,
    MlpFamily,
    PixelRange,
    ResnetFamily,
)
from aral.networks.parts import LOG_VARIANCE_BOUND

from .conftest import LATENT_SIZE, SMALL, Nets, build


@pytest.mark.parametrize("class_count", [0, 3])
def test_every_output_has_its_shape_type_and_range(scale: str, class_count: int) -> None:
    nets = build(scale, class_count)
    outputs = nets.outputs()
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {
        "mean": (4, LATENT_SIZE),
        "log_variance": (4, LATENT_SIZE),
        "generated": (4, *nets.image_shape),
        "features": (4, nets.discriminator.feature_size),
        "logits": (4, class_count),
        "realness": (4,),
        "labelled": (4,),
    }
    assert all(output.dtype == torch.float32 and output.isfinite().all() for output in outputs.values())
    assert outputs["log_variance"].abs().max() < LOG_VARIANCE_BOUND
    symmetric = nets.family.pixel_range is PixelRange.SYMMETRIC
    assert symmetric == (scale not in ("mlp", "compact", "features"))
    if nets.family.pixel_range is PixelRange.REAL:
        assert outputs["generated"].min() < 0 < outputs["generated"].max()
        return
    # About half of the pixels of an untrained generator lie on each side of the middle of the range.
    generated = outputs["generated"]
    assert -1 <= generated.min() < 0 < generated.max() <= 1 if symmetric else 0 <= generated.min() < 0.5
    assert symmetric or 0.5 < generated.max() <= 1


def test_outputs_are_float32_under_autocast(nets: Nets) -> None:
    exact = nets.outputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = nets.outputs()
        loss = torch.stack([output.square().mean() for output in outputs.values()]).sum()
    assert {output.dtype for output in outputs.values()} == {torch.float32}
    assert not torch.equal(exact["generated"], outputs["generated"])  # autocast was on
    torch.autograd.backward(loss)
    parameters = [p for module in nets.modules.values() for p in module.parameters()]
    assert all(p.grad is None or p.grad.isfinite().all() for p in parameters)


def _role_loss(name: str, nets: Nets) -> Tensor:
    """A scalar in which everything that the network says in its role takes part, with random weights."""
    outputs = nets.outputs()
    said = {
        "E": [outputs["mean"], outputs["log_variance"]],
        "G": [outputs["generated"]],
        "D": [outputs["logits"], outputs["realness"]],
        "S": [outputs["labelled"]],
    }[name]
    if name == "D" and isinstance(nets.discriminator, BigganDiscriminator):
        said.append(nets.discriminator.rotation(outputs["features"]))
    return torch.stack([(output * torch.randn_like(output)).sum() for output in said]).sum()


@pytest.mark.parametrize("name", ["E", "G", "D", "S"])
def test_gradient_reaches_every_parameter(nets: Nets, name: str) -> None:
    module = nets.modules[name]
    torch.autograd.backward(_role_loss(name, nets))
    sizes = {
        key: 0.0 if parameter.grad is None else float(parameter.grad.abs().max())
        for key, parameter in module.named_parameters()
    }
    assert sizes
    # A parameter that something later cancels (a bias before batch norm) would get rounding errors only.
    largest = max(sizes.values())
    assert {key: size for key, size in sizes.items() if size < 1e-5 * largest} == {}


def test_evaluation_is_deterministic(nets: Nets) -> None:
    nets.train(False)
    first, second = nets.outputs(), nets.outputs()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("scale", ["mlp", "conv32", "resnet"])
def test_training_mode_makes_the_discriminator_noisy(scale: str) -> None:
    nets = build(scale, class_count=3)
    first, second = nets.discriminator(nets.images), nets.discriminator(nets.images)
    assert (first - second).abs().max() > 1e-3


def test_an_image_is_evaluated_alike_whatever_its_neighbours(nets: Nets) -> None:
    nets.train(False)
    together = nets.outputs()
    for row in range(len(nets.images)):
        alone = nets.outputs(slice(row, row + 1))
        for name, output in alone.items():
            torch.testing.assert_close(output[0], together[name][row], rtol=1e-4, atol=1e-5)


def test_different_images_classes_and_latents_are_told_apart(nets: Nets) -> None:
    nets.train(False)
    outputs = nets.outputs()
    for output in outputs.values():
        assert (output[0] - output[1]).abs().max() > 1e-4
    other_classes = nets.class_probs.flip(1)
    features = outputs["features"]
    changed = {
        "mean": nets.encoder(nets.images, other_classes)[0],
        "generated": nets.generator(nets.latents, other_classes),
        "realness": nets.discriminator.realness(features, nets.latents, other_classes),
    }
    for name, output in changed.items():
        assert (output - outputs[name]).abs().max() > 1e-4


def test_weights_can_be_written_as_safetensors(nets: Nets) -> None:
    for module in nets.modules.values():
        assert all(tensor.is_contiguous() for tensor in module.state_dict().values())


@pytest.mark.parametrize(
    ("scale", "noises", "dropouts", "norms"),
    [
        ("mlp", 3, 0, 0),
        ("compact", 0, 0, 3),
        ("conv32", 1, 3, 0),
        ("resnet", 0, 4, 0),
        ("biggan", 0, 4, 0),
        ("features", 3, 0, 0),
    ],
)
def test_monte_carlo_passes_find_their_modules(scale: str, noises: int, dropouts: int, norms: int) -> None:
    """Batch norm is in one discriminator only, and no Monte-Carlo pass may wake it up."""
    modules = list(build(scale, 3).discriminator.modules())
    assert sum(isinstance(module, GaussianNoise) for module in modules) == noises
    assert sum(isinstance(module, nn.Dropout) for module in modules) == dropouts
    assert sum(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in modules) == norms


@pytest.mark.parametrize(
    ("family", "image_shape", "accepted", "instead"),
    [
        (CompactFamily(), (1, 7, 8), "from 8 pixels up", "mlp"),
        (CompactFamily(), (3, 28, 7), "from 8 pixels up", "mlp"),
        (CompactFamily(widths=(2, 2, 2, 2, 2)), (1, 15, 16), "from 16 pixels up", "mlp"),
        (Conv32Family(), (3, 8, 8), "from 9 pixels up", "mlp"),
        (Conv32Family(), (3, 32, 8), "from 9 pixels up", "mlp"),
        (ResnetFamily(), (3, 28, 28), "multiples of 16, from 32 up", "conv32"),
        (ResnetFamily(), (3, 16, 16), "multiples of 16, from 32 up", "conv32"),
        (ResnetFamily(), (3, 64, 40), "multiples of 16, from 32 up", "conv32"),
        (BigganFamily(), (3, 32, 64), "power of two, from 32 up", "conv32"),
        (BigganFamily(), (3, 48, 48), "power of two, from 32 up", "conv32"),
        (BigganFamily(), (3, 16, 16), "power of two, from 32 up", "mlp"),
    ],
)
@pytest.mark.parametrize("network", ["encoder", "generator", "discriminator"])
def test_a_shape_that_does_not_fit_is_refused(
    family: Family, image_shape: ImageShape, accepted: str, instead: str, network: str
) -> None:
    factories = {
        "encoder": family.encoder,
        "generator": family.generator,
        "discriminator": family.discriminator,
    }
    with pytest.raises(BadInput) as refusal:
        factories[network](image_shape, 2, 4)
    assert f"{image_shape[1]}×{image_shape[2]}" in refusal.value.problem
    assert accepted in refusal.value.problem
    assert f"'{instead}'" in refusal.value.hint


@pytest.mark.parametrize("scale", list(SMALL))
def test_a_family_survives_json_and_is_told_by_its_scale(scale: str) -> None:
    family, _ = SMALL[scale]
    adapter: TypeAdapter[AnyFamily] = TypeAdapter(AnyFamily)
    assert adapter.validate_json(family.model_dump_json()) == family
    with pytest.raises(ValidationError, match="Extra inputs"):
        adapter.validate_python({"scale": scale, "colour": 3})


def test_an_unknown_scale_and_impossible_sizes_are_refused() -> None:
    adapter: TypeAdapter[AnyFamily] = TypeAdapter(AnyFamily)
    with pytest.raises(ValidationError, match="'mlp', 'compact', 'conv32', 'resnet', 'biggan'"):
        adapter.validate_python({"scale": "vgg"})
    with pytest.raises(ValidationError):
        MlpFamily(discriminator_sizes=())
    with pytest.raises(ValidationError):
        ResnetFamily(block_dropout=1.0)
    with pytest.raises(ValidationError):
        Conv32Family(discriminator_width=0)
    with pytest.raises(ValidationError):
        CompactFamily(depth=0)


def test_every_public_name_exists() -> None:
    assert all(hasattr(aral.networks, name) for name in aral.networks.__all__)
    assert aral.networks.__all__ == sorted(aral.networks.__all__)
