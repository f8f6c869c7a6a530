"""The variance laboratory: closed forms against draws, their limits, and what they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gippo_jax.experiments.measurements import variance_models as models
from gippo_jax.experiments.measurements.variance_fitting import ESTIMATORS, ascend
from gippo_jax.experiments.measurements.variance_theory import Quadratic, gradients, measure, taylor, theory

SIZE = 5


def random_quadratic(seed=0, value=2.0):
  random = np.random.default_rng(seed)
  curvature = random.normal(size=(SIZE, SIZE))
  quadratic = Quadratic(jnp.asarray(value), jnp.asarray(random.normal(size=SIZE)), jnp.asarray(curvature + curvature.T))
  return quadratic, jnp.asarray(random.normal(size=SIZE)), jnp.asarray(np.exp(0.3 * random.normal(size=SIZE)))


def test_the_closed_forms_hold_over_a_million_draws():
  """Within 4.5 standard errors, which are a percent at most for the path and a few for the score's heavy tails."""
  quadratic, mean, std = random_quadratic()
  expected = theory(quadratic, std)
  noise = jax.random.normal(jax.random.key(0), (20, 50_000, SIZE))
  of_draw = jax.vmap(lambda noise: gradients(quadratic.integrand(mean), mean, std, noise))
  pathwise, score = jax.tree.map(np.asarray, jax.lax.map(of_draw, noise))
  for samples, reference, largest_error in ((pathwise, expected.pathwise, 0.005), (score, expected.score, 0.03)):
    for part in ("mean", "std"):
      variances = np.var(getattr(samples, part), axis=1) / np.asarray(getattr(reference, part))
      error = variances.std(axis=0) / np.sqrt(len(variances))
      assert np.all(error < largest_error)
      assert np.all(np.abs(variances.mean(axis=0) - 1.0) < 4.5 * error)
  # The best constant, by its closed form E[score^2 f] / E[score^2].
  scaled = np.asarray(std * jnp.diag(quadratic.curvature) * std)
  expectation = float(quadratic.value) + 0.5 * scaled.sum()
  noise, std = np.asarray(noise), np.asarray(std)
  for part, plain, constant in (
    ("mean", noise / std, expectation + scaled),
    ("std", (noise**2 - 1.0) / std, expectation + 2.0 * scaled),
  ):
    samples = getattr(score, part)
    left = np.var(samples - constant * plain, axis=1) / np.asarray(getattr(expected.controlled, part))
    empirical = np.mean(plain * samples, axis=1) / np.mean(plain**2, axis=1) / constant
    for ratio in (left, empirical):
      error = ratio.std(axis=0) / np.sqrt(len(ratio))
      assert np.all(np.abs(ratio.mean(axis=0) - 1.0) < 4.5 * error)
    assert np.all(np.abs(empirical.mean(axis=0) - 1.0) < 0.05)


def test_a_measurement_is_the_variance_of_its_draws():
  quadratic, mean, std = random_quadratic()
  found = measure(quadratic.integrand(mean), mean, std, jax.random.key(5), 2000, num_batches=2)
  noise = jnp.concatenate([jax.random.normal(key, (1000, SIZE)) for key in jax.random.split(jax.random.key(5), 2)])
  pathwise, score = jax.vmap(lambda noise: gradients(quadratic.integrand(mean), mean, std, noise))(noise)
  for part, plain in (("mean", noise / std[None]), ("std", (noise**2 - 1.0) / std[None])):
    samples, plain = np.asarray(getattr(score, part)), np.asarray(plain)
    np.testing.assert_allclose(getattr(found.pathwise, part), np.var(getattr(pathwise, part), axis=0), rtol=1e-9)
    np.testing.assert_allclose(getattr(found.score, part), np.var(samples, axis=0), rtol=1e-9)
    residuals = [np.polyfit(plain[:, i], samples[:, i], 1, full=True)[1][0] / len(plain) for i in range(SIZE)]
    np.testing.assert_allclose(getattr(found.controlled, part), residuals, rtol=1e-9)


