"""Gradient steps against PyTorch's clip and Adam written by hand, and minimisation with retry."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from gippo_jax.config import Config, traced
from gippo_jax.learning.optimization import (
  Attempt,
  Optimizer,
  RetryConfig,
  StepInfo,
  linear_rate,
  lowered_rate,
  make_optimizer,
  minimize_with_retry,
  summarize,
  value_and_flat_gradient,
)

BETA1, BETA2 = 0.7, 0.95
RETRY = RetryConfig(max_attempts=8, rate_divisor=jnp.asarray(1.5))
PARAMETERS = {"kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([0.1, -0.2])}
FLAT, UNRAVEL = ravel_pytree(PARAMETERS)


def optimizer_of(max_norm):
  return Optimizer(jnp.asarray(BETA1), jnp.asarray(BETA2), None if max_norm is None else jnp.asarray(max_norm))


def clip_like_pytorch(gradient, max_norm):
  if max_norm is None:
    return gradient
  return gradient * min(1.0, max_norm / (np.sqrt(np.sum(gradient**2)) + 1e-6))


def gradients_of(scale):
  """Ten gradients whose norms lie on both sides of `scale`."""
  rng = np.random.default_rng(0)
  directions = rng.normal(size=(10, FLAT.size))
  norms = scale * np.array([0.3, 5.0, 0.9, 1.5, 40.0, 0.01, 1.0, 2.0, 0.5, 3.0])
  return directions / np.linalg.norm(directions, axis=1, keepdims=True) * norms[:, None]


@pytest.mark.parametrize("max_norm", [None, 1.0, 1e-3])
def test_ten_steps_follow_adam_and_the_clip_by_hand(max_norm):
  optimizer = optimizer_of(max_norm)
  flat, moments = FLAT, optimizer.init(PARAMETERS)
  expected = np.asarray(FLAT)
  first, second = np.zeros(FLAT.size), np.zeros(FLAT.size)
  for index, gradient in enumerate(gradients_of(max_norm or 1.0)):
    rate = 0.01 / (index + 1)
    flat, moments, info = optimizer.step(flat, moments, jnp.asarray(gradient), jnp.asarray(rate))
    np.testing.assert_allclose(info.gradient_norm, np.linalg.norm(gradient), rtol=1e-14)
    assert info.skipped == 0.0
    clipped = clip_like_pytorch(gradient, max_norm)
    first = BETA1 * first + (1.0 - BETA1) * clipped
    second = BETA2 * second + (1.0 - BETA2) * clipped**2
    corrected = first / (1.0 - BETA1 ** (index + 1))
    deviation = np.sqrt(second / (1.0 - BETA2 ** (index + 1)))
    expected = expected - rate * corrected / (deviation + 1e-8)
    np.testing.assert_allclose(moments.mu, first, rtol=1e-12)
    np.testing.assert_allclose(moments.nu, second, rtol=1e-12)
    np.testing.assert_allclose(flat, expected, rtol=1e-12)
  assert int(moments.count) == 10


@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_ten_steps_follow_optax_on_the_tree(max_norm):
  """The flat vector must not be seen: the reference steps the tree itself."""
  optimizer = optimizer_of(max_norm)
  reference = optax.adam(0.01, b1=BETA1, b2=BETA2, eps=1e-8)
  flat, moments = FLAT, optimizer.init(PARAMETERS)
  tree, reference_state = PARAMETERS, reference.init(PARAMETERS)
  for gradient in gradients_of(1.0):
    flat, moments, _ = optimizer.step(flat, moments, jnp.asarray(gradient), jnp.asarray(0.01))
    with jax.numpy_dtype_promotion("standard"):
      update, reference_state = reference.update(
        UNRAVEL(jnp.asarray(clip_like_pytorch(gradient, max_norm))), reference_state
      )
    tree = optax.apply_updates(tree, update)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), UNRAVEL(flat), tree)
  assert np.max(np.abs(flat - FLAT)) > 0.01


@pytest.mark.parametrize(("norm", "scale"), [(0.5, 1.0), (1.0, 1.0 / (1.0 + 1e-6)), (4.0, 1.0 / (4.0 + 1e-6))])
def test_clip_scales_by_the_norm_plus_a_millionth(norm, scale):
  optimizer = optimizer_of(1.0)
  gradient = jnp.zeros(FLAT.size).at[2].set(norm)
  _, moments, _ = optimizer.step(FLAT, optimizer.init(PARAMETERS), gradient, jnp.asarray(0.1))
  np.testing.assert_allclose(moments.mu[2], (1.0 - BETA1) * norm * scale, rtol=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_a_gradient_that_is_not_finite_moves_nothing(bad, max_norm):
  """The last case is finite, but its norm is not."""
  optimizer = optimizer_of(max_norm)
  good = jnp.asarray(gradients_of(1.0)[0])
  rate = jnp.asarray(0.1)
  flat, moments, first = optimizer.step(FLAT, optimizer.init(PARAMETERS), good, rate)
  after, moments_after, second = optimizer.step(flat, moments, good.at[3].set(bad), rate)
  np.testing.assert_array_equal(after, flat)
  jax.tree.map(np.testing.assert_array_equal, moments_after, moments)
  assert int(moments_after.count) == 1
  assert (first.skipped, second.skipped) == (0.0, 1.0)
  resumed, _, third = optimizer.step(after, moments_after, good, rate)
  assert third.skipped == 0.0
  assert np.all(np.isfinite(resumed))
  assert np.all(resumed != after)


def test_the_share_of_skipped_steps_is_told():
  info = summarize(StepInfo(jnp.array([1.0, 2.0, 6.0]), jnp.array([0.0, 1.0, 1.0]), jnp.array([0.0, 0.0, 1.5])))
  np.testing.assert_allclose(info, StepInfo(3.0, 2.0 / 3.0, 0.5), rtol=1e-15)


def test_the_configuration_switches_the_clip():
  config = traced(Config()).replace(max_gradient_norm=jnp.asarray(0.7))
  assert make_optimizer(config, config.adam.beta1, config.adam.beta2).max_norm == 0.7
  assert make_optimizer(config.replace(clip_gradients=False), config.adam.beta1, config.adam.beta2).max_norm is None
  assert make_optimizer(config, config.ppo.beta1, config.ppo.beta2).beta2 == 0.999


def test_flat_gradient_is_the_gradient_in_the_order_of_the_parameters():
  def loss(params, scale):
    return scale * jnp.sum(params["kernel"] ** 3) + jnp.sum(jnp.sin(params["bias"]))

  value, gradient = value_and_flat_gradient(loss)(PARAMETERS, 2.0)
  np.testing.assert_allclose(value, loss(PARAMETERS, 2.0), rtol=1e-15)
  np.testing.assert_allclose(UNRAVEL(gradient)["kernel"], 6.0 * PARAMETERS["kernel"] ** 2, rtol=1e-14)
  np.testing.assert_allclose(UNRAVEL(gradient)["bias"], np.cos(PARAMETERS["bias"]), rtol=1e-14)


@settings(max_examples=25, deadline=None)
@given(initial=st.floats(1e-6, 1.0), final=st.floats(1e-6, 1.0), epoch=st.integers(0, 99), num_epochs=st.just(100))
def test_linear_rate(initial, final, epoch, num_epochs):
  rate = linear_rate(jnp.asarray(initial), jnp.asarray(final), jnp.asarray(epoch, jnp.int32), num_epochs)
  number = epoch + 1  # the schedule counts epochs from 1
  np.testing.assert_allclose(rate, initial + (final - initial) * number / num_epochs, rtol=1e-12, atol=1e-15)


def test_linear_rate_ends_at_the_final_rate():
  rate = linear_rate(jnp.asarray(1e-2), jnp.asarray(1e-5), jnp.asarray(1999, jnp.int32), 2000)
  np.testing.assert_allclose(rate, 1e-5, rtol=1e-12)


class Record(NamedTuple):
  """Stands in for the optimiser's moments: what failed attempts leave behind."""

  runs: jax.Array
  rates: jax.Array


