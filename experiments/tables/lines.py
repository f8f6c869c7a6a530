"""What a learning curve draws of an algorithm: from a run's folder, or from the numbers beside an earlier picture."""

import csv
import pathlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.experiments.tables.curve import Curve
from gippo_jax.experiments.tables.family import Family, columns, label_of
from gippo_jax.runs.statistics import bootstrap_interval


class Line(NamedTuple):
  """A mean with its band, and a mark at its end.

  Attributes:
    x, mean: `[L]`, from where all seeds have finished an episode; of no length where there is no such place.
    band: where the interval of the mean is known, its place, lower and upper end, `[3, B]`.
    best: place and value of the mark, the mean of every seed's best epoch; `None` where no seed has one.
    highest: the largest value of a seed, or what is known of it; NaN where there is none.
  """

  x: np.ndarray
  mean: np.ndarray
  band: np.ndarray
  best: tuple[float, float] | None
  highest: float


# By problem and algorithm.
Lines = dict[str, dict[str, Line]]

_NO_BAND = np.zeros((3, 0))
# Place of the mark, over that of the line's end.
_MARK = 1.03


def line_of(folder: pathlib.Path, sign: float, by_time: bool) -> Line:
  """A run's line: the mean over the seeds that did not diverge and its 95 % bootstrap interval.

  Args:
    folder: of the run.
    sign: 1, or -1 where minus the returns are drawn.
    by_time: against the seconds of training instead of thousand environment steps.
  """
  curve = Curve(folder, "return")
  x = curve.seconds if by_time else curve.steps / 1000.0
  best = Curve(folder, "best_return").values[:, -1]
  best = sign * best[np.isfinite(best)]
  # A seed that fell back after its best epoch still has it.
  mark = (_MARK * float(x[-1]), float(best.mean())) if best.size else None
  highest = float(np.nanmax(curve.values)) if np.isfinite(curve.values).any() else np.nan
  values = sign * curve.values[np.isfinite(curve.values[:, -1])]
  complete = np.isfinite(values).all(axis=0)
  if not len(values) or not complete.any():
    return Line(np.zeros(0), np.zeros(0), _NO_BAND, mark, highest)
  x, values = x[complete], values[:, complete]
  interval = bootstrap_interval(values)
  band = np.stack([x, interval.low, interval.high]) if interval else _NO_BAND
  return Line(x, values.mean(axis=0), band, mark, highest)


def kept_lines(family: Family, path: pathlib.Path) -> Lines:
  """The lines of an earlier picture, by the numbers that were written beside it.

  Args:
    family: whose problems and columns are looked for, by what readers call them.
    path: of the picture's `.csv`.

  Raises:
    UserError: where it cannot be read, or has none of them.
  """
  problems = {problem.label: name for name, problem in family.problems.items()}
  algorithms = {label_of(name): name for name in columns()}
  found: dict[tuple[str, str], list[Mapping[str, str]]] = {}
  try:
    with path.open(newline="") as file:
      for row in csv.DictReader(file):
        problem, algorithm = problems.get(row["panel"]), algorithms.get(row["series"])
        if problem and algorithm and row["x"]:  # a line across has no place
          found.setdefault((problem, algorithm), []).append(row)
    lines: Lines = {}
    for (problem, algorithm), rows in found.items():
      lines.setdefault(problem, {})[algorithm] = _line_of_rows(rows)
  except (OSError, ValueError, KeyError, TypeError, csv.Error):
    lines = {}
  if not lines:
    raise UserError(f"--keep: {path} is not allowed; allowed: a folder with an earlier picture of the family")
  return lines


def together(family: Family, lines: Lines, kept: Lines) -> Lines:
  """The lines, and kept ones where there are none, in the table's order."""
  return {
    problem: kept.get(problem, {}) | lines.get(problem, {})
    for problem in family.problems
    if problem in kept or problem in lines
  }


def _line_of_rows(rows: Iterable[Mapping[str, str]]) -> Line:
  """The points of the line, those of its band, where it has one, and the mark, in the order of drawing."""
  points, band = [], []
  for row in rows:
    if row["low"]:
      band.append([float(row[name]) for name in ("x", "low", "high")])
    else:
      points.append((float(row["x"]), float(row["y"])))
  ends_in_mark = len(points) > 1 and np.isclose(points[-1][0], _MARK * points[-2][0], rtol=1e-4)
  best = points.pop() if ends_in_mark else None
  x, mean = np.asarray(points).T
  edges = np.asarray(band).T if band else _NO_BAND
  return Line(x, mean, edges, best, float(np.max(edges[2] if band else mean)))