def test_both_estimators_have_the_same_mean():
  quadratic, mean, std = random_quadratic()
  noise = jax.random.normal(jax.random.key(1), (400_000, SIZE))
  pathwise, score = jax.vmap(lambda noise: gradients(quadratic.integrand(mean), mean, std, noise))(noise)
  for part, expected in (("mean", quadratic.slope), ("std", jnp.diag(quadratic.curvature) * std)):
    for estimate in (pathwise, score):
      samples = np.asarray(getattr(estimate, part))
      error = samples.std(axis=0) / np.sqrt(len(samples))
      assert np.all(np.abs(samples.mean(axis=0) - expected) < 4.5 * error)


def test_of_a_constant_only_the_score_has_a_variance():
  std = jnp.asarray([0.5, 2.0])
  found = theory(Quadratic(jnp.asarray(3.0), jnp.zeros(2), jnp.zeros((2, 2))), std)
  np.testing.assert_array_equal(found.pathwise, np.zeros((2, 2)))
  np.testing.assert_allclose(found.score.mean, 9.0 / std**2)
  np.testing.assert_allclose(found.score.std, 18.0 / std**2)
  np.testing.assert_allclose(found.controlled, np.zeros((2, 2)), atol=1e-12)


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.floats(-100.0, 100.0))
def test_no_marginal_variance_of_the_score_is_the_smaller_one(seed, value):
  quadratic, _, std = random_quadratic(seed, value)
  found = theory(quadratic, std)
  for part in ("mean", "std"):
    pathwise, controlled, score = (
      np.asarray(getattr(getattr(found, name), part)) for name in ("pathwise", "controlled", "score")
    )
    assert np.all(pathwise <= controlled * (1 + 1e-12))
    assert np.all(controlled <= score * (1 + 1e-12))


def test_growth_with_the_dimension():
  """Separable: constant, linear and quadratic."""

  def medians(size):
    found = theory(Quadratic(jnp.zeros(()), jnp.ones(size), jnp.eye(size)), jnp.ones(size))
    return np.array([found.pathwise.mean[0], found.controlled.mean[0], found.score.mean[0]])

  growth = medians(1024) / medians(256)
  np.testing.assert_allclose(growth, [1.0, 4.0, 16.0], rtol=0.05)


def test_at_the_exact_posterior_the_path_is_silent():
  """`log p - log q` with `q` held fixed is constant there: no draw has a gradient."""
  mean, std = jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 3.0])

  def log_joint(z):
    return jnp.sum(jax.scipy.stats.norm.logpdf(z, mean, std)) + 7.0

  noise = jax.random.normal(jax.random.key(2), (100, 2))
  integrand = models.with_entropy(log_joint, mean, std)
  pathwise, score = jax.vmap(lambda noise: gradients(integrand, mean, std, noise))(noise)
  np.testing.assert_allclose(pathwise, np.zeros((2, 100, 2)), atol=1e-12)
  assert np.std(score.mean) > 1.0


@pytest.mark.parametrize(
  "log_joint",
  [models.logistic(models.draw_logistic(jax.random.key(0))), models.poisson(models.draw_poisson(jax.random.key(1)))],
  ids=["logistic", "poisson"],
)
def test_the_expansion_is_the_models(log_joint):
  size = 10 if log_joint.__qualname__.startswith("logistic") else 5
  at = jnp.linspace(0.0, 0.5, size)
  expansion = taylor(log_joint, at)
  away = 1e-3 * jnp.ones(size)
  np.testing.assert_allclose(expansion.integrand(at)(at + away), log_joint(at + away), rtol=1e-7)
  assert np.all(np.linalg.eigvalsh(expansion.curvature) < 0.0)  # log-concave


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_ascent_finds_a_gaussian(estimator):
  target_mean, target_std = jnp.asarray([0.5, -0.3]), jnp.asarray([0.5, 0.2])

  def log_joint(z):
    return jnp.sum(jax.scipy.stats.norm.logpdf(z, target_mean, target_std))

  mean, std, bounds = ascend(log_joint, estimator, 2, jax.random.key(3), num_steps=2000, num_draws=16)
  np.testing.assert_allclose(mean, target_mean, atol=0.05)
  np.testing.assert_allclose(std, target_std, rtol=0.15)
  assert bounds[-1] > bounds[0]