def scripted(losses):
  """A run whose i-th attempt has the i-th of the given (first, last) losses and moves the parameters by its rate."""
  first, last = jnp.asarray(losses, jnp.float64).T

  def run(flat, moments, rate):
    index = moments.runs
    moments = Record(index + 1, moments.rates.at[index].set(rate))
    info = StepInfo(rate, jnp.zeros(()), jnp.zeros(()))
    return Attempt(flat + rate, moments, first[index], last[index], info, rate)

  return run


def minimize(losses, config=RETRY, base_rate=0.1, **options):
  losses = list(losses) + [(0.0, -1.0)] * (config.max_attempts - len(losses))
  record = Record(jnp.zeros((), jnp.int32), jnp.zeros(config.max_attempts))
  solve = jax.jit(
    lambda params, record, rate: minimize_with_retry(scripted(losses), params, record, rate, config, **options)
  )
  return solve(PARAMETERS, record, jnp.asarray(base_rate))


def assert_moved_by(params, amount):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b + amount, rtol=1e-14), params, PARAMETERS)


GROWS, FALLS = (1.0, 2.0), (2.0, 1.0)


def test_the_first_success_is_kept():
  result = minimize([FALLS])
  assert bool(result.succeeded)
  assert int(result.attempts) == int(result.moments.runs) == 1
  assert (result.first_loss, result.last_loss) == FALLS
  assert_moved_by(result.params, 0.1)


