"""Every estimate of PIPPS on particles of a learned model: its ends, its mean, and what each must equal."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax.experiments.pipps import cartpole, imagination
from gippo_jax.experiments.pipps import gaussian_process as gp
from gippo_jax.learning.batch_importance import weighted_messages
from gippo_jax.learning.gaussian import log_prob, sample
from gippo_jax.learning.resampling import resample
from gippo_jax.learning.total_propagation import constant

STEPS, PARTICLES = 4, 12


@pytest.fixture(scope="module")
def given():
  """A policy, a model of twenty steps of true physics, a start and two draws."""
  random = np.random.default_rng(0)
  states = cartpole.HANGING + random.normal(size=(20, 4))
  pushes = random.uniform(-1.0, 1.0, size=20)
  reached = cartpole.advance(jnp.asarray(states), jnp.asarray(10.0 * pushes))
  data = gp.pad(np.column_stack([states, pushes]), np.asarray(reached - states), 24)
  model = jax.jit(lambda data: gp.condition(gp.initial_hyperparameters(data), data))(data)
  policy = cartpole.random_policy(jax.random.key(0), num_centres=6, log_scale=-1.0)
  start = jnp.asarray([0.0, 2.0, 0.0, 0.0])[None] + 0.3 * jax.random.normal(jax.random.key(1), (PARTICLES, 4))
  draws = (jax.random.normal(jax.random.key(seed), (STEPS, PARTICLES, 4)) for seed in (2, 3))
  return policy, model, start, *draws


@functools.cache
def compiled(name):
  return jax.jit(imagination.ESTIMATORS[name])


def next_states(policy, model, state):
  """Mean and log standard deviation, from the model itself and not to first order."""
  prediction = gp.predict(model, imagination.model_input(policy, state))
  return state + prediction.mean, prediction.log_std


def roll(policy, given, resampled=False):
  """States after each step, `[T, N, 4]`, by the model itself."""
  _, model, start, noise, resampling = given

  def step(state, noise):
    state = sample(*next_states(policy, model, state), noise[0])
    state = resample(state, noise[1]) if resampled else state
    return state, state

  return jax.lax.scan(step, start, (noise, resampling))[1]


def check_close(found, expected):
  found, expected = ravel_pytree(found)[0], ravel_pytree(expected)[0]
  assert np.max(np.abs(expected)) > 1e-3
  np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("name", "is_resampled"), [("rp", False), ("gr", True)])
def test_backpropagation_is_the_derivative_of_the_cloud(given, name, is_resampled):
  """Through the model itself, of which the way back was made linear step by step."""

  def objective(policy):
    return jnp.mean(jnp.sum(cartpole.cost(roll(policy, given, is_resampled)), axis=0))

  expected = jax.jit(jax.value_and_grad(objective))(given[0])
  cost, gradient = compiled(name)(*given)
  np.testing.assert_allclose(cost, expected[0], rtol=1e-9)
  check_close(gradient, expected[1])


def outcomes(given):
  """States before and after each step, `[T, N, 4]`, and the cost from the latter on, `[T, N]`."""
  reached = jax.lax.stop_gradient(roll(given[0], given))
  before = jnp.concatenate([given[2][None], reached[:-1]])
  return before, reached, jnp.cumsum(cartpole.cost(reached)[::-1], axis=0)[::-1]


def test_the_likelihood_ratio_needs_no_derivative_of_cost_or_state(given):
  def objective(policy):
    before, reached, to_go = outcomes(given)
    others = (jnp.sum(to_go, axis=1, keepdims=True) - to_go) / (PARTICLES - 1)
    moments = jax.vmap(lambda before: next_states(policy, given[1], before))(before)
    return jnp.sum((to_go - others) * log_prob(*moments, reached)) / PARTICLES

  check_close(compiled("lr")(*given)[1], jax.jit(jax.grad(objective))(given[0]))


def test_batch_importance_weights_are_those_of_the_model(given):
  """With a baseline of 0: the sum over all pairs, `w_ji G_j dlog p(x'_j | x_i)`."""

  def messages(policy, cloud, passed):
    mean, log_std = imagination.linearized(policy, passed)
    arguments = (cloud.cost_to_go, cloud.states[1:], mean, log_std, jnp.zeros((STEPS, PARTICLES)))
    return jax.vmap(weighted_messages)(*arguments)

  def objective(policy):
    def of_step(before, reached, to_go):
      mean, log_std = next_states(policy, given[1], before)
      pairs = jax.vmap(lambda outcome: log_prob(mean, log_std, jnp.broadcast_to(outcome, mean.shape)))(reached)
      shares = jax.lax.stop_gradient(jnp.exp(pairs) / jnp.sum(jnp.exp(pairs), axis=1, keepdims=True))
      return jnp.sum(shares * to_go[:, None] * pairs)

    return jnp.sum(jax.vmap(of_step)(*outcomes(given))) / PARTICLES

  found = jax.jit(imagination.swept(constant(1.0), messages))(*given)[1]
  check_close(found, jax.jit(jax.grad(objective))(given[0]))


@pytest.mark.parametrize(("weight", "end"), [(0.0, "rp"), (1.0, "lr")])
def test_the_ends_of_total_propagation(given, weight, end):
  found = jax.jit(imagination.swept(constant(weight), imagination.plain_messages))(*given)[1]
  check_close(found, compiled(end)(*given)[1])


def test_total_propagation_lies_between_and_is_neither(given):
  ends = [ravel_pytree(compiled(name)(*given)[1])[0] for name in ("rp", "lr")]
  found = ravel_pytree(compiled("tp")(*given)[1])[0]
  assert all(np.max(np.abs(found - end)) > 1e-4 for end in ends)


def test_unbiased_estimates_have_the_same_mean(given):
  """Not total propagation: its weights are of the batch that they weigh."""
  policy, model, start, *_ = given
  half = imagination.swept(constant(0.5), imagination.importance_messages)
  estimators = [imagination.ESTIMATORS["rp"], imagination.ESTIMATORS["lr"], imagination.ESTIMATORS["biw"], half]

  def of_batch(key):
    noise = jax.random.normal(key, (2, 3, PARTICLES, 4))
    return jnp.stack([estimate(policy, model, start, *noise)[1].weights for estimate in estimators])

  found = jax.jit(lambda keys: jax.lax.map(of_batch, keys, batch_size=50))(jax.random.split(jax.random.key(4), 500))
  mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
  for other in (1, 2, 3):
    spread = np.hypot(error[0], error[other])
    assert np.all(np.abs(mean[other] - mean[0]) < 4.5 * spread)
    assert np.max(np.abs(mean[0]) / spread) > 10.0
