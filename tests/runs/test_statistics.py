"""Statistics against hand-made numbers, brute force and their own guarantees."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gippo_jax.runs.statistics import (
  Interval,
  bootstrap_interval,
  interquartile_mean,
  mean_probability_of_improvement,
  performance_profile,
  probability_of_improvement,
  stratified_bootstrap_interval,
)

scores_of_seeds = st.lists(st.floats(-100, 100), min_size=2, max_size=8)


def test_the_interquartile_mean_forgets_the_tails():
  assert interquartile_mean(np.array([-1e9, 1.0, 2.0, 3.0, 1e9])) == 2.0
  assert interquartile_mean(np.array([1.0, 2.0, 30.0])) == 11.0  # a quarter of three is none
  np.testing.assert_allclose(interquartile_mean(np.arange(8.0).reshape(4, 2)), [3.0, 4.0])


@given(scores_of_seeds)
def test_an_interval_holds_within_the_scores(scores):
  interval = bootstrap_interval(np.array(scores))
  slack = 1e-9
  assert min(scores) - slack <= interval.low <= interval.high <= max(scores) + slack


def test_the_interval_covers_the_mean_as_often_as_it_says():
  rng = np.random.default_rng(1)
  covered = 0
  for _ in range(200):
    interval = bootstrap_interval(rng.normal(3.0, 1.0, 40))
    covered += interval.low <= 3.0 <= interval.high
  assert 0.88 <= covered / 200 <= 0.99


def test_one_seed_has_no_interval_and_equal_seeds_have_a_point():
  assert bootstrap_interval(np.array([1.0])) is None
  assert bootstrap_interval(np.array([2.0, 2.0, 2.0])) == Interval(2.0, 2.0)


def test_curves_get_an_interval_at_every_point():
  curves = np.random.default_rng(0).normal(size=(5, 7))
  interval = bootstrap_interval(curves)
  assert interval.low.shape == interval.high.shape == (7,)
  alone = bootstrap_interval(curves[:, 3])
  # Percentiles of the same resamples differ only in the order of the sums.
  np.testing.assert_allclose([interval.low[3], interval.high[3]], [alone.low, alone.high], atol=0.1)


def test_strata_are_resampled_within_themselves():
  """With no spread inside a stratum nothing is left to vary, however far the strata lie apart."""
  interval = stratified_bootstrap_interval(
    [np.zeros(5), np.full(3, 10.0)], lambda samples, axis: sum(np.mean(sample, axis=axis) for sample in samples)
  )
  assert interval == Interval(10.0, 10.0)
  assert stratified_bootstrap_interval([np.zeros(5), np.zeros(1)], lambda samples, axis: samples[0].mean(axis)) is None


@given(scores_of_seeds, scores_of_seeds)
def test_probability_of_improvement_counts_pairs(ours, theirs):
  pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(ours, theirs)]
  assert probability_of_improvement(np.array(ours), np.array(theirs)) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_probability_of_improvement_over_problems():
  better, worse = np.array([3.0, 4.0, 5.0]), np.array([0.0, 1.0, 2.0])
  assert mean_probability_of_improvement([better, better], [worse, worse]) == (1.0, Interval(1.0, 1.0))
  point, interval = mean_probability_of_improvement([better, worse], [worse, better])
  assert point == 0.5
  assert interval == Interval(0.5, 0.5)
  mixed = np.array([0.0, 3.0, 1.5])
  point, interval = mean_probability_of_improvement([mixed], [worse])
  assert interval.low < point < interval.high


def test_intervals_overlap_when_they_share_a_point():
  assert Interval(0.0, 1.0).overlaps(Interval(1.0, 2.0))
  assert not Interval(0.0, 1.0).overlaps(Interval(1.5, 2.0))


def test_a_performance_profile_counts_runs_and_averages_problems():
  thresholds = np.array([-np.inf, 0.0, 1.0, 2.0])
  share, interval = performance_profile([np.array([0.0, 1.0, -np.inf]), np.array([2.0, 2.0])], thresholds)
  np.testing.assert_allclose(share, [1.0, (2 / 3 + 1) / 2, (1 / 3 + 1) / 2, 1 / 2])
  assert np.all(interval.low <= share)
  assert np.all(share <= interval.high)
  assert (interval.low[0], interval.high[0], interval.low[3], interval.high[3]) == (1.0, 1.0, 0.5, 0.5)
  assert performance_profile([np.array([1.0])], thresholds)[1] is None


def test_ties_count_half_in_the_interval_too():
  same = np.zeros(3)
  assert mean_probability_of_improvement([same], [same]) == (0.5, Interval(0.5, 0.5))
