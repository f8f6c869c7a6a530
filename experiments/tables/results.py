"""What a table keeps of its runs, and what it says of them: cells, winners, comparison with the paper."""

import numpy as np

from gippo_jax.experiments.tables.family import Family
from gippo_jax.plain import Plain
from gippo_jax.runs.metrics_version import CURRENT
from gippo_jax.runs.statistics import (
  Interval,
  bootstrap_interval,
  interquartile_mean,
  mean_probability_of_improvement,
)
from gippo_jax.runs.summary import Summary

Cell = Plain
Results = dict[str, dict[str, Cell]]


# What an algorithm is judged by: a field of its cells, and its words.
SCORES = {"best_returns": "the best returns", "evaluation_returns": "the last policy's mean action"}

# Of them the better one is what a variant has to reach.
RIVALS = ("rp", "shac", "ppo")


def cell_of(summary: Summary, paper: float | None, made: str = "") -> Cell:
  """One (problem, algorithm) pair.

  A seed that diverged, or never had a finite score, is listed in `diverged` and left out of every mean.

  Args:
    summary: of the pair's run, as written to `summary.json`.
    paper: the paper's mean of the best returns.
    made: day of the run, as `2026-01-31`.

  Returns:
    Per-seed best and final returns, evaluations of the last and the best policy; mean, inter-quartile mean and 95 %
    bootstrap interval of the mean of the best returns; the paper's number, seconds, status, seeds that diverged; what
    the returns mean (a folder whose metrics are of another version is refused before: `Workdir.check`).
  """
  lost = [
    diverged or best is None or not np.isfinite(best)
    for diverged, best in zip(summary["diverged"], summary["best_return"], strict=True)
  ]
  scores = np.asarray([best for best, is_lost in zip(summary["best_return"], lost, strict=True) if not is_lost], float)
  interval = bootstrap_interval(scores) if scores.size else None
  return {
    "best_returns": summary["best_return"],
    "final_returns": summary["final_return"],
    "evaluation_returns": summary["evaluation_return"],
    "best_evaluation_returns": summary["best_evaluation_return"],
    "mean": float(scores.mean()) if scores.size else None,
    "iqm": float(interquartile_mean(scores)) if scores.size else None,
    "interval": list(interval) if interval else None,
    "paper": paper,
    "seconds": summary["compile_seconds"] + summary["run_seconds"],
    "compile_seconds": summary["compile_seconds"],
    "processor_seconds": summary.get("processor_seconds"),
    "epochs": summary["epochs"],
    "steps": summary["steps"],
    "status": summary["status"],
    "diverged": [seed for seed, is_lost in zip(summary["seeds"], lost, strict=True) if is_lost],
    "made": made,
    "metrics_version": CURRENT,
  }


def is_cell(value: object) -> bool:
  """Whether something that was read is a cell with all that a table says of one."""
  known = {"best_returns", "evaluation_returns", "mean", "iqm", "interval", "paper", "seconds", "epochs", "status"}
  return isinstance(value, dict) and known | {"diverged", "made"} <= set(value)


def scores_of(cell: Cell, score: str = "best_returns") -> np.ndarray:
  """Best returns, or another score, of the seeds that count; none where an earlier table did not keep it."""
  return np.asarray([each for each in cell.get(score, ()) if each is not None and np.isfinite(each)], float)


def winner_of(cells: dict[str, Cell], field: str = "mean") -> str | None:
  """The algorithm with the largest `field` in a row; `None` for a row without numbers."""
  known = {name: cell[field] for name, cell in cells.items() if cell[field] is not None}
  return max(known, key=lambda name: known[name]) if known else None


def compare_with_paper(family: Family, results: Results) -> dict[str, Plain]:
  """Row by row: who of the paper's algorithms wins here and there, and how far the means are from the paper's.

  Returns:
    For each problem `winner`, `paper_winner`, `agrees` (the same winner, or the two's intervals overlap), and `ratios`:
    mean over paper, for a family that minimises (1 is the paper's number, below 1 is better).
  """
  rows = {}
  for problem, cells in results.items():
    in_paper = {name: cell for name, cell in cells.items() if cell["paper"] is not None}
    winner, paper_winner = winner_of(in_paper), winner_of(in_paper, "paper")
    agrees = winner == paper_winner
    if not agrees and winner and paper_winner:
      intervals = [cells[name]["interval"] for name in (winner, paper_winner)]
      agrees = all(intervals) and Interval(*intervals[0]).overlaps(Interval(*intervals[1]))
    ratios = {name: cell["mean"] / cell["paper"] for name, cell in cells.items() if family.minimises and _both(cell)}
    rows[problem] = {"winner": winner, "paper_winner": paper_winner, "agrees": agrees, "ratios": ratios}
  return rows


def improvements(results: Results, algorithm: str = "gippo") -> dict[str, Plain]:
  """Probability that a run of `algorithm` beats a run of each other one, averaged over the problems both ran on.

  Returns:
    For each other algorithm `probability`, `interval` and `problems`.
  """
  others = {name for cells in results.values() for name in cells} - {algorithm}
  compared = {}
  for other in sorted(others):
    rows = [
      (scores_of(cells[algorithm]), scores_of(cells[other]))
      for cells in results.values()
      if algorithm in cells and other in cells
    ]
    rows = [row for row in rows if row[0].size and row[1].size]
    if rows:
      probability, interval = mean_probability_of_improvement(
        [ours for ours, _ in rows], [theirs for _, theirs in rows]
      )
      compared[other] = {
        "probability": probability,
        "interval": list(interval) if interval else None,
        "problems": len(rows),
      }
  return compared


def standings(results: Results, column: str, score: str) -> dict[str, list[str]]:
  """Where a column stands beside the better of RP or SHAC and PPO, by the mean of a score.

  Args:
    results: of a table.
    column: algorithm or variant.
    score: one of `SCORES`.

  Returns:
    The problems where it is `ahead` or `behind`, the 95 % intervals of the two means apart, and where it is `level`.
  """
  found: dict[str, list[str]] = {"ahead": [], "level": [], "behind": []}
  for problem, cells in results.items():
    ours = scores_of(cells[column], score) if column in cells else np.zeros(0)
    rivals = [scores_of(cells[name], score) for name in RIVALS if name in cells]
    rivals = [scores for scores in rivals if scores.size]
    if not ours.size or not rivals:
      continue
    theirs = max(rivals, key=np.mean)
    intervals = bootstrap_interval(ours), bootstrap_interval(theirs)
    if intervals[0] is None or intervals[1] is None or intervals[0].overlaps(intervals[1]):
      verdict = "level"
    else:
      verdict = "ahead" if ours.mean() > theirs.mean() else "behind"
    found[verdict].append(problem)
  return found


def _both(cell: Cell) -> bool:
  return cell["mean"] is not None and bool(cell["paper"])
