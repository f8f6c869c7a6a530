"""The adaptation of alpha as a truth table, and what it can never do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gippo_jax.algorithms.alpha import AlphaEvidence, AlphaState, adapt_alpha, init_alpha
from gippo_jax.config import Config, traced
from gippo_jax.learning.normalization import RunningStatistics

ALPHA, FACTOR, MAXIMUM = 0.3, 1.1, 1.0
SHRUNK, KEPT, GROWN = ALPHA / FACTOR, ALPHA, ALPHA * FACTOR

CONFIG = traced(Config()).alpha.replace(
  update_factor=jnp.asarray(FACTOR),
  maximum=jnp.asarray(MAXIMUM),
  determinant_interval=jnp.asarray(0.4),
  max_out_of_range_ratio=jnp.asarray(0.5),
)

adapt = jax.jit(adapt_alpha)


def state_of(alpha=ALPHA, mean=0.0, variance=1.0, count=100.0):
  return AlphaState(jnp.asarray(alpha), RunningStatistics(*(jnp.asarray(x) for x in (mean, variance, count))))


def evidence_of(converged=True, determinants=(0.9, 1.1), out_of_range_ratio=0.1, performance=0.0):
  return AlphaEvidence(
    converged=jnp.asarray(converged),
    min_determinant=jnp.asarray(determinants[0]),
    max_determinant=jnp.asarray(determinants[1]),
    out_of_range_ratio=jnp.asarray(out_of_range_ratio),
    performance=jnp.asarray(performance),
  )


def next_alpha(state, **evidence):
  return float(adapt(state, evidence_of(**evidence), CONFIG)[0].alpha)


@pytest.mark.parametrize(
  ("evidence", "expected"),
  [
    # Variance: only a converged regression moves alpha.
    ({}, GROWN),
    ({"determinants": (0.61, 1.39)}, GROWN),
    ({"determinants": (0.59, 1.0)}, SHRUNK),
    ({"determinants": (1.0, 1.41)}, SHRUNK),
    ({"determinants": (0.5, 1.5)}, SHRUNK),
    ({"determinants": (1.5, 1.5)}, SHRUNK),
    ({"converged": False}, KEPT),
    ({"converged": False, "determinants": (0.1, 3.0)}, KEPT),
    # Distance: too many ratios out of range override all of it; the limit itself is tolerated.
    ({"out_of_range_ratio": 0.5}, GROWN),
    ({"out_of_range_ratio": 0.51}, SHRUNK),
    ({"out_of_range_ratio": 0.51, "converged": False}, SHRUNK),
    # Both together shrink once, not twice.
    ({"out_of_range_ratio": 1.0, "determinants": (0.5, 1.5), "performance": -3.0}, SHRUNK),
    # Bias, with past performance of mean 0 and deviation 1.
    ({"performance": -1.1}, SHRUNK),
    ({"performance": -0.9}, GROWN),
    ({"performance": -1.1, "converged": False}, SHRUNK),
    ({"performance": -0.9, "converged": False}, KEPT),
    ({"performance": 1e6}, GROWN),
  ],
)
def test_truth_table(evidence, expected):
  np.testing.assert_allclose(next_alpha(state_of(), **evidence), expected, rtol=1e-15)


@pytest.mark.parametrize(
  ("mean", "performance", "expected"),
  [
    (0.0, -2.0, SHRUNK),  # negative and far below the mean
    (5.0, 1.0, GROWN),  # z = -4, but an improvement
    (-2.0, -2.5, GROWN),  # negative, but as ever
    (-2.0, -4.0, SHRUNK),
  ],
)
def test_bias_needs_a_negative_and_unusual_performance(mean, performance, expected):
  np.testing.assert_allclose(next_alpha(state_of(mean=mean), performance=performance), expected, rtol=1e-15)


def test_bias_is_judged_by_the_statistics_before_the_epoch():
  """With the statistics that already hold it, the first bad epoch would look usual: z is then about -1e-2."""
  state = state_of(count=1e-4)
  following, standardized = adapt(state, evidence_of(performance=-2.0), CONFIG)
  np.testing.assert_allclose(standardized, -2.0 / np.sqrt(1.0 + 1e-5), rtol=1e-14)
  np.testing.assert_allclose(following.alpha, SHRUNK, rtol=1e-15)


@pytest.mark.parametrize(("alpha", "expected"), [(0.95, MAXIMUM), (MAXIMUM, MAXIMUM), (0.9, 0.9 * FACTOR)])
def test_alpha_is_capped(alpha, expected):
  np.testing.assert_allclose(next_alpha(state_of(alpha)), expected, rtol=1e-15)


def test_an_alpha_above_the_maximum_is_brought_down_even_when_unchanged():
  assert next_alpha(state_of(2.0), converged=False) == MAXIMUM
  assert next_alpha(state_of(2.0), determinants=(0.0, 1.0)) == MAXIMUM


@pytest.mark.parametrize("evidence", [{}, {"converged": False}, {"out_of_range_ratio": 1.0}])
@pytest.mark.parametrize("performance", [0.0, -3.0, 2.5])
def test_statistics_take_in_every_epoch(evidence, performance):
  state = state_of(mean=1.0, variance=4.0, count=3.0)
  following, _ = adapt(state, evidence_of(performance=performance, **evidence), CONFIG)
  statistics = following.performance
  mean = (3.0 * 1.0 + performance) / 4.0
  variance = (3.0 * (4.0 + (1.0 - mean) ** 2) + (performance - mean) ** 2) / 4.0
  np.testing.assert_allclose(
    [statistics.mean, statistics.variance, statistics.count], [mean, variance, 4.0], rtol=1e-13
  )


def test_start():
  state = init_alpha(CONFIG)
  assert state.alpha == CONFIG.initial == 1e-5
  assert (state.performance.mean, state.performance.variance, state.performance.count) == (0.0, 1.0, 1e-4)


@settings(max_examples=50, deadline=None)
@given(
  alpha=st.floats(1e-6, MAXIMUM),
  mean=st.floats(-5.0, 5.0),
  variance=st.floats(0.0, 10.0),
  converged=st.booleans(),
  determinants=st.tuples(st.floats(0.0, 3.0), st.floats(0.0, 3.0)),
  out_of_range_ratio=st.floats(0.0, 1.0),
  performance=st.floats(-20.0, 20.0, allow_subnormal=False),  # XLA takes a subnormal number for 0
)
def test_next_alpha_is_one_of_three(alpha, mean, variance, converged, determinants, out_of_range_ratio, performance):
  determinants = (min(determinants), max(determinants))
  standardized = (performance - mean) / np.sqrt(variance + 1e-5)
  assume(abs(standardized + 1.0) > 1e-9)  # on the edge, rounding decides
  actual = next_alpha(
    state_of(alpha, mean, variance),
    converged=converged,
    determinants=determinants,
    out_of_range_ratio=out_of_range_ratio,
    performance=performance,
  )
  assert any(np.isclose(actual, choice, rtol=1e-14) for choice in (alpha / FACTOR, alpha, min(alpha * FACTOR, MAXIMUM)))
  assert 0.0 < actual <= MAXIMUM
  must_shrink = out_of_range_ratio > 0.5 or (performance < 0.0 and standardized < -1.0)
  within = determinants[0] >= 0.6 and determinants[1] <= 1.4
  if must_shrink or (converged and not within):
    assert actual < alpha
  elif not converged:
    assert actual == alpha
  else:
    assert actual == pytest.approx(min(alpha * FACTOR, MAXIMUM), rel=1e-14)
