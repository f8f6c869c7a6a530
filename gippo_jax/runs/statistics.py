"""Statistics of scores over seeds: robust means, bootstrap intervals, comparisons of two algorithms.

They follow Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice" (NeurIPS 2021), and
stand on `scipy.stats`. A score array holds one entry per seed along its first axis.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

_RESAMPLES = 10_000
_GENERATOR_SEED = 0  # intervals of the same scores are the same numbers


class Interval(NamedTuple):
  """A confidence interval; arrays when the scores have further axes."""

  low: float | np.ndarray
  high: float | np.ndarray

  def overlaps(self, other: "Interval") -> bool:
    """Whether two scalar intervals have a point in common."""
    return bool(self.low <= other.high and other.low <= self.high)


def interquartile_mean(scores: np.ndarray, axis: int = 0) -> np.ndarray:
  """Mean of the middle half of the scores: a quarter, rounded down, is cut from each end.

  Args:
    scores: finite numbers, seeds along `axis`.
    axis: of the seeds.

  Returns:
    `scores` without `axis`.
  """
  return stats.trim_mean(scores, 0.25, axis=axis)


def bootstrap_interval(
  scores: np.ndarray, statistic: Callable[..., np.ndarray] = np.mean, confidence: float = 0.95
) -> Interval | None:
  """Percentile bootstrap interval of a statistic of the seeds.

  Args:
    scores: `[seeds, ...]`, finite; every further entry gets an interval of its own.
    statistic: takes `axis`.
    confidence: level of the interval.

  Returns:
    The interval, or `None` for fewer than two seeds, which tell nothing of their spread.
  """
  return stratified_bootstrap_interval([scores], lambda samples, axis: statistic(samples[0], axis=axis), confidence)


def stratified_bootstrap_interval(
  strata: Sequence[np.ndarray],
  statistic: Callable[[Sequence[np.ndarray], int], np.ndarray],
  confidence: float = 0.95,
) -> Interval | None:
  """Percentile bootstrap interval of a statistic of several groups of seeds, each resampled within itself.

  Args:
    strata: score arrays `[seeds, ...]`, e.g. one for each problem; their numbers of seeds may differ.
    statistic: maps the resampled groups and the axis of their seeds to numbers.
    confidence: level of the interval.

  Returns:
    The interval, or `None` when a group has fewer than two seeds.
  """
  strata = [np.asarray(scores, float) for scores in strata]
  if min(scores.shape[0] for scores in strata) < 2:
    return None
  result = stats.bootstrap(
    strata,
    lambda *samples, axis: statistic(samples, axis),
    n_resamples=_RESAMPLES,
    axis=0,
    vectorized=True,
    batch=500,
    confidence_level=confidence,
    method="percentile",  # BCa is not defined where all seeds agree
    rng=np.random.default_rng(_GENERATOR_SEED),
  )
  return Interval(*(_plain(bound) for bound in result.confidence_interval))


def probability_of_improvement(scores: np.ndarray, baseline: np.ndarray) -> float:
  """Chance that a run of one algorithm beats a run of the other, ties counted half (the Mann-Whitney statistic).

  Args:
    scores: `[seeds]`; may hold infinities, not NaN.
    baseline: `[seeds]`, of the algorithm compared with.

  Returns:
    A number in [0, 1].
  """
  scores, baseline = np.asarray(scores, float), np.asarray(baseline, float)
  pairs = scores.size * baseline.size
  return float(stats.mannwhitneyu(scores, baseline, method="asymptotic").statistic / pairs)


def mean_probability_of_improvement(
  scores: Sequence[np.ndarray], baselines: Sequence[np.ndarray], confidence: float = 0.95
) -> tuple[float, Interval | None]:
  """Mean over problems of `probability_of_improvement`, with its stratified bootstrap interval.

  Args:
    scores: for each problem, `[seeds]`.
    baselines: the same problems under the other algorithm.
    confidence: level of the interval.

  Returns:
    The mean and the interval.
  """
  count = len(scores)

  def mean_over_problems(samples, axis):
    def improvement(ours, theirs):
      # The Mann-Whitney statistic over its pairs, spelled out: scipy's spends ten times as long on its p-value.
      ours, theirs = np.moveaxis(ours, axis, -1)[..., None], np.moveaxis(theirs, axis, -1)[..., None, :]
      return np.mean((ours > theirs) + 0.5 * (ours == theirs), axis=(-2, -1))

    pairs = zip(samples[:count], samples[count:], strict=True)
    return np.mean([improvement(*pair) for pair in pairs], axis=0)

  point = float(np.mean([probability_of_improvement(*pair) for pair in zip(scores, baselines, strict=True)]))
  return point, stratified_bootstrap_interval([*scores, *baselines], mean_over_problems, confidence)


def performance_profile(
  scores: Sequence[np.ndarray], thresholds: np.ndarray, confidence: float = 0.95
) -> tuple[np.ndarray, Interval | None]:
  """Share of the runs that reach each threshold, mean over problems: the score distribution of Agarwal et al.

  Args:
    scores: for each problem, `[seeds]`, on one scale; may hold infinities, not NaN.
    thresholds: `[K]`.
    confidence: level of the interval.

  Returns:
    The shares `[K]` and their stratified bootstrap interval.
  """

  def share(samples, axis):
    return np.mean([np.mean(sample, axis=axis) for sample in samples], axis=0)

  reached = [(np.asarray(each)[:, None] >= thresholds).astype(float) for each in scores]
  return share(reached, 0), stratified_bootstrap_interval(reached, share, confidence)


def _plain(bound):
  return float(bound) if np.ndim(bound) == 0 else bound
