"""What a table keeps of its runs, and what it says of them: cells, winners, comparison with the paper."""

import numpy as np

from gippo_jax.experiments.tables.problems import Family
from gippo_jax.plain import Plain
from gippo_jax.runs.statistics import (
  Interval,
  bootstrap_interval,
  interquartile_mean,
  mean_probability_of_improvement,
)
from gippo_jax.runs.summary import Summary

Cell = Plain
Results = dict[str, dict[str, Cell]]


def cell_of(summary: Summary, paper: float | None) -> Cell:
  """One (problem, algorithm) pair.

  A seed that diverged, or never had a finite score, is listed in `diverged` and left out of every mean.

  Args:
    summary: of the pair's run, as written to `summary.json`.
    paper: the paper's mean of the best returns.

  Returns:
    Per-seed best and final returns, evaluations of the last and the best policy; mean, inter-quartile mean and 95 %
    bootstrap interval of the mean of the best returns; the paper's number, seconds, status, seeds that diverged.
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
    "epochs": summary["epochs"],
    "status": summary["status"],
    "diverged": [seed for seed, is_lost in zip(summary["seeds"], lost, strict=True) if is_lost],
  }


def scores_of(cell: Cell) -> np.ndarray:
  """Best returns of the seeds that count."""
  return np.asarray([best for best in cell["best_returns"] if best is not None and np.isfinite(best)], float)


def winner_of(cells: dict[str, Cell], field: str = "mean") -> str | None:
  """The algorithm with the largest `field` in a row; `None` for a row without numbers."""
  known = {name: cell[field] for name, cell in cells.items() if cell[field] is not None}
  return max(known, key=lambda name: known[name]) if known else None


def compare_with_paper(family: Family, results: Results) -> dict[str, Plain]:
  """Row by row: who wins here and in the paper, and how far the means are from the paper's.

  Returns:
    For each problem `winner`, `paper_winner`, `agrees` (the same winner, or the two's intervals overlap), and `ratios`:
    mean over paper, for a family that minimises (1 is the paper's number, below 1 is better).
  """
  rows = {}
  for problem, cells in results.items():
    winner, paper_winner = winner_of(cells), winner_of(cells, "paper")
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


def _both(cell: Cell) -> bool:
  return cell["mean"] is not None and bool(cell["paper"])
