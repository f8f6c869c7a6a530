"""A table whose algorithms are compared with each other, in Markdown: a row for each algorithm."""

import numpy as np

from gippo_jax.experiments.tables.comparison import SCORE, THRESHOLDS, pairwise, profiles
from gippo_jax.experiments.tables.documents import markdown_table
from gippo_jax.experiments.tables.family import Family, in_order, label_of
from gippo_jax.experiments.tables.results import Cell, Results, scores_of
from gippo_jax.experiments.tables.text import number
from gippo_jax.runs.statistics import bootstrap_interval

_SHOWN_THRESHOLDS = (0.0, 0.25, 0.5, 0.75, 1.0)


def markdown(family: Family, results: Results) -> str:
  """Returns, costs, who beats whom, and the performance profiles."""
  names = in_order({name for cells in results.values() for name in cells})
  parts = [_returns(family, results, names), _costs(family, results, names), _pairs(results, names)]
  return "\n".join([*parts, _profiles(results, names)])


def _returns(family: Family, results: Results, names: list[str]) -> str:
  best = {problem: _best(cells) for problem, cells in results.items()}
  rows = [
    [label_of(name), *(_return(cells.get(name), best[problem] == name) for problem, cells in results.items())]
    for name in names
  ]
  return markdown_table(["algorithm", *(family.problems[problem].label for problem in results)], rows)


def _best(cells: dict[str, Cell]) -> str | None:
  means = {name: scores_of(cell, SCORE).mean() for name, cell in cells.items() if scores_of(cell, SCORE).size}
  return max(means, key=lambda name: means[name]) if means else None


def _return(cell: Cell | None, is_best: bool) -> str:
  if cell is None:
    return "-"
  scores, best = scores_of(cell, SCORE), scores_of(cell, "best_evaluation_returns")
  lost = len(cell[SCORE]) - scores.size
  text = number(scores.mean()) if scores.size else "-"
  interval = bootstrap_interval(scores) if scores.size else None
  return (
    (f"**{text}**" if is_best else text)
    + (f" ({number(float(interval.low))} to {number(float(interval.high))})" if interval else "")
    + (f"<br>best policy {number(best.mean())}" if best.size else "")
    + (f"<br>{lost} of {len(cell[SCORE])} seeds lost" if lost else "")
  )


def _costs(family: Family, results: Results, names: list[str]) -> str:
  def seconds(cell: Cell | None) -> str:
    spent = None if cell is None else cell.get("processor_seconds")
    return "-" if spent is None else f"{number(spent)} s"

  passes = family.backward_passes
  header = ["algorithm", *(["backward passes an epoch"] if passes else [])]
  header += [family.problems[problem].label for problem in results]
  rows = [
    [
      label_of(name),
      *([str(passes.get(name, "-"))] if passes else []),
      *(seconds(cells.get(name)) for cells in results.values()),
    ]
    for name in names
  ]
  steps = "; ".join(
    f"{family.problems[problem].label} {_same(cells, 'steps')} steps in {_same(cells, 'epochs')} epochs"
    for problem, cells in results.items()
  )
  words = (
    "Seconds that cores worked for training all seeds side by side, without compilation, and what each seed had of the "
    "environment"
  )
  return f"{words}: {steps}.\n\n{markdown_table(header, rows)}"


def _same(cells: dict[str, Cell], field: str) -> str:
  return " or ".join(f"{value:,}" for value in sorted({cell[field] for cell in cells.values()}))


def _pairs(results: Results, names: list[str]) -> str:
  found = pairwise(results)

  def text(one: str, other: str) -> str:
    pair = found.get((one, other))
    if pair is None:
      return "" if one == other else "-"
    return f"**{pair.probability:.2f}**" if pair.decided else f"{pair.probability:.2f}"

  rows = [[label_of(one), *(text(one, other) for other in names)] for one in names]
  words = (
    "Probability that a run of the row's algorithm beats a run of the column's, mean over the problems that both have; "
    "bold where its 95 % stratified bootstrap interval excludes one half. A lost seed is beaten by every other"
  )
  return f"{words}:\n\n{markdown_table(['', *map(label_of, names)], rows)}"


def _profiles(results: Results, names: list[str]) -> str:
  found = profiles(results)
  indices = [int(np.argmin(np.abs(THRESHOLDS - threshold))) for threshold in _SHOWN_THRESHOLDS]

  def row(name: str) -> list[str]:
    profile = found[name]
    return [label_of(name), str(profile.problems), *(f"{profile.share[index]:.2f}" for index in indices)]

  header = ["algorithm", "problems", *(f"at least {threshold:g}" for threshold in _SHOWN_THRESHOLDS)]
  words = (
    "Performance profile: share of the runs that reach so much of a problem's scale, mean over problems. A tenth of "
    "all runs on a problem is below 0 of its scale, a tenth above 1"
  )
  return f"{words}:\n\n{markdown_table(header, map(row, names))}"
