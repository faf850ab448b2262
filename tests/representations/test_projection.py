import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler, normalize
from threadpoolctl import threadpool_limits

from aral.randomness import Stream
from aral.representations import FeaturePart, Projection, fit_projection, project


def features(count: int = 60, size: int = 20) -> np.ndarray:
    numpy = Stream.root(3).numpy()
    mixed = numpy.normal(size=(count, size)) @ numpy.normal(size=(size, size))
    return (mixed + 4.0).astype(np.float32)


@pytest.mark.parametrize("count", [60, 15])
def test_leading_components_of_unit_vectors_with_unit_variance_on_average(count: int) -> None:
    """Of more images than features, and of fewer."""
    pool = features(count)
    projection = fit_projection(pool, 5)
    found = project(projection, pool)[:, :, 0, 0].numpy()
    expected = PCA(5, svd_solver="full").fit_transform(normalize(pool))
    expected /= np.sqrt(expected.var(axis=0).mean())
    signs = np.sign((found * expected).sum(axis=0))
    assert found.shape == (count, 5) and np.allclose(found, expected * signs, atol=1e-3)
    assert found.var(axis=0).mean() == pytest.approx(1, abs=1e-4) and np.allclose(
        found.mean(axis=0), 0, atol=1e-4
    )


def test_new_images_are_projected_as_the_pool_was() -> None:
    pool = features()
    projection = fit_projection(pool[:50], 5)
    kept = Projection.of_state(projection.state())
    assert torch.allclose(
        kept(torch.from_numpy(pool[50:])), project(projection, pool[50:])[:, :, 0, 0], atol=1e-5
    )
    # The length of a vector does not matter: brighter and darker copies are equal.
    assert torch.allclose(project(projection, pool), project(projection, pool * 3), atol=1e-4)


def test_without_components_all_features_are_standardised() -> None:
    pool = features()
    pool[:, 4] = 2.5
    found = project(fit_projection(pool, 0), pool)[:, :, 0, 0].numpy()
    assert np.allclose(found, StandardScaler().fit_transform(pool.astype(np.float64)), atol=1e-4)


def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    pool = features(300, 80)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(project(fit_projection(pool, 16), pool))
    assert torch.equal(*found)


@pytest.mark.parametrize(
    "pool", [features(1), features(2), np.ones((5, 20), np.float32), np.zeros((5, 20), np.float32)]
)
def test_few_or_equal_images_give_finite_numbers(pool: np.ndarray) -> None:
    found = project(fit_projection(pool, 128), pool)
    assert bool(found.isfinite().all()) and found.shape[0] == len(pool) and found.shape[1] >= 1


def test_parts_of_features_are_normalised_reduced_and_weighted_apart() -> None:
    pool = np.concatenate([features(), 50 * features(60, 8)[::-1]], 1)
    parts = (FeaturePart(20), FeaturePart(8, 0.5))
    projection = fit_projection(pool, 5, parts)
    found = project(projection, pool)[:, :, 0, 0]
    apart = [fit_projection(np.ascontiguousarray(each), 5) for each in (pool[:, :20], pool[:, 20:])]
    first, second = (
        project(each, np.ascontiguousarray(rows))[:, :, 0, 0]
        for each, rows in zip(apart, (pool[:, :20], pool[:, 20:]), strict=True)
    )
    assert torch.allclose(found, torch.cat([first, 0.5 * second], 1), atol=1e-5)
    kept = Projection.of_state(projection.state())
    assert kept.parts == (20, 8)
    for map_ in (kept, kept.module()):
        assert torch.allclose(map_(torch.from_numpy(pool)).reshape(60, 10), found, atol=1e-5)
    assert fit_projection(pool, 0, parts).matrix.shape == (28, 28)
