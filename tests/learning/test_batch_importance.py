"""Batch importance weights: unbiased under a baseline from elsewhere, and their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.learning.batch_importance import batch_importance, log_densities, weighted_messages
from gippo_jax.learning.output_gradients import likelihood_ratio

# x ~ N(0, 1), x' = theta x + s e, G = sin(3 x' + 1) + 5: x' is normal, so that d E[G] / d theta is known.
THETA, STD = 0.8, 0.3


def cost_of(reached):
  return jnp.sin(3.0 * reached[..., 0] + 1.0) + 5.0


def expected_derivative():
  """`E[G] = sin(1) exp(-9 (theta^2 + s^2) / 2) + 5`, by the characteristic function of a normal number."""
  return -9.0 * THETA * np.sin(1.0) * np.exp(-4.5 * (THETA**2 + STD**2))


def estimates(messages, num_batches=8000, num_particles=10, key=0):
  """Derivatives by `theta` from many batches; `y = theta x / s`, so that a message's derivative is times `x / s`."""
  start_key, noise_key = jax.random.split(jax.random.key(key))
  start = jax.random.normal(start_key, (num_batches, num_particles, 1))
  noise = jax.random.normal(noise_key, start.shape)

  def of_batch(start, noise):
    mean, log_std = THETA * start, jnp.full_like(start, jnp.log(STD))
    reached = mean + STD * noise
    found = messages(cost_of(reached), reached, mean, log_std, noise)
    return jnp.mean(found[:, :1] * start / STD)

  return np.asarray(jax.jit(jax.vmap(of_batch))(start, noise))


def other_half(cost, reached, mean, log_std, noise):
  del noise
  return batch_importance(cost, reached, mean, log_std)


def constant_baseline(cost, reached, mean, log_std, noise):
  del noise
  return weighted_messages(cost, reached, mean, log_std, jnp.full_like(cost, 5.0))


def own_baseline(cost, reached, mean, log_std, noise):
  """The baseline of the same outcomes, which is biased."""
  del noise
  weights = jax.nn.softmax(log_densities(reached, mean, log_std), axis=1)
  return weighted_messages(cost, reached, mean, log_std, cost @ weights / jnp.sum(weights, axis=0))


def plain(cost, reached, mean, log_std, noise):
  del reached, mean, log_std
  return likelihood_ratio(cost[None], noise[None])[0]


@pytest.mark.parametrize("messages", [constant_baseline, other_half, plain])
@pytest.mark.parametrize("num_particles", [4, 20])
def test_the_mean_is_the_derivative(messages, num_particles):
  found = estimates(messages, num_particles=num_particles)
  error = np.std(found) / np.sqrt(len(found))
  assert error < 0.1 * abs(expected_derivative())
  assert abs(np.mean(found) - expected_derivative()) < 4.0 * error


def test_a_baseline_of_the_same_outcomes_is_biased():
  """Which is why the other half's is used."""
  found = estimates(own_baseline, num_particles=10)
  assert abs(np.mean(found) - expected_derivative()) > 6.0 * np.std(found) / np.sqrt(len(found))


def test_it_has_less_variance_than_the_likelihood_ratio_where_particles_overlap():
  assert np.var(estimates(other_half, num_particles=50)) < np.var(estimates(plain, num_particles=50))


def test_for_a_tiny_noise_every_outcome_is_its_own_parents_alone():
  start = jnp.linspace(-1.0, 1.0, 6)[:, None]
  noise = jax.random.normal(jax.random.key(0), start.shape)
  log_std = jnp.full_like(start, jnp.log(1e-6))
  cost, baseline = jnp.arange(6.0), jnp.linspace(2.0, 3.0, 6)
  found = jax.jit(weighted_messages)(cost, start + 1e-6 * noise, start, log_std, baseline)
  expected = (cost - baseline)[:, None] * jnp.concatenate([noise, noise**2 - 1.0], axis=1)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  assert np.all(np.isfinite(jax.jit(batch_importance)(cost, start + 1e-6 * noise, start, log_std)))


def test_where_particles_coincide_every_outcome_is_of_all_alike():
  mean, log_std = jnp.full((6, 2), 0.3), jnp.full((6, 2), -1.0)
  reached = mean + jnp.exp(-1.0) * jax.random.normal(jax.random.key(1), (6, 2))
  weights = jax.nn.softmax(log_densities(reached, mean, log_std), axis=1)
  np.testing.assert_allclose(weights, 1.0 / 6.0, rtol=1e-12)
  found = jax.jit(weighted_messages)(jnp.arange(6.0), reached, mean, log_std, jnp.full(6, 2.5))
  np.testing.assert_allclose(found, jnp.broadcast_to(found[:1], found.shape), rtol=1e-12)
  np.testing.assert_allclose(
    found[0, :2], np.mean((np.arange(6.0) - 2.5)[:, None] * (reached - mean) * np.e, axis=0), rtol=1e-9
  )
