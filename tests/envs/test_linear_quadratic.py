"""The probe whose policy gradient is known, and the rule that a probe must have a gradient at all."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gippo_jax import envs
from gippo_jax.envs.linear_quadratic import LinearQuadratic

CASES = [
  # environment, mean, std, discount, horizon
  (LinearQuadratic(), 0.3, 0.7, 0.95, 8),
  (LinearQuadratic(decay=1.1, gain=-0.4, action_cost=0.0, start=-0.6), -0.2, 0.5, 1.0, 5),
  (LinearQuadratic(decay=0.5, gain=2.0, action_cost=0.3, start=0.0), 0.4, 0.8, 0.9, 1),
]
each_case = pytest.mark.parametrize(("env", "mean", "std", "discount", "horizon"), CASES)


@dataclasses.dataclass(frozen=True)
class ConstantReward:
  """Moves, but is paid the same whatever it does: its gradient is identically zero."""

  observation_size = 1
  action_size = 1
  episode_length = 8
  differentiable = True

  def reset(self, key):
    del key
    zero = jnp.zeros(())
    return envs.State(physics=(), obs=jnp.ones((1,)), reward=zero, terminated=zero, truncated=zero)

  def step(self, state, action):
    return state.replace(obs=state.obs + action, reward=jnp.ones(()))


def discounted_return(env, actions, discount):
  """Return of the open-loop `actions`, `[T]`."""
  state = env.reset(jax.random.key(0))
  total = 0.0
  for t in range(actions.shape[0]):
    state = env.step(state, actions[t][None])
    total = total + discount**t * state.reward
  return total


def has_gradient(env):
  """Whether the return depends on the actions to first order: what a probe of gradients must have."""
  gradient = jax.grad(lambda actions: discounted_return(env, actions, 0.9))(jnp.linspace(-0.2, 0.3, 4))
  return bool(jnp.any(gradient != 0.0))


def expected_return(env, mean, std, discount, horizon):
  """`E[sum_t discount^t r_t]` by the moments of the Gaussian chain, in plain Python."""
  expectation, variance, total = env.start, 0.0, 0.0
  for t in range(horizon):
    expectation = env.decay * expectation + env.gain * mean
    variance = env.decay**2 * variance + env.gain**2 * std**2
    total += discount**t * (-(expectation**2) - variance - env.action_cost * (mean**2 + std**2))
  return total


def central_difference(function, x, step=1e-5):
  return (function(x + step) - function(x - step)) / (2.0 * step)


def test_an_environment_without_gradient_is_recognised():
  assert not has_gradient(ConstantReward())
  assert has_gradient(LinearQuadratic())
  assert has_gradient(envs.make("point_mass", dimension=1))


@pytest.mark.parametrize("env", [case[0] for case in CASES])
def test_the_probe_has_a_gradient(env):
  assert has_gradient(env)


def test_dynamics_and_reward():
  env = LinearQuadratic(decay=0.9, gain=0.5, action_cost=0.1, start=2.0)
  start = env.reset(jax.random.key(0))
  np.testing.assert_array_equal(start.obs, [2.0])
  reached = env.step(start, jnp.array([3.0]))  # not clipped
  np.testing.assert_allclose(reached.obs, [3.3], rtol=1e-15)
  np.testing.assert_allclose(reached.reward, -(3.3**2) - 0.9, rtol=1e-15)
  assert reached.terminated == reached.truncated == 0.0


def test_start_noise_is_normal_around_the_start():
  env = LinearQuadratic(start=2.0, start_noise=0.5)
  starts = jax.vmap(env.reset)(jax.random.split(jax.random.key(1), 2000)).obs
  np.testing.assert_allclose(np.mean(starts), 2.0, atol=4.0 * 0.5 / np.sqrt(2000))
  np.testing.assert_allclose(np.std(starts), 0.5, rtol=4.0 / np.sqrt(2 * 2000))


@each_case
def test_policy_gradient_is_the_derivative_of_the_expectation(env, mean, std, discount, horizon):
  by_mean, by_std = env.policy_gradient(mean, std, discount, horizon)
  assert abs(by_mean) > 1e-3
  assert abs(by_std) > 1e-3
  expected = [
    central_difference(lambda m: expected_return(env, m, std, discount, horizon), mean),
    central_difference(lambda s: expected_return(env, mean, s, discount, horizon), std),
  ]
  np.testing.assert_allclose([by_mean, by_std], expected, rtol=1e-8)


@each_case
def test_policy_gradient_by_the_environment_itself(env, mean, std, discount, horizon):
  """The return is a quadratic of the noise, so its expectation is its value at 0 plus half the Hessian's trace."""

  def expectation(mean, std):
    def of_noise(noise):
      return discounted_return(env, mean + std * noise, discount)

    zero = jnp.zeros(horizon)
    return of_noise(zero) + 0.5 * jnp.trace(jax.hessian(of_noise)(zero))

  value, gradient = jax.jit(jax.value_and_grad(expectation, argnums=(0, 1)))(jnp.asarray(mean), jnp.asarray(std))
  np.testing.assert_allclose(value, expected_return(env, mean, std, discount, horizon), rtol=1e-12)
  np.testing.assert_allclose(gradient, env.policy_gradient(mean, std, discount, horizon), rtol=1e-11)


