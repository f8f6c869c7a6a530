"""What stands above a table: what its numbers are, when and by which command they were made."""

from collections.abc import Callable

from gippo_jax.experiments.tables.family import Family
from gippo_jax.experiments.tables.results import Cell, Results


def caption_of(family: Family, results: Results, command: str) -> str:
  """The caption.

  Args:
    family: of the problems.
    results: of the table.
    command: that made it.
  """
  num_seeds = _counts(results, lambda cell: len(cell["best_returns"]))
  made = f"Made on {_days(results)} by `{command}`."
  if family.compares:
    return (
      f"Return of the last policy's mean action, mean over {num_seeds} seeds with its 95 % bootstrap interval; the "
      f"best mean of a problem in bold; below it the mean of the policies with the best training returns. {made}"
    )
  beside = (
    "mean actions of the best and of the last policy, environment steps of a seed, seconds of training all seeds side "
    "by side + seconds of compilation, and what others publish"
    if any(problem.published for problem in family.problems.values())
    else f"and the paper's number; {_counts(results, lambda cell: cell['epochs'])} epochs"
  )
  return (
    f"Mean of the best returns of {num_seeds} seeds with its 95 % bootstrap interval, inter-quartile mean (IQM), "
    f"{beside}; the best mean of a row in bold. {made}"
  )


def _counts(results: Results, count_of: Callable[[Cell], int]) -> str:
  """A number that is the same throughout, or problem by problem."""
  by_problem = {problem: sorted({count_of(cell) for cell in cells.values()}) for problem, cells in results.items()}
  if len({tuple(counts) for counts in by_problem.values()}) <= 1:
    return " or ".join(str(count) for counts in list(by_problem.values())[:1] for count in counts)
  return ", ".join(f"{' or '.join(map(str, counts))} ({problem})" for problem, counts in by_problem.items())


def _days(results: Results) -> str:
  days = sorted({cell["made"] for cells in results.values() for cell in cells.values()})
  return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