@pytest.mark.parametrize("failures", [1, 3, 7])
def test_failures_lower_the_rate_and_start_over(failures):
  result = minimize([GROWS] * failures + [FALLS])
  assert bool(result.succeeded)
  assert int(result.attempts) == int(result.moments.runs) == failures + 1
  rates = 0.1 / 1.5 ** np.arange(failures + 1)
  np.testing.assert_allclose(result.moments.rates[: failures + 1], rates, rtol=1e-13)
  np.testing.assert_array_equal(result.moments.rates[failures + 1 :], np.zeros(7 - failures))
  assert_moved_by(result.params, rates[-1])  # by the last attempt alone: each starts at the old parameters
  assert result.info.gradient_norm == result.moments.rates[failures]


def test_when_all_fail_the_parameters_stay_and_the_moments_do_not():
  result = minimize([GROWS] * 8)
  assert not bool(result.succeeded)
  assert int(result.attempts) == 8
  jax.tree.map(np.testing.assert_array_equal, result.params, PARAMETERS)
  assert int(result.moments.runs) == 8
  np.testing.assert_allclose(result.moments.rates, 0.1 / 1.5 ** np.arange(8), rtol=1e-13)
  assert (result.first_loss, result.last_loss) == GROWS


def test_the_number_of_attempts_is_the_configured_one():
  result = minimize([GROWS] * 3, config=RetryConfig(max_attempts=3, rate_divisor=jnp.asarray(2.0)))
  assert int(result.attempts) == 3
  np.testing.assert_allclose(result.moments.rates, [0.1, 0.05, 0.025], rtol=1e-14)
  jax.tree.map(np.testing.assert_array_equal, result.params, PARAMETERS)


@pytest.mark.parametrize(
  ("losses", "succeeds"),
  [
    ((1.5, 1.5), True),  # a tie is no growth
    ((1.5, np.nextafter(1.5, 2.0)), False),
    ((1.5, np.nan), False),
    ((np.nan, np.nan), False),
    ((np.nan, 1.0), False),
    ((1.5, np.inf), False),
    ((np.inf, np.inf), False),
    ((1.5, -np.inf), False),
  ],
)
def test_what_counts_as_a_success(losses, succeeds):
  result = minimize([losses] * 2, config=RetryConfig(max_attempts=2, rate_divisor=jnp.asarray(1.5)))
  assert bool(result.succeeded) == succeeds
  assert int(result.attempts) == (1 if succeeds else 2)
  assert_moved_by(result.params, 0.1 if succeeds else 0.0)


def test_retries_that_do_not_compound_share_one_rate():
  result = minimize([GROWS] * 4 + [FALLS], compound=False)
  np.testing.assert_allclose(result.moments.rates[:5], [0.1, *[0.1 / 1.5] * 4], rtol=1e-13)
  assert_moved_by(result.params, 0.1 / 1.5)


def test_retry_with_the_real_optimizer_finds_a_rate_that_works():
  """Adam's first step has the length of the rate: on a parabola, too long a one climbs the other side."""
  optimizer = optimizer_of(None)

  def loss(params):
    return jnp.sum(params["x"] ** 2)

  start = {"x": jnp.array([0.5])}
  _, unravel = ravel_pytree(start)

  def run(flat, moments, rate):
    first, gradient = value_and_flat_gradient(loss)(unravel(flat))
    flat, moments, info = optimizer.step(flat, moments, gradient, rate)
    return Attempt(flat, moments, first, loss(unravel(flat)), info, rate)

  result = minimize_with_retry(run, start, optimizer.init(start), jnp.asarray(2.0), RETRY)
  assert bool(result.succeeded)
  assert int(result.attempts) == 3  # 2 and 1.33 climb, 0.89 falls
  assert int(result.moments.count) == 3
  np.testing.assert_allclose(result.params["x"], 0.5 - 2.0 / 1.5**2, rtol=1e-6)


@pytest.mark.parametrize(
  ("rate", "succeeded", "expected"),
  [(3e-4, True, 3e-4), (3e-4, False, 2e-4), (1.2e-5, False, 1e-5), (1e-5, False, 1e-5), (1e-6, True, 1e-6)],
)
def test_lowered_rate_has_a_floor(rate, succeeded, expected):
  actual = lowered_rate(jnp.asarray(rate), jnp.asarray(succeeded), RETRY, jnp.asarray(1e-5))
  np.testing.assert_allclose(actual, expected, rtol=1e-14)
