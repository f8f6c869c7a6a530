"""Environments stepped by given actions, and the gradient of what that brings."""

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.config import Config

GRADIENT_CONFIG = Config().replace(algorithm="gippo", horizon=4)


def run(env, state, actions):
  """Every state after `actions`, stacked."""

  def step(state, action):
    state = env.step(state, action)
    return state, state

  return jax.jit(lambda state, actions: jax.lax.scan(step, state, actions)[1])(state, actions)


def total_reward(env, key, actions):
  def step(state, action):
    state = env.step(state, action)
    return state, state.reward

  return jnp.sum(jax.lax.scan(step, env.reset(key), actions)[1])


def check_gradient(env, num_steps, tolerance):
  """Reverse mode against central differences in one random direction, along which the derivative is not zero."""
  keys = jax.random.split(jax.random.key(3), 3)
  actions = jax.random.uniform(keys[0], (num_steps, env.action_size), minval=-0.5, maxval=0.5)
  direction = jax.random.normal(keys[1], actions.shape)
  function = jax.jit(lambda actions: total_reward(env, keys[2], actions))
  gradient = jax.jit(jax.grad(function))(actions)
  step = 1e-5
  expected = (function(actions + step * direction) - function(actions - step * direction)) / (2 * step)
  assert gradient.dtype == expected.dtype == jnp.float64
  assert np.all(gradient[0] != 0.0)
  np.testing.assert_allclose(jnp.sum(gradient * direction), expected, rtol=tolerance)
