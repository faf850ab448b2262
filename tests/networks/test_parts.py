"""The parts of the networks, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from aral.networks import BigganFamily, ClusterHeads, CompactFamily, GaussianNoise, RealnessHead
from aral.networks.layers import (
    ChannelsLast,
    append_class_maps,
    fixed_statistics,
    he_initialised,
    one_draw,
    own_statistics,
    spectrally_normalised,
    statistics_of,
    stochastic_layers,
    weight_normalised,
)
from aral.networks.parts import LOG_VARIANCE_BOUND, TrunkDiscriminator, bounded_gaussian
from aral.networks.residual import ConditionalBatchNorm, ResidualDown, SelfAttention
from aral.randomness import Stream


def set_weight(module: nn.Module, rows: list[list[float]]) -> None:
    assert isinstance(module, nn.Linear)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(rows))


def hand_set_head() -> RealnessHead:
    """F = 2, Z = 1, K = 2 and one hidden unit."""
    head = RealnessHead(feature_size=2, latent_size=1, class_count=2, hidden_size=1)
    set_weight(head.direction, [[1.0, -1.0]])
    nn.init.constant_(head.direction.bias, 0.5)
    set_weight(head.class_embedding, [[1.0, 0.0], [0.0, 2.0]])  # e: class 0 -> (1, 0), class 1 -> (0, 2)
    set_weight(head.latent_embedding, [[3.0], [-1.0]])  # A
    set_weight(head.hidden, [[1.0, 2.0, -1.0]])
    nn.init.zeros_(head.hidden.bias)
    set_weight(head.output, [[10.0]])
    return head


def test_realness_by_hand() -> None:
    features = torch.tensor([[1.0, 2.0], [-1.0, 3.0]])
    latents = torch.tensor([[0.5], [-2.0]])
    class_probs = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    #        w·f + b       ⟨e(y), f⟩    ⟨A z, f⟩     10·leaky(z + 2y₀ - y₁)
    first = (1 - 2 + 0.5) + 1.0 + 0.5 * (3 - 2) + 10 * 2.5
    second = (-1 - 3 + 0.5) + (-0.25 + 4.5) + (6 + 6) + 10 * 0.2 * (-2 + 0.5 - 0.75)
    realness = hand_set_head()(features, latents, class_probs)
    torch.testing.assert_close(realness, torch.tensor([first, second]))
    torch.testing.assert_close(realness, torch.tensor([26.0, 8.25]))


def test_realness_judges_the_pairing_and_only_by_the_bilinear_term() -> None:
    head = RealnessHead(feature_size=5, latent_size=3, class_count=2)
    features, latents = torch.randn(2, 5), torch.randn(2, 3)
    class_probs = torch.tensor([[0.0, 1.0], [0.0, 1.0]])  # of one class, so that classes do not matter

    def gain_of_pairing() -> Tensor:
        return (head(features, latents, class_probs) - head(features, latents.flip(0), class_probs)).sum()

    bilinear = head.latent_embedding
    assert isinstance(bilinear, nn.Linear)
    expected = (features[0] - features[1]) @ bilinear.weight @ (latents[0] - latents[1])
    assert expected.abs() > 0.01
    torch.testing.assert_close(gain_of_pairing(), expected, rtol=1e-4, atol=1e-5)
    nn.init.zeros_(bilinear.weight)
    torch.testing.assert_close(gain_of_pairing(), torch.tensor(0.0), rtol=0, atol=1e-5)


def test_inner_products_of_a_new_head_have_the_mean_square_of_the_features_as_variance() -> None:
    head = RealnessHead(feature_size=400, latent_size=100, class_count=300)
    features = torch.full((1, 400), 2.0)  # mean square 4
    latent_terms = features @ head.latent_embedding(torch.randn(2000, 100)).T
    class_terms = features @ head.class_embedding(torch.eye(300)).T
    # The first std is random as well, through one draw of A: its relative error is about 1/√(2·100).
    assert latent_terms.std().item() == pytest.approx(2, rel=0.25)
    assert class_terms.std().item() == pytest.approx(2, rel=0.25)


def test_noise_acts_in_training_only() -> None:
    noise, zeros = GaussianNoise(0.5), torch.zeros(200, 200)
    noisy = noise(zeros)
    assert float(noisy.std()) == pytest.approx(0.5, rel=0.02)
    assert abs(float(noisy.mean())) < 0.02
    assert not torch.equal(noisy, noise(zeros))
    noise.eval()
    assert noise(zeros) is zeros
    assert GaussianNoise(0.0)(zeros) is zeros


def test_class_maps_are_constant_and_follow_the_image() -> None:
    images = torch.randn(2, 3, 4, 5)
    maps = append_class_maps(images, torch.tensor([[0.2, 0.8], [1.0, 0.0]]))
    assert maps.shape == (2, 5, 4, 5)
    assert torch.equal(maps[:, :3], images)
    for image, channel, value in ((0, 3, 0.2), (0, 4, 0.8), (1, 3, 1.0), (1, 4, 0.0)):
        assert torch.equal(maps[image, channel], torch.full((4, 5), value))
    assert torch.equal(append_class_maps(images, torch.empty(2, 0)), images)


def test_log_variance_is_softly_bounded() -> None:
    raw = torch.tensor([[7.0, -1.0, 1.0, 1e6]], requires_grad=True)
    mean, log_variance = bounded_gaussian(raw)
    assert mean.tolist() == [[7.0, -1.0]]
    assert log_variance[0, 0].item() == pytest.approx(10 * math.tanh(0.1), rel=1e-6)
    assert log_variance[0, 0].item() == pytest.approx(1, abs=0.004)
    assert log_variance[0, 1].item() == LOG_VARIANCE_BOUND
    torch.autograd.backward(log_variance.exp().sum())
    assert raw.grad is not None and raw.grad.isfinite().all()
    far = bounded_gaussian(torch.tensor([[1e30, -1e30]], dtype=torch.bfloat16))
    assert far[0].dtype == far[1].dtype == torch.float32
    assert far[1].item() == -LOG_VARIANCE_BOUND


def test_conditional_batch_norm_by_hand() -> None:
    norm = ConditionalBatchNorm(channels=1, condition_size=2)
    set_weight(norm.from_condition, [[0.5, -0.5], [10.0, 20.0]])  # row 0: gains, row 1: biases
    maps = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)  # normalised over the batch: -1 and 1
    condition = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    output = norm(maps, condition).flatten()
    torch.testing.assert_close(output, torch.tensor([-1.5 + 10, 0.5 + 20]), rtol=1e-4, atol=1e-4)


def test_a_soft_class_gets_the_mixture_of_gains_and_biases() -> None:
    norm = ConditionalBatchNorm(channels=4, condition_size=3)
    nn.init.normal_(norm.from_condition.get_parameter("weight"))
    norm.eval()
    maps = torch.randn(1, 4, 5, 5)
    first, second, mixed = (
        norm(maps, torch.tensor([row])) for row in ([1.0, 0, 0], [0, 0, 1.0], [0.25, 0, 0.75])
    )
    assert (first - second).abs().max() > 0.5
    torch.testing.assert_close(mixed, 0.25 * first + 0.75 * second)


def test_without_a_condition_it_is_batch_norm() -> None:
    conditional, plain = ConditionalBatchNorm(3, 0), nn.BatchNorm2d(3)
    maps = torch.randn(5, 3, 4, 4)
    torch.testing.assert_close(conditional(maps, torch.empty(5, 0)), plain(maps))
    conditional.eval()
    plain.eval()
    torch.testing.assert_close(conditional(maps, torch.empty(5, 0)), plain(maps))


def test_biggan_moves_smoothly_from_class_to_class() -> None:
    family = BigganFamily(channels=8, generator_embedding_size=8)
    generator = family.generator((3, 32, 32), 2, 4)
    with torch.no_grad():
        for _ in range(5):
            generator(torch.randn(8, 4), torch.eye(2).repeat(4, 1))
        generator.eval()
        share = torch.linspace(0, 1, 21)[:, None]
        images = generator(torch.randn(1, 4).expand(21, 4), torch.cat([share, 1 - share], dim=1))
    whole = (images[0] - images[-1]).norm()
    steps = (images[1:] - images[:-1]).flatten(1).norm(dim=1)
    assert whole > 0.1
    assert steps.max() < whole / 4  # no jump: 20 equal steps would be whole / 20 each


def test_attention_by_hand() -> None:
    attention = SelfAttention(channels=1)
    maps = torch.randn(2, 1, 4, 4)
    assert torch.equal(attention(maps), maps)  # its share starts at 0
    for layer, value in ((attention.query, 0.0), (attention.value, 1.0), (attention.output, 3.0)):
        nn.init.constant_(layer.weight, value)
    nn.init.constant_(attention.share, 0.5)
    # With zero queries every position gathers the plain mean of the four pooled values.
    pooled = torch.stack(
        [maps[:, 0, r : r + 2, c : c + 2].amax((1, 2)) for r in (0, 2) for c in (0, 2)], dim=1
    )
    expected = maps + 0.5 * 3 * pooled.mean(1)[:, None, None, None]
    torch.testing.assert_close(attention(maps), expected)


def test_a_residual_block_is_its_shortcut_when_the_branch_is_silent() -> None:
    block = ResidualDown(2, 2, activation=nn.ReLU())
    last = block.branch[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    maps = torch.randn(1, 2, 4, 4)
    expected = torch.stack([maps[..., r::2, c::2] for r in (0, 1) for c in (0, 1)]).mean(0)
    torch.testing.assert_close(block(maps), expected)


def test_weight_norm_keeps_the_function_and_he_weights_keep_the_signal() -> None:
    layers = [part for _ in range(6) for part in (nn.Linear(300, 300), nn.ReLU())]
    network = he_initialised(nn.Sequential(*layers), negative_slope=0.0)
    inputs = torch.randn(50, 300)
    before = network(inputs)
    assert 0.5 < before.square().mean().item() < 2  # the mean square of the inputs is 1
    torch.testing.assert_close(weight_normalised(network)(inputs), before, rtol=1e-3, atol=1e-4)
    names = [name for name, _ in network.named_parameters()]
    assert sum(name.endswith("original0") for name in names) == 6


def test_spectral_norm_brings_the_largest_singular_value_to_one() -> None:
    layer = nn.Linear(7, 5)
    nn.init.normal_(layer.weight, std=3)
    spectrally_normalised(layer)
    for _ in range(50):
        layer(torch.zeros(1, 7))
    assert torch.linalg.matrix_norm(layer.weight, ord=2).item() == pytest.approx(1, rel=1e-3)


def test_the_rotation_head_reads_the_shared_features() -> None:
    discriminator = BigganFamily(channels=4).discriminator((3, 32, 32), 2, 4)
    images = torch.randn(3, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = discriminator.rotation(discriminator.features(images))
    assert logits.shape == (3, 4)
    assert logits.dtype == torch.float32


def test_heads_of_a_partition_by_hand() -> None:
    """Two features, heads of one and of two groups: the rows of one layer, in order."""
    partition = ClusterHeads(2, (1, 2))
    set_weight(partition.layer, [[1.0, 2.0], [0.0, 3.0], [-1.0, 0.0]])
    with torch.no_grad():
        partition.layer.bias.copy_(torch.tensor([0.0, 10.0, 20.0]))
    first, second = partition(torch.tensor([[1.0, 1.0], [2.0, 0.0]]))
    assert first.tolist() == [[3.0], [2.0]]
    assert second.tolist() == [[13.0, 19.0], [10.0, 18.0]]


def test_heads_of_a_partition_are_as_many_as_asked_for_and_float32() -> None:
    partition = ClusterHeads(5, (3, 9, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        heads = partition(torch.randn(7, 5))
    assert [tuple(head.shape) for head in heads] == [(7, 3), (7, 9), (7, 4)]
    assert {head.dtype for head in heads} == {torch.float32}
    (only,) = ClusterHeads(5, (3,))(torch.randn(7, 5))
    assert only.shape == (7, 3)


def statistics(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.named_buffers()}


def test_fixed_statistics_are_used_and_kept_while_gradient_flows() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.BatchNorm2d(2))
    network[3].eval()  # one that is in evaluation anyway
    images = 4 + torch.randn(6, 1, 5, 5)
    for _ in range(3):
        network(images)
    before = statistics(network)
    with fixed_statistics(network):
        assert not network[1].training and network[0].training and network[2].training
        kept = network(images)
    assert [layer.training for layer in network] == [True, True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in statistics(network).items())
    (gradient,) = torch.autograd.grad(kept.square().sum(), network[0].weight)
    assert gradient.abs().min() > 0
    network(images)
    changed = {name for name, value in statistics(network).items() if not torch.equal(value, before[name])}
    assert changed == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_with_fixed_statistics_an_image_is_seen_as_in_evaluation() -> None:
    """Its neighbours in the batch do not matter, and training mode comes back even after an error."""
    discriminator = CompactFamily(widths=(4, 6)).discriminator((1, 9, 9), 3, 2)
    images = torch.rand(6, 1, 9, 9)
    for _ in range(3):
        discriminator.features(images)
    with fixed_statistics(discriminator):
        together = discriminator.features(images)
        alone = discriminator.features(images[:1])
    torch.testing.assert_close(alone[0], together[0])
    torch.testing.assert_close(discriminator.eval().features(images), together)
    assert not torch.allclose(discriminator.train().features(images), together, atol=1e-3)
    with pytest.raises(RuntimeError), fixed_statistics(discriminator):
        discriminator.features(torch.rand(1, 2, 9, 9))
    assert all(module.training for module in discriminator.modules())
    with fixed_statistics(discriminator.eval()):
        pass
    assert not any(module.training for module in discriminator.modules())


def test_own_statistics_are_of_the_batch_and_remembered_while_dropout_stays_off() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.BatchNorm2d(2)).eval()
    network[3].train()  # one that is in training anyway
    images = 4 + torch.randn(6, 1, 5, 5)
    with own_statistics(network):
        found = network(images)
    assert [layer.training for layer in network] == [False, False, False, True]
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    assert torch.equal(network[1].num_batches_tracked, torch.tensor(1))
    with pytest.raises(RuntimeError), own_statistics(network):
        network(torch.rand(1, 2, 9, 9))
    assert not network[1].training
    assert statistics_of(network) == {
        f"{layer}.{name}"
        for layer in (1, 3)
        for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert statistics_of(network[1]) == {"running_mean", "running_var", "num_batches_tracked"}


@pytest.mark.parametrize("channels", [1, 3])
def test_what_a_convolution_makes_of_maps_in_channels_last_order_is_in_that_order(channels: int) -> None:
    """A grey image lies in both orders at once; only the stride of its one channel tells a convolution which."""
    maps = torch.rand(2, channels, 6, 5)
    convolution = nn.Conv2d(channels, 4, 3, padding=1)
    plain, reordered = convolution(maps), convolution(ChannelsLast()(maps))
    assert torch.equal(ChannelsLast()(maps), maps)
    assert reordered.is_contiguous(memory_format=torch.channels_last)
    assert not plain.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(reordered, plain)


def test_gradient_passes_through_the_order_of_channels() -> None:
    maps = torch.rand(2, 1, 3, 3, requires_grad=True)
    weights = torch.rand(2, 1, 3, 3)
    (ChannelsLast()(maps) * weights).sum().backward()
    assert maps.grad is not None
    torch.testing.assert_close(maps.grad, weights)


# Draws of a network

MAPS = torch.ones(4, 3, 5, 5)


@pytest.mark.parametrize("layer", [nn.Dropout(0.4), nn.Dropout2d(0.4), GaussianNoise(0.7)], ids=str)
def test_a_draw_is_one_mask_for_all_images_and_the_same_each_time(layer: nn.Module) -> None:
    layer.eval()
    with one_draw(layer, Stream.root(0)):
        found = layer(MAPS)
        assert torch.equal(found, layer(MAPS)) and torch.equal(found[:1], layer(MAPS[:1]))
    assert (found == found[:1]).all(), "all images are alike, so are the results"
    assert not torch.equal(found, MAPS)
    with one_draw(layer, Stream.root(1)):
        assert not torch.equal(found, layer(MAPS))
    assert torch.equal(layer(MAPS), MAPS), "after the block it is the identity again"


def test_values_of_a_draw() -> None:
    """Dropped values are 0, others 1 / (1 − rate); Dropout2d drops channels; noise has its standard deviation."""
    many = torch.ones(1, 400, 10, 10)
    values, channels, noise = nn.Dropout(0.25).eval(), nn.Dropout2d(0.25).eval(), GaussianNoise(0.5).eval()
    with (
        one_draw(values, Stream.root(0)),
        one_draw(channels, Stream.root(0)),
        one_draw(noise, Stream.root(0)),
    ):
        for layer in (values, channels):
            assert layer(many).unique().tolist() == pytest.approx([0.0, 4 / 3])
        assert (values(many) == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
        dropped = (channels(many) == 0).flatten(2)
        assert (dropped.all(dim=2) | ~dropped.any(dim=2)).all()
        assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.08)
        assert (noise(many) - many).std().item() == pytest.approx(0.5, abs=0.01)


def test_layers_of_a_network_have_draws_of_their_own() -> None:
    network = nn.Sequential(
        nn.Dropout(0.5), nn.Identity(), nn.Dropout(0.5), nn.Dropout(0.0), GaussianNoise(0.0)
    )
    assert list(stochastic_layers(network)) == ["0", "2"]
    network.eval()
    with one_draw(network, Stream.root(0)):
        kept = network(MAPS).ne(0).float().mean().item()
    assert 0.05 < kept < 0.45, "with one mask for both layers half of the values would be kept"


@pytest.mark.parametrize("normalised", [False, True])
def test_divided_logits_are_the_logits_divided(normalised: bool) -> None:
    head = nn.Linear(3, 4)
    discriminator = TrunkDiscriminator(
        nn.Flatten(), 3, weight_normalised(head) if normalised else head, RealnessHead(3, 2, 4)
    )
    images = torch.randn(5, 3, 1, 1)
    before = discriminator(images)
    discriminator.divide_logits(2.5)
    torch.testing.assert_close(discriminator(images), before / 2.5)
    torch.autograd.backward(discriminator(images).sum())
    assert all(p.grad is not None for p in discriminator.class_layer.parameters()), "it can still be trained"
