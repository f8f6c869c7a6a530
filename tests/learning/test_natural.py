"""The natural direction against the equation it solves, and steps shortened by measured divergences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax.learning import gaussian, networks
from gippo_jax.learning.natural import natural_direction
from gippo_jax.learning.trust_region import shorten
from tests import configs

NUM_SAMPLES, OUTPUTS = 40, 4


@functools.cache
def policy():
  """The package's own network, whose products have reverse rules of their own; parameters, outputs, samples."""
  config = configs.config_of("lr", actor={"units": (3,)})
  made = networks.make(2, OUTPUTS // 2, config.actor, config.critic)
  actor, _ = made.init(jax.random.key(0), config.actor)
  flat, unravel = ravel_pytree(actor)
  obs = jax.random.normal(jax.random.key(1), (NUM_SAMPLES, 2))
  return flat, lambda params: jnp.concatenate(made.policy(unravel(params), obs), axis=-1)


@functools.cache
def equation():
  """The matrix and the right side, formed."""
  flat, outputs = policy()
  keys = jax.random.split(jax.random.key(2), 2)
  gradient = jax.random.normal(keys[0], (NUM_SAMPLES, OUTPUTS))
  fisher = jax.random.uniform(keys[1], gradient.shape, minval=0.5, maxval=2.0)
  jacobian = np.asarray(jax.jit(jax.jacrev(outputs))(flat))
  matrix = np.einsum("sbp,sb,sbq->pq", jacobian, np.asarray(fisher), jacobian) / NUM_SAMPLES
  right = np.einsum("sbp,sb->p", jacobian, np.asarray(gradient)) / NUM_SAMPLES
  return flat, outputs, fisher, matrix, right


def test_the_direction_solves_its_equation():
  """With as many iterations as parameters and an exact diagonal it is the solution."""
  damping = 0.1
  flat, outputs, fisher, matrix, right = equation()
  found = jax.jit(
    lambda flat: natural_direction(
      outputs, flat, jnp.asarray(right), fisher, jax.random.key(3), damping, 3 * flat.size, 20_000
    )
  )(flat)
  expected = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix)), right)
  np.testing.assert_allclose(found.direction, expected, rtol=0.05, atol=0.02 * np.abs(expected).max())
  np.testing.assert_allclose(found.curvature, found.direction @ matrix @ found.direction, rtol=1e-9)
  assert found.residual < 1e-6


@functools.partial(jax.jit, static_argnums=0)
def in_training(outputs, flat, right, fisher):
  """With the iterations and probes of a training."""
  return natural_direction(outputs, flat, right, fisher, jax.random.key(3), jnp.asarray(0.01), 10, 8)


def test_few_iterations_and_probes_come_close():
  """What training runs: most of the gain of the exact direction, per length."""
  flat, outputs, fisher, matrix, right = equation()
  found = in_training(outputs, flat, right, fisher)
  exact = np.linalg.solve(matrix + 0.01 * np.diag(np.diag(matrix)), right)

  def gain(direction):
    return (right @ direction) / np.sqrt(direction @ matrix @ direction)

  assert gain(np.asarray(found.direction)) > 0.9 * gain(exact)
  assert gain(right) < 0.75 * gain(exact)  # so that the test can fail: the plain gradient is no natural one


def test_no_gradient_is_no_direction():
  flat, outputs, fisher, _, _ = equation()
  found = in_training(outputs, flat, np.zeros_like(flat), fisher)
  assert np.all(np.asarray(found.direction) == 0.0)
  assert found.curvature == found.residual == 0.0


@pytest.mark.parametrize(("limit", "attempts"), [(2.0, 1), (0.5, 2), (1e-4, 4)])
def test_a_step_is_shortened_until_it_fits(limit, attempts):
  found = jax.jit(lambda limit: shorten(lambda scale: scale**2, limit))(jnp.asarray(limit))
  assert 0.8 * limit < found.divergence <= limit or found.scale == 1.0
  assert found.attempts == attempts
  np.testing.assert_allclose(found.divergence, found.scale**2)


def test_what_never_fits_is_no_step():
  for nothing in (lambda scale: scale * jnp.nan, lambda scale: scale + jnp.inf, lambda scale: 0.0 * scale + 1.0):
    found = shorten(nothing, jnp.asarray(0.1))
    assert found.scale == found.divergence == 0.0


def test_the_divergence_keeps_its_digits_and_counts_the_deviations():
  mean, log_std = jnp.asarray([0.3, -0.2]), jnp.asarray([-0.5, 0.1])
  other_mean, other_log_std = jnp.asarray([0.1, 0.0]), jnp.asarray([-0.4, 0.3])
  whole = gaussian.kl_divergence(mean, log_std, other_mean, other_log_std)
  np.testing.assert_allclose(gaussian.weighted_divergence(mean, log_std, other_mean, other_log_std), whole)
  by_mean = gaussian.kl_divergence(mean, log_std, other_mean, log_std)
  by_deviation = gaussian.kl_divergence(mean, log_std, mean, other_log_std)
  weighted = gaussian.weighted_divergence(mean, log_std, mean, other_log_std, jnp.asarray(7.0))
  np.testing.assert_allclose(weighted, 7.0 * by_deviation)
  weighted = gaussian.weighted_divergence(mean, log_std, other_mean, log_std, jnp.asarray(7.0))
  np.testing.assert_allclose(weighted, by_mean)
  near = gaussian.weighted_divergence(*(x.astype(jnp.float32) for x in (mean, log_std, mean, log_std + 1e-5)))
  np.testing.assert_allclose(near, 2e-10, rtol=0.02)  # in float32, whose 1 is rounded by 6e-8