@settings(max_examples=25, deadline=None)
@given(
  decay=st.floats(-1.2, 1.2),
  gain=st.floats(-2.0, 2.0),
  action_cost=st.floats(0.0, 1.0),
  start=st.floats(-2.0, 2.0),
  mean=st.floats(-1.0, 1.0),
  std=st.floats(0.1, 1.0),
  discount=st.floats(0.5, 1.0),
  horizon=st.integers(1, 8),
)
def test_policy_gradient_of_random_chains(decay, gain, action_cost, start, mean, std, discount, horizon):
  env = LinearQuadratic(decay=decay, gain=gain, action_cost=action_cost, start=start)
  expected = [
    central_difference(lambda m: expected_return(env, m, std, discount, horizon), mean, 1e-4),
    central_difference(lambda s: expected_return(env, mean, s, discount, horizon), std, 1e-4),
  ]
  # The expectation is quadratic in both, so central differences err by rounding alone.
  np.testing.assert_allclose(env.policy_gradient(mean, std, discount, horizon), expected, rtol=1e-7, atol=1e-7)


@each_case
def test_policy_gradient_is_the_mean_of_reparameterised_gradients(env, mean, std, discount, horizon):
  assert has_gradient(env)
  noise = jax.random.normal(jax.random.key(3), (20_000, horizon))

  def sampled_return(mean, std, noise):
    return discounted_return(env, mean + std * noise, discount)

  gradient_of_sample = jax.vmap(jax.grad(sampled_return, argnums=(0, 1)), in_axes=(None, None, 0))
  samples = np.stack(jax.jit(gradient_of_sample)(jnp.asarray(mean), jnp.asarray(std), noise))
  standard_error = np.std(samples, axis=1, ddof=1) / np.sqrt(samples.shape[1])
  exact = np.asarray(env.policy_gradient(mean, std, discount, horizon))
  assert np.all(4.0 * standard_error < 0.2 * np.abs(exact))  # otherwise the comparison could not fail
  assert np.all(np.abs(np.mean(samples, axis=1) - exact) < 4.0 * standard_error)


def test_start_noise_does_not_change_the_policy_gradient():
  """It adds a variance that depends on neither mean nor std."""
  env = LinearQuadratic(start_noise=1.0)
  assert env.policy_gradient(0.3, 0.7, 0.95, 8) == LinearQuadratic().policy_gradient(0.3, 0.7, 0.95, 8)
  keys = jax.random.split(jax.random.key(4), 20_000)

  def sampled_return(mean, key):
    start_key, noise_key = jax.random.split(key)
    state, total = env.reset(start_key), 0.0
    noise = jax.random.normal(noise_key, (4,))
    for t in range(4):
      state = env.step(state, (mean + 0.7 * noise[t])[None])
      total = total + 0.95**t * state.reward
    return total

  samples = np.asarray(jax.jit(jax.vmap(jax.grad(sampled_return), in_axes=(None, 0)))(jnp.asarray(0.3), keys))
  exact = env.policy_gradient(0.3, 0.7, 0.95, 4)[0]
  assert abs(np.mean(samples) - exact) < 4.0 * np.std(samples, ddof=1) / np.sqrt(samples.size)
