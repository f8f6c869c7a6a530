"""Running statistics: merging batches is the same as seeing them at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from gippo_jax.learning.normalization import RunningStatistics, init_statistics

INITIAL_COUNT = 1e-4
SIZE = 2


def statistics_at_once(samples):
  """Mean and variance of `samples` together with 1e-4 samples of mean 0 and variance 1."""
  count = INITIAL_COUNT + samples.shape[0]
  mean = np.sum(samples, axis=0) / count
  squares = INITIAL_COUNT * (1.0 + mean**2) + np.sum((samples - mean) ** 2, axis=0)
  return mean, squares / count, count


def merged(batches):
  statistics = init_statistics((SIZE,), "paper")
  for batch in batches:
    statistics = statistics.update(jnp.asarray(batch))
  return statistics


def batches_of(size):
  return hypothesis_numpy.arrays(np.float64, (size, SIZE), elements=st.floats(-50.0, 50.0))


def test_the_papers_start_is_a_ten_thousandth_of_a_standard_sample():
  statistics = init_statistics((3,), "paper")
  np.testing.assert_array_equal(statistics.mean, np.zeros(3))
  np.testing.assert_array_equal(statistics.variance, np.ones(3))
  assert statistics.count == INITIAL_COUNT
  assert init_statistics().mean.shape == ()


@settings(max_examples=25, deadline=None)
@given(first=batches_of(1), second=batches_of(4), third=batches_of(7))
def test_merged_batches_equal_all_samples_at_once(first, second, third):
  statistics = merged([first, second, third])
  mean, variance, count = statistics_at_once(np.concatenate([first, second, third]))
  np.testing.assert_allclose(statistics.mean, mean, rtol=1e-11, atol=1e-11)
  np.testing.assert_allclose(statistics.variance, variance, rtol=1e-10, atol=1e-10)
  np.testing.assert_allclose(statistics.count, count, rtol=1e-14)


@settings(max_examples=25, deadline=None)
@given(first=batches_of(4), second=batches_of(7))
def test_the_order_of_batches_does_not_matter(first, second):
  forwards, backwards = merged([first, second]), merged([second, first])
  np.testing.assert_allclose(forwards.mean, backwards.mean, rtol=1e-11, atol=1e-11)
  np.testing.assert_allclose(forwards.variance, backwards.variance, rtol=1e-10, atol=1e-10)


def test_variance_survives_a_large_mean():
  """The sum of squares less the square of the mean would keep three digits here."""
  samples = 1e6 + np.random.default_rng(0).normal(size=(200, SIZE))
  start = RunningStatistics(jnp.full((SIZE,), 1e6), jnp.ones(SIZE), jnp.asarray(1.0))
  statistics = start.update(jnp.asarray(samples[:50])).update(jnp.asarray(samples[50:]))
  mean = (1e6 + np.sum(samples, axis=0)) / 201.0
  variance = (1.0 + (1e6 - mean) ** 2 + np.sum((samples - mean) ** 2, axis=0)) / 201.0
  np.testing.assert_allclose(statistics.variance, variance, rtol=1e-8)


def test_scalar_statistics_take_flat_batches():
  samples = np.random.default_rng(1).normal(3.0, 2.0, size=40)
  statistics = init_statistics(prior="paper").update(jnp.asarray(samples))
  mean, variance, _ = statistics_at_once(samples)
  assert statistics.mean.shape == statistics.variance.shape == statistics.count.shape == ()
  np.testing.assert_allclose(statistics.mean, mean, rtol=1e-13)
  np.testing.assert_allclose(statistics.variance, variance, rtol=1e-12)


def test_normalize_by_hand():
  statistics = RunningStatistics(jnp.array([1.0, -2.0]), jnp.array([4.0, 0.0]), jnp.asarray(5.0))
  expected = [2.0 / np.sqrt(4.0 + 1e-5), 1.0 / np.sqrt(1e-5)]
  np.testing.assert_allclose(statistics.normalize(jnp.array([3.0, -1.0])), expected, rtol=1e-13)


@settings(max_examples=25, deadline=None)
@given(seen=batches_of(5), x=hypothesis_numpy.arrays(np.float64, (3, 4, SIZE), elements=st.floats(-50.0, 50.0)))
def test_denormalize_undoes_normalize_under_any_leading_axes(seen, x):
  statistics = merged([seen])
  normalized = statistics.normalize(jnp.asarray(x))
  np.testing.assert_allclose(statistics.denormalize(normalized), x, rtol=1e-9, atol=1e-9)
  np.testing.assert_allclose(normalized[1, 2], statistics.normalize(jnp.asarray(x[1, 2])), rtol=1e-13, atol=1e-13)


def test_many_normalized_samples_are_standard():
  samples = jax.random.normal(jax.random.key(0), (500, SIZE)) * 3.0 + 7.0
  normalized = merged([samples]).normalize(samples)
  np.testing.assert_allclose(np.mean(normalized, axis=0), 0.0, atol=1e-5)
  np.testing.assert_allclose(np.std(normalized, axis=0), 1.0, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mean", [0.0, 1e5, -1e6])
@pytest.mark.parametrize("size", [4, 64])
def test_samples_far_from_zero_are_normalised_to_unit_variance(dtype, mean, size):
  samples = (mean + np.random.default_rng(0).normal(size=(50, size, 2))).astype(dtype)
  with jax.enable_x64(dtype == np.float64):
    statistics = init_statistics((2,))
    for batch in samples:
      statistics = statistics.update(jnp.asarray(batch))
    normalized = np.asarray(statistics.normalize(jnp.asarray(samples[-1])), np.float64)
    everything = np.asarray(statistics.normalize(jnp.asarray(samples.reshape(-1, 2))), np.float64)
  assert statistics.mean.dtype == dtype
  assert normalized.shape == (size, 2)
  np.testing.assert_allclose(everything.std(axis=0), 1.0, rtol=0.05)
  # The mean is rounded to its type in each of the 50 merges.
  np.testing.assert_allclose(everything.mean(axis=0), 0.0, atol=max(1e-2, 50**0.5 * np.spacing(dtype(abs(mean)))))


def test_a_first_batch_without_spread_is_merged_like_any_other():
  """All episodes that start alike: the variance is 0 until the first sample that differs."""
  statistics = init_statistics((1,)).update(jnp.full((8, 1), 7.0))
  assert (statistics.mean[0], statistics.variance[0]) == (7.0, 0.0)
  np.testing.assert_array_equal(statistics.normalize(jnp.full((1,), 7.0)), 0.0)
  statistics = statistics.update(jnp.full((8, 1), 9.0))
  assert (statistics.mean[0], statistics.variance[0]) == (8.0, 1.0)
