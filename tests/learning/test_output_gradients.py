"""The estimates by the policy's outputs against closed forms, and their mixture."""

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.learning.output_gradients import clip_at_medians, likelihood_ratio, mix_by_step, reparameterized

MEAN, STD = np.array([0.4, -0.3]), np.array([0.5, 0.8])


def quadratic(num_steps, num_envs):
  """Noise, and advantage and gradient of `A(a) = -|a|^2 / 2`, whose expectation is `-(mu^2 + sigma^2) / 2` summed."""
  noise = jax.random.normal(jax.random.key(0), (num_steps, num_envs, 2))
  action = MEAN[None, None] + STD[None, None] * noise
  return noise, -0.5 * jnp.sum(action**2, axis=-1), -action


def log_std_like(noise):
  return jnp.broadcast_to(jnp.log(STD)[None, None], noise.shape)


def test_both_estimates_are_the_gradient_of_the_expectation():
  """By the mean in units of the deviation, `-mu sigma`; by the log deviation, `-sigma^2`."""
  noise, advantage, gradient = quadratic(4, 50_000)
  expected = np.concatenate([-MEAN * STD, -(STD**2)])
  for samples in (reparameterized(gradient, log_std_like(noise), noise), likelihood_ratio(advantage, noise)):
    flat = np.asarray(samples).reshape(-1, 4)
    error = flat.std(axis=0) / np.sqrt(len(flat))
    assert np.all(np.abs(flat.mean(axis=0) - expected) < 4.0 * error)
    assert np.all(error < 0.01)  # so that the test can fail: the gradients are 0.24 to 0.64


def test_the_baseline_does_not_bias_few_environments():
  """Broken by the plain mean: with two environments it halves the gradient."""
  noise, advantage, _ = quadratic(100_000, 2)
  flat = np.asarray(likelihood_ratio(advantage, noise)).reshape(-1, 4)
  np.testing.assert_allclose(flat.mean(axis=0), np.concatenate([-MEAN * STD, -(STD**2)]), atol=0.02)


def test_weights_are_those_of_the_inverse_variances():
  keys = jax.random.split(jax.random.key(1), 2)
  first = 2.0 * jax.random.normal(keys[0], (3, 4000, 2))
  second = jax.random.normal(keys[1], (3, 4000, 2))
  mixed, weight = mix_by_step(first, second, jnp.ones((3, 4000), bool), jnp.asarray(1.0))
  np.testing.assert_allclose(weight, 0.2, atol=0.02)  # variances 4 and 1
  expected = weight * jnp.mean(first, axis=1) + (1.0 - weight) * jnp.mean(second, axis=1)
  np.testing.assert_allclose(jnp.mean(mixed, axis=1), expected, rtol=1e-9)
  assert np.var(np.mean(mixed, axis=1)) < np.var(np.mean(first, axis=1))
  half_trusted = mix_by_step(first, second, jnp.ones((3, 4000), bool), jnp.asarray(0.5))
  np.testing.assert_allclose(half_trusted[1], 0.5 * weight)


def test_derivatives_of_a_step_that_are_all_zero_say_nothing():
  """Broken by their variance of zero, which is the smallest."""
  second = jax.random.normal(jax.random.key(0), (2, 8, 2))
  first = jnp.ones_like(second).at[1].set(0.0)
  mixed, weight = mix_by_step(first, second, jnp.ones((2, 8), bool), jnp.asarray(1.0))
  np.testing.assert_allclose(weight, [[1.0, 1.0], [0.0, 0.0]])
  np.testing.assert_array_equal(mixed[1], second[1])


def test_samples_that_are_lost_do_not_count():
  """Broken by counting them as zeros: a smaller mean of a smaller variance, which gets more weight."""
  keys = jax.random.split(jax.random.key(1), 2)
  first = 1.0 + jax.random.normal(keys[0], (2, 8, 1))
  second = 5.0 * jax.random.normal(keys[1], (2, 8, 1))
  usable = jnp.arange(8)[None] < jnp.asarray([[6], [1]])
  lost = jnp.where(usable[..., None], first, 0.0)
  mixed, weight = mix_by_step(lost, second, usable, jnp.asarray(1.0))
  variances = np.var(np.asarray(first)[0, :6], axis=0, ddof=1), np.var(np.asarray(second)[0], axis=0, ddof=1)
  np.testing.assert_allclose(weight[0], variances[1] / (variances[0] + variances[1]), rtol=1e-6)
  expected = weight[0] * jnp.mean(first[0, :6], axis=0) + (1.0 - weight[0]) * jnp.mean(second[0], axis=0)
  np.testing.assert_allclose(jnp.mean(mixed[0], axis=0), expected, rtol=1e-9)
  assert weight[1] == 0.0  # one sample has no variance
  np.testing.assert_allclose(mixed[1], second[1])


def test_long_samples_are_shortened_to_medians():
  gradient = jnp.asarray([[[3.0, 4.0], [0.3, 0.4], [0.6, 0.8], [0.0, 0.0], [60.0, 80.0]]])
  log_std = jnp.zeros_like(gradient)
  clipped, share = clip_at_medians(gradient, log_std, jnp.asarray(5.0))  # lengths 5, 0.5, 1, 100: the median is 3
  np.testing.assert_allclose(clipped[0, :4], gradient[0, :4])
  np.testing.assert_allclose(clipped[0, 4], [9.0, 12.0])
  np.testing.assert_allclose(share, 0.2)
  nothing, share = clip_at_medians(0.0 * gradient, log_std, jnp.asarray(5.0))
  assert np.all(np.asarray(nothing) == 0.0)
  assert share == 0.0
