"""The weights of AoBG and DDCG on functions whose smoothed gradient is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.learning.composite import (
  bernstein_radius,
  confident_weight,
  looks_smooth,
  smooth_weight,
  smoothed_samples,
)
from gippo_jax.learning.mixers import total_variance

STD = 0.1


def samples_of(function, center, number, batches=1):
  """`batches` draws of `number` samples each, around a point of `len(center)` dimensions."""
  center = jnp.asarray(center)
  noise = jax.random.normal(jax.random.key(0), (batches, number, len(center)))
  return jax.jit(jax.vmap(lambda noise: smoothed_samples(function, center, STD, noise)))(noise)


def variance_of(samples):
  return jax.vmap(lambda batch: total_variance(batch, jnp.ones(batch.shape[0], bool)))(samples)


def ddcg(samples, slack=0.3):
  """Decision and weight of every batch."""
  variance, second = variance_of(samples.first), variance_of(samples.second)
  squared = jnp.sum(jnp.mean(samples.first, axis=1) ** 2, axis=-1)
  is_smooth = looks_smooth(variance, squared, jnp.var(samples.value, axis=1, ddof=1), STD, slack)
  return is_smooth, smooth_weight(variance, second, is_smooth)


def step(x):
  return (x[0] > 0.0).astype(x.dtype)


def test_of_a_linear_function_the_first_order_is_exact_and_the_zeroth_has_d_plus_one_times_its_square():
  slope = jnp.array([1.0, -2.0, 0.5])
  samples = samples_of(lambda x: x @ slope, [0.3, 0.1, -0.2], 20_000)
  assert variance_of(samples.first)[0] == pytest.approx(0.0, abs=1e-20)
  np.testing.assert_allclose(variance_of(samples.second)[0], 4.0 * jnp.sum(slope**2), rtol=0.03)
  weight = confident_weight(variance_of(samples.first), variance_of(samples.second), jnp.ones(1), jnp.zeros(1), 2.0)
  np.testing.assert_allclose(weight, 1.0)


def test_a_jump_has_no_derivative_and_a_zeroth_order_that_knows_it():
  """`E g_0` is the normal density over the deviation, and the variance at the jump `(1/2 - 1/(2 pi)) / s^2`."""
  for center in (0.0, 0.07):
    samples = samples_of(step, [center], 200_000)
    assert np.all(np.asarray(samples.first) == 0.0)
    found = np.asarray(samples.second)[0, :, 0]
    expected = np.exp(-(center**2) / (2 * STD**2)) / (STD * np.sqrt(2 * np.pi))
    assert abs(found.mean() - expected) < 4.0 * found.std() / np.sqrt(len(found))
    if center == 0.0:
      np.testing.assert_allclose(found.var(), (0.5 - 1 / (2 * np.pi)) / STD**2, rtol=0.02)


def test_a_steep_ramp_has_the_variance_of_its_hits():
  """Unit step of width nu: `p (1 - p) / nu^2` with p the share of draws on it; all of few draws may miss it."""
  width, number, batches = 0.02, 20, 4000
  samples = samples_of(lambda x: jnp.clip(x[0] / width + 0.5, 0.0, 1.0), [0.0], number, batches)
  hit = 2 * 0.0398278  # P(|N(0, 1)| < 0.1)
  np.testing.assert_allclose(np.var(samples.first), hit * (1 - hit) / width**2, rtol=0.03)
  missed = np.mean(np.all(np.asarray(samples.first) == 0.0, axis=(1, 2)))
  assert missed == pytest.approx((1 - hit) ** number, abs=0.025)


@pytest.mark.parametrize(("distance", "radius", "tolerance"), [(3.0, 0.2, 1.0), (0.5, 0.2, 1.0), (2.0, 1.5, 1.0)])
def test_aobgs_weight_is_the_best_of_a_grid(distance, radius, tolerance):
  first, second = 0.7, 2.0
  grid = np.linspace(0.0, 1.0, 100_001)
  allowed = radius + grid * distance <= tolerance
  loss = np.where(allowed, grid**2 * first + (1 - grid) ** 2 * second, np.inf)
  expected = grid[np.argmin(loss)] if allowed.any() else 0.0
  weight = confident_weight(*map(jnp.asarray, (first, second, distance, radius)), tolerance)
  np.testing.assert_allclose(weight, expected, atol=1e-5)


def test_aobg_without_a_limit_weighs_by_inverse_variance():
  weight = confident_weight(*map(jnp.asarray, (0.7, 2.0, 30.0, 5.0)), jnp.inf)
  np.testing.assert_allclose(weight, 2.0 / 2.7)
  assert confident_weight(*map(jnp.asarray, (0.7, 2.0, 0.0, 0.0)), 0.0) == pytest.approx(2.0 / 2.7)


def test_the_radius_falls_with_the_root_of_the_number_and_counts_the_failures():
  """Broken by the sum of the squares in the place of their mean, and by a probability of success."""
  variance, largest = jnp.asarray(4.0), jnp.asarray(0.0)
  radii = [float(bernstein_radius(variance, largest, 1, number, 0.05)) for number in (100, 400)]
  np.testing.assert_allclose(radii[0] / radii[1], 2.0)
  np.testing.assert_allclose(radii[0], np.sqrt(2 * 4.0 * np.log(2 / 0.05) / 100))
  assert bernstein_radius(variance, largest, 1, 100, 0.95) < radii[0]
  with_bound = bernstein_radius(variance, jnp.asarray(3.0), 1, 100, 0.05)
  np.testing.assert_allclose(with_bound - radii[0], 2 * 3.0 * np.log(40) / 300)


def test_the_radius_covers_the_error_of_the_zeroth_order():
  samples = samples_of(step, [0.0], 100, batches=4000)
  found = np.asarray(samples.second)[..., 0]
  error = np.abs(found.mean(axis=1) - 1 / (STD * np.sqrt(2 * np.pi)))
  radius = bernstein_radius(variance_of(samples.second), jnp.max(jnp.abs(samples.second), axis=(1, 2)), 1, 100, 0.05)
  assert np.mean(error > radius) <= 0.05


def test_ddcgs_two_sides_are_equal_for_a_quadratic():
  """`V = s^2 |C|_F^2 = 2 Var f / s^2 - 2 |g|^2`."""
  matrix = np.random.default_rng(0).normal(size=(5, 5))
  matrix = jnp.asarray(matrix + matrix.T)
  samples = samples_of(lambda x: 0.5 * x @ matrix @ x, np.full(5, 0.02), 300_000)
  left = variance_of(samples.first)[0]
  squared = jnp.sum(jnp.mean(samples.first, axis=(0, 1)) ** 2)
  np.testing.assert_allclose(left, STD**2 * jnp.sum(matrix**2), rtol=0.01)
  np.testing.assert_allclose(2 * jnp.var(samples.value) / STD**2 - 2 * squared, left, rtol=0.02)


@pytest.mark.parametrize("function", [lambda x: jnp.sin(30 * x[0]), lambda x: jnp.tanh(80 * x[0]), jax.nn.relu])
def test_what_has_a_derivative_passes_without_slack(function):
  samples = samples_of(lambda x: jnp.sum(function(x)), [0.02], 100_000)
  assert ddcg(samples, slack=0.0)[0][0]


def test_a_jump_passes_with_no_slack_whatever():
  for slack in (0.0, 0.3, 0.9):
    is_smooth, weight = ddcg(samples_of(step, [0.0], 50, batches=200), slack)
    assert not np.any(is_smooth)
    assert np.all(np.asarray(weight) == 0.0)


@pytest.mark.parametrize(("number", "share"), [(10, 0.83), (50, 0.97)])
def test_a_linear_function_passes_as_often_as_its_variance_is_measured_well(number, share):
  is_smooth, weight = ddcg(samples_of(lambda x: 3.0 * x[0], [0.4], number, batches=4000))
  assert np.mean(is_smooth) == pytest.approx(share, abs=0.02)
  np.testing.assert_allclose(np.asarray(weight)[np.asarray(is_smooth)], 1.0)


def ramp(width):
  return lambda x: jnp.clip(x[0] / (width * STD) + 0.5, 0.0, 1.0)


@pytest.mark.parametrize(
  ("function", "number", "share"),
  [
    *((lambda x: x[0] ** 2, number, share) for number, share in ((10, 0.92), (50, 0.91), (1000, 1.0))),
    *((ramp(0.01), number, share) for number, share in ((10, 0.04), (50, 0.19), (1000, 0.98))),
    *((ramp(0.1), number, share) for number, share in ((10, 0.33), (50, 0.86), (1000, 1.0))),
  ],
)
def test_the_test_reacts_to_what_a_batch_shows(function, number, share):
  """Quadratics, and ramps that a small batch misses; the shares were measured elsewhere."""
  is_smooth, _ = ddcg(samples_of(function, [0.0], number, batches=200_000 // max(number, 100)))
  assert np.mean(is_smooth) == pytest.approx(share, abs=0.035)


def test_ddcg_needs_no_unit_and_aobg_does():
  def function(x):
    return jnp.sin(20 * x[0]) + step(x)

  plain = samples_of(function, [0.02], 30, batches=300)
  scaled = samples_of(lambda x: 100.0 * function(x) + 7.0, [0.02], 30, batches=300)
  decisions, weights = zip(ddcg(plain), ddcg(scaled), strict=True)
  np.testing.assert_array_equal(*decisions)
  np.testing.assert_allclose(*weights, rtol=1e-6)
  assert 0.02 < np.mean(decisions[0]) < 0.98
  assert np.all((np.asarray(weights[0]) >= 0.0) & (np.asarray(weights[0]) <= 1.0))
