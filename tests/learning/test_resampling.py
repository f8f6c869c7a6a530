"""Gaussian resampling: moments are kept exactly, and derivatives are those of differences."""

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.learning.resampling import resample


def cloud(key, count=40):
  mixing = jnp.asarray([[1.0, 0.2, 0.0], [0.0, 0.5, -0.3], [0.0, 0.0, 0.1]])
  return jax.random.normal(key, (count, 3)) ** 3 @ mixing + jnp.asarray([[1.0, 2.0, 3.0]])


def test_mean_and_covariance_are_kept_and_the_rest_is_not():
  states = cloud(jax.random.key(0))
  found = jax.jit(resample)(states, jax.random.normal(jax.random.key(1), states.shape))
  np.testing.assert_allclose(np.mean(found, axis=0), np.mean(states, axis=0), rtol=1e-9)
  np.testing.assert_allclose(np.cov(found.T), np.cov(states.T), rtol=1e-6, atol=1e-9)
  assert np.max(np.abs(found - states)) > 0.5


def test_the_derivative_is_that_of_differences():
  states = cloud(jax.random.key(0), 8)
  noise, direction, weight = (jax.random.normal(jax.random.key(seed), states.shape) for seed in (1, 2, 3))

  @jax.jit
  def objective(size):
    return jnp.sum(jnp.sin(weight * resample(states + size * direction, noise)))

  difference = (objective(1e-5) - objective(-1e-5)) / 2e-5
  assert abs(difference) > 0.1
  np.testing.assert_allclose(jax.jit(jax.grad(objective))(0.0), difference, rtol=1e-6)


def test_a_shift_moves_all_and_a_stretch_stretches():
  states = cloud(jax.random.key(4))
  noise = jax.random.normal(jax.random.key(5), states.shape)
  draw = jax.jit(resample)
  np.testing.assert_allclose(draw(states + 2.0, noise), draw(states, noise) + 2.0, rtol=1e-9)
  np.testing.assert_allclose(draw(3.0 * states, noise), 3.0 * draw(states, noise), rtol=1e-9)


def test_a_cloud_without_extent_along_an_axis_stays_flat():
  states = cloud(jax.random.key(6)).at[:, 1].set(2.0)
  found = jax.jit(resample)(states, jax.random.normal(jax.random.key(7), states.shape))
  np.testing.assert_allclose(found[:, 1], 2.0, atol=1e-3)
