"""Generalised advantages against a plain loop, and their limits."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from gippo_jax.learning.advantages import generalized_advantages, lambda_returns, segment_starts, standardize

STEPS, ENVIRONMENTS = 7, 3
SHAPE = (STEPS, ENVIRONMENTS)

advantages_of = jax.jit(generalized_advantages)
returns_of = jax.jit(lambda_returns)


def floats():
  return hypothesis_numpy.arrays(np.float64, SHAPE, elements=st.floats(-10.0, 10.0))


def flags():
  return hypothesis_numpy.arrays(np.bool_, SHAPE)


def plain_loop(reward, value, reached_value, terminated, truncated, discount, gae_lambda):
  """Sums each advantage by itself, forwards to the end of its episode or window."""
  advantage = np.zeros(SHAPE)
  for n in range(ENVIRONMENTS):
    for t in range(STEPS):
      weight = 1.0
      for k in range(t, STEPS):
        future = 0.0 if terminated[k, n] else reached_value[k, n]
        advantage[t, n] += weight * (reward[k, n] + discount * future - value[k, n])
        weight *= discount * gae_lambda
        if terminated[k, n] or truncated[k, n]:
          break
  return advantage


def inputs(seed):
  return np.random.default_rng(seed).normal(size=(3, *SHAPE))


@settings(max_examples=25, deadline=None)
@given(
  reward=floats(),
  value=floats(),
  reached_value=floats(),
  terminated=flags(),
  truncated=flags(),
  discount=st.floats(0.1, 1.0),
  gae_lambda=st.floats(0.0, 1.0),
)
def test_any_mix_of_ends_follows_the_plain_loop(
  reward, value, reached_value, terminated, truncated, discount, gae_lambda
):
  truncated = truncated & ~terminated
  actual = advantages_of(
    reward,
    value,
    np.where(terminated, 0.0, reached_value),
    (terminated | truncated).astype(float),
    np.float64(discount),
    np.float64(gae_lambda),
  )
  expected = plain_loop(reward, value, reached_value, terminated, truncated, discount, gae_lambda)
  np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(reward=floats(), next_value=floats(), ends=flags(), discount=st.floats(0.1, 1.0), gae_lambda=st.floats(0.0, 1.0))
def test_lambda_returns_are_advantages_over_what_the_step_before_reached(
  reward, next_value, ends, discount, gae_lambda
):
  """Where an episode begins the value is another's, and counts for nothing in the sum."""
  value = np.concatenate([np.full((1, ENVIRONMENTS), 3.0), np.where(ends[:-1], -5.0, next_value[:-1])])
  given = (ends.astype(float), np.float64(discount), np.float64(gae_lambda))
  expected = advantages_of(reward, value, next_value, *given) + value
  np.testing.assert_allclose(returns_of(reward, next_value, *given), expected, rtol=1e-10, atol=1e-10)


def test_a_return_that_is_no_number_stays_in_its_episode():
  reward, next_value, _ = inputs(5)
  ends = np.zeros(SHAPE)
  ends[3] = 1.0
  reward[5, 1] = np.nan
  returns = np.asarray(returns_of(reward, next_value, ends, np.float64(0.9), np.float64(0.8)))
  assert np.isnan(returns[4:6, 1]).all()
  assert np.isfinite(returns[:4]).all()
  assert np.isfinite(returns[6:]).all()


def test_lambda_zero_is_the_temporal_difference():
  reward, value, next_value = inputs(0)
  next_start = (np.random.default_rng(1).uniform(size=SHAPE) < 0.3).astype(float)
  actual = advantages_of(reward, value, next_value, next_start, np.float64(0.9), np.float64(0.0))
  np.testing.assert_allclose(actual, reward + 0.9 * next_value - value, rtol=1e-12, atol=1e-14)


def test_lambda_one_is_the_discounted_sum_less_the_value():
  """Inside an episode the values in between cancel, when what one step reaches the next begins at."""
  reward, value, _ = inputs(2)
  last = np.array([[0.5, -1.0, 2.0]])
  next_value = np.concatenate([value[1:], last])
  actual = advantages_of(reward, value, next_value, np.zeros(SHAPE), np.float64(0.9), np.float64(1.0))
  for t in range(STEPS):
    powers = 0.9 ** np.arange(STEPS - t)[:, None]
    expected = np.sum(powers * reward[t:], axis=0) + 0.9 ** (STEPS - t) * last[0] - value[t]
    np.testing.assert_allclose(actual[t], expected, rtol=1e-12, atol=1e-12)


def test_nothing_after_an_end_reaches_back():
  reward, value, next_value = inputs(3)
  next_start = np.zeros(SHAPE)
  next_start[3] = 1.0
  arguments = (next_start, np.float64(0.9), np.float64(0.8))
  before = advantages_of(reward, value, next_value, *arguments)
  changed = reward.copy()
  changed[4:] += 5.0
  after = advantages_of(changed, value, next_value, *arguments)
  np.testing.assert_array_equal(after[:4], before[:4])
  assert np.all(after[4:] != before[4:])


def test_windows_may_have_any_trailing_shape():
  reward, value, next_value = map(jnp.asarray, inputs(4))
  zeros = jnp.zeros(SHAPE)
  together = generalized_advantages(reward, value, next_value, zeros, 0.9, 0.8)
  alone = generalized_advantages(reward[:, 1], value[:, 1], next_value[:, 1], zeros[:, 1], 0.9, 0.8)
  np.testing.assert_allclose(together[:, 1], alone, rtol=1e-14)


def test_unequal_shapes_are_refused():
  with pytest.raises(jaxtyping.TypeCheckError):
    generalized_advantages(jnp.zeros(SHAPE), jnp.zeros(SHAPE), jnp.zeros(SHAPE), jnp.zeros((STEPS,)), 0.9, 0.8)


def test_segments_start_at_the_window_and_at_episodes():
  episode_start = jnp.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
  np.testing.assert_array_equal(segment_starts(episode_start), [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])


@settings(max_examples=25, deadline=None)
@given(advantage=floats(), scale=st.floats(0.1, 100.0), shift=st.floats(-100.0, 100.0))
def test_standardized_advantages_have_mean_zero_and_unbiased_spread_one(advantage, scale, shift):
  assume(np.std(advantage) > 1e-3)
  standardized = np.asarray(standardize(jnp.asarray(advantage)))
  np.testing.assert_allclose(np.mean(standardized), 0.0, atol=1e-9)
  np.testing.assert_allclose(np.std(standardized, ddof=1), 1.0, rtol=2e-5)
  moved = standardize(jnp.asarray(scale * advantage + shift))
  np.testing.assert_allclose(moved, standardized, atol=1e-3)


def test_standardize_by_hand():
  actual = standardize(jnp.array([[1.0, 2.0], [3.0, 6.0]]))
  deviation = np.sqrt((4.0 + 1.0 + 0.0 + 9.0) / 3.0) + 1e-8
  np.testing.assert_allclose(actual, np.array([[-2.0, -1.0], [0.0, 3.0]]) / deviation, rtol=1e-12)


def test_equal_advantages_become_zero():
  np.testing.assert_array_equal(standardize(jnp.full((2, 3), 4.0)), np.zeros((2, 3)))
