"""A table whose algorithms are compared with each other: who beats whom how often, and who reaches how much.

Judged is the last policy's mean action, which no one chose with hindsight. A run that diverged has no such return and
loses against each that has one.
"""

import itertools
from typing import NamedTuple

import numpy as np

from gippo_jax.experiments.tables.results import Cell, Results
from gippo_jax.runs.statistics import Interval, mean_probability_of_improvement, performance_profile

SCORE = "evaluation_returns"
# Of a problem's runs: they are 0 and 1 of its scale, and the runs beyond them may lie far out.
_QUANTILES = (0.1, 0.9)
THRESHOLDS = np.linspace(-0.1, 1.1, 121)


class Pairwise(NamedTuple):
  """One algorithm against another.

  Attributes:
    probability: that a run of the first beats a run of the second, mean over the problems that both ran on.
    interval: its 95 % stratified bootstrap interval; `None` where a cell has one seed.
    problems: their number.
  """

  probability: float
  interval: Interval | None
  problems: int

  @property
  def decided(self) -> bool:
    """Whether the interval excludes one half."""
    return self.interval is not None and not self.interval.low <= 0.5 <= self.interval.high


class Profile(NamedTuple):
  """Which share of an algorithm's runs reaches each of `THRESHOLDS`, mean over problems.

  Attributes:
    share: `[len(THRESHOLDS)]`.
    interval: its 95 % stratified bootstrap interval; `None` where a cell has one seed.
    problems: their number.
  """

  share: np.ndarray
  interval: Interval | None
  problems: int


def run_scores(cell: Cell) -> np.ndarray:
  """The score of every seed, minus infinity for one that has none; `[seeds]`."""
  scores = np.asarray([-np.inf if value is None else value for value in cell[SCORE]], float)
  return np.where(np.isfinite(scores), scores, -np.inf)


def pairwise(results: Results) -> dict[tuple[str, str], Pairwise]:
  """Every ordered pair of algorithms that share a problem."""
  names = list(dict.fromkeys(name for cells in results.values() for name in cells))
  found = {}
  for one, other in itertools.combinations(names, 2):
    rows = [
      (run_scores(cells[one]), run_scores(cells[other]))
      for cells in results.values()
      if one in cells and other in cells
    ]
    if rows:
      probability, interval = mean_probability_of_improvement([row[0] for row in rows], [row[1] for row in rows])
      found[one, other] = Pairwise(probability, interval, len(rows))
      opposite = None if interval is None else Interval(1.0 - interval.high, 1.0 - interval.low)
      found[other, one] = Pairwise(1.0 - probability, opposite, len(rows))
  return found


def normalized(cells: dict[str, Cell]) -> dict[str, np.ndarray]:
  """Scores of one problem on its scale: a tenth of all its runs is below 0, a tenth above 1; `[seeds]` each."""
  scores = {name: run_scores(cell) for name, cell in cells.items()}
  every = np.concatenate(list(scores.values()))
  finite = every[np.isfinite(every)]
  if not finite.size:
    return scores
  low, high = np.quantile(finite, _QUANTILES)
  return {name: (each - low) / (high - low if high > low else 1.0) for name, each in scores.items()}


def profiles(results: Results) -> dict[str, Profile]:
  """The performance profile of every algorithm."""
  by_algorithm: dict[str, list[np.ndarray]] = {}
  for cells in results.values():
    for name, scores in normalized(cells).items():
      by_algorithm.setdefault(name, []).append(scores)
  return {name: Profile(*performance_profile(scores, THRESHOLDS), len(scores)) for name, scores in by_algorithm.items()}
