"""The Gaussian process of PIPPS: closed forms, differences, padding, and matrices that are not positive definite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from gippo_jax.errors import UserError
from gippo_jax.experiments.pipps import gaussian_process as gp

COUNT, INPUTS, OUTPUTS = 12, 3, 2


@pytest.fixture(scope="module")
def rows():
  random = np.random.default_rng(0)
  inputs = random.normal(size=(COUNT, INPUTS))
  return inputs, np.stack([np.sin(inputs[:, 0]) + inputs[:, 1], inputs[:, 2] ** 2], axis=1)


@pytest.fixture(scope="module")
def hyperparameters():
  lengthscales = np.array([[0.7, 1.1, 2.0], [3.0, 0.9, 0.5]])
  return gp.Hyperparameters(jnp.log(lengthscales), jnp.log(jnp.array([1.5, 0.6])), jnp.log(jnp.array([0.02, 0.1])))


condition, predict, log_likelihood = jax.jit(gp.condition), jax.jit(gp.predict), jax.jit(gp.log_likelihood)


def covariance(hyperparameters, output, left, right):
  """By its definition, pair by pair."""
  lengthscales = np.exp(hyperparameters.log_lengthscales[output])
  signal = np.exp(hyperparameters.log_signal[output])
  return np.array([[signal * np.exp(-0.5 * np.sum(((a - b) / lengthscales) ** 2)) for b in right] for a in left])


def noisy(hyperparameters, output, inputs):
  added = float(hyperparameters.noise[output]) + gp.JITTER * np.exp(float(hyperparameters.log_signal[output]))
  return covariance(hyperparameters, output, inputs, inputs) + added * np.eye(len(inputs))


@pytest.mark.parametrize("size", [COUNT, COUNT + 5])
def test_the_posterior_is_the_closed_form(rows, hyperparameters, size):
  inputs, targets = rows
  model = condition(hyperparameters, gp.pad(inputs, targets, size))
  asked = np.random.default_rng(1).normal(size=(4, INPUTS))
  found = predict(model, jnp.asarray(asked))
  for output in range(OUTPUTS):
    matrix, cross = noisy(hyperparameters, output, inputs), covariance(hyperparameters, output, asked, inputs)
    mean = cross @ np.linalg.solve(matrix, targets[:, output])
    prior = np.exp(float(hyperparameters.log_signal[output])) + float(hyperparameters.noise[output])
    variance = prior - np.sum(cross * np.linalg.solve(matrix, cross.T).T, axis=1)
    np.testing.assert_allclose(found.mean[:, output], mean, rtol=1e-8)
    np.testing.assert_allclose(np.exp(2.0 * found.log_std[:, output]), variance, rtol=1e-8)
  np.testing.assert_array_equal(model.jitter_raises, 0)


@pytest.mark.parametrize("size", [COUNT, COUNT + 5])
def test_the_likelihood_is_that_of_a_normal_vector(rows, hyperparameters, size):
  inputs, targets = rows
  found = log_likelihood(hyperparameters, gp.pad(inputs, targets, size))
  for output in range(OUTPUTS):
    density = multivariate_normal(np.zeros(COUNT), noisy(hyperparameters, output, inputs))
    np.testing.assert_allclose(found[output], density.logpdf(targets[:, output]), rtol=1e-9)


def test_the_slopes_of_a_prediction_are_its_differences(rows, hyperparameters):
  model = condition(hyperparameters, gp.pad(*rows, COUNT + 3))
  asked = np.random.default_rng(2).normal(size=(5, INPUTS))
  found = predict(model, jnp.asarray(asked))
  step = 1e-5
  for entry in range(INPUTS):
    moved = step * np.eye(INPUTS)[entry]
    above, below = predict(model, jnp.asarray(asked + moved)), predict(model, jnp.asarray(asked - moved))
    for name in ("mean", "log_std"):
      slope = getattr(found, f"{name}_slope")[..., entry]
      difference = (getattr(above, name) - getattr(below, name)) / (2.0 * step)
      assert np.max(np.abs(slope)) > 1e-2
      np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=1e-8)


def test_far_from_the_data_it_knows_nothing(rows, hyperparameters):
  found = predict(condition(hyperparameters, gp.pad(*rows, COUNT)), jnp.full((1, INPUTS), 100.0))
  np.testing.assert_allclose(found.mean, 0.0, atol=1e-12)
  np.testing.assert_allclose(np.exp(2.0 * found.log_std[0]), np.exp(hyperparameters.log_signal) + hyperparameters.noise)
  for slope in (found.mean_slope, found.log_std_slope):
    np.testing.assert_allclose(slope, 0.0, atol=1e-12)


def test_fitting_finds_what_drew_the_data():
  """One long and one short lengthscale, and the noise; the likelihood is no lower than that of the truth."""
  random = np.random.default_rng(3)
  inputs = random.uniform(-2.0, 2.0, size=(40, 2))
  truth = gp.Hyperparameters(jnp.log(jnp.array([[0.7, 5.0]])), jnp.zeros(1), jnp.log(jnp.array([0.01])))
  targets = np.linalg.cholesky(noisy(truth, 0, inputs)) @ random.normal(size=(40, 1))
  data = gp.pad(inputs, targets, 40)
  found = jax.jit(gp.fit)(data, gp.initial_hyperparameters(data))
  assert log_likelihood(found, data)[0] >= log_likelihood(truth, data)[0]
  short, long = np.exp(found.log_lengthscales[0])
  assert 0.4 < short < 1.2 < 2.5 < long
  assert 0.05 < float(np.sqrt(found.noise[0])) < 0.2


def test_fitting_keeps_the_best_it_met(rows):
  """Steps so large that the ascent falls again."""
  data = gp.pad(*rows, COUNT)
  start = gp.initial_hyperparameters(data)
  found = jax.jit(gp.fit)(data, start, learning_rate=5.0)
  assert np.all(log_likelihood(found, data) >= log_likelihood(start, data))


def test_the_jitter_is_raised_and_counted_then_it_is_a_clear_end(rows, monkeypatch):
  inputs, targets = rows
  data = gp.pad(np.tile(inputs, (4, 1)), np.tile(targets, (4, 1)), 4 * COUNT)  # every row four times
  exact = gp.Hyperparameters(jnp.full((2, INPUTS), 3.0), jnp.zeros(2), jnp.full(2, -60.0))
  monkeypatch.setattr(gp, "_NOISE_FLOOR", 0.0)
  monkeypatch.setattr(gp, "JITTER", 1e-19)
  model = jax.jit(lambda: gp.condition(exact, data))()  # compiled with these constants
  assert np.all(np.asarray(model.jitter_raises) > 0)
  gp.require_positive_definite(model)
  monkeypatch.setattr(gp, "JITTER", 1e-25)
  model = jax.jit(lambda: gp.condition(exact, data))()
  np.testing.assert_array_equal(model.jitter_raises, 5)
  with pytest.raises(UserError, match="kernel matrix of output 0: not positive definite, also with a jitter of 1e-20"):
    gp.require_positive_definite(model)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_are_no_numbers_are_refused(rows, value):
  inputs, targets = rows
  with pytest.raises(UserError, match="not all numbers are finite; allowed: finite numbers"):
    gp.pad(inputs, np.where(targets > targets[3], targets, value), COUNT)
