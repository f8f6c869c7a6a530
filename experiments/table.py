"""The paper's tables again: `python -m experiments.table functions --preset=paper --out=DIR`.

Trains every (problem, algorithm) pair, all seeds of a pair in one compiled program, each pair in a folder of its own
with the files of a single run. Pairs that are finished are not run again; an interrupted one resumes.
"""

import csv
import datetime
import pathlib
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags
from rich.console import Console
from rich.table import Table

from experiments.configs import functions
from experiments.problems import FUNCTIONS, Problem
from gippo_jax.errors import UserError
from gippo_jax.main import configure_jax, console

_PRESET = flags.DEFINE_enum(
  "preset", "quick", ["quick", "paper"], "quick: 3 seeds, a fifth of the epochs; paper: 5, all."
)
_ALGORITHMS = flags.DEFINE_list("algorithms", None, "Algorithms; all by default.")
_PROBLEMS = flags.DEFINE_list("problems", None, "Problems; all by default.")
_SEEDS = flags.DEFINE_integer("seeds", None, "Number of seeds; the preset's by default.", lower_bound=1)
_OUT = flags.DEFINE_string("out", "runs/table_functions", "Folder for the runs and the table.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder that table and pictures are copied to.")

_PRESETS = {"quick": (3, 400), "paper": (5, 2000)}


def run_pair(problem: Problem, algorithm: str, num_seeds: int, num_epochs: int, folder: pathlib.Path) -> dict[str, Any]:
  """Trains one cell of the table, or reads it when it is finished.

  Returns:
    The run's summary.
  """
  import envs
  from gippo_jax.parsing import parse
  from gippo_jax.progress import NoProgress
  from gippo_jax.runner import run
  from gippo_jax.workdir import Workdir

  config = functions.get_config(problem.argument)
  config.algorithm = algorithm
  config.num_seeds = num_seeds
  config.num_epochs = num_epochs
  experiment = parse(config)
  workdir = Workdir(folder)
  workdir.open(experiment.to_dict())
  return workdir.finished_summary() or run(experiment, envs.make(**experiment.env), workdir, NoProgress())


def cell_of(summary: dict[str, Any], paper: float | None) -> dict[str, Any]:
  """What the table keeps of a run."""
  best = np.asarray(summary["best_return"], float)
  return {
    "best_returns": summary["best_return"],
    "final_returns": summary["final_return"],
    "evaluation_returns": summary["evaluation_return"],
    "mean": float(best.mean()),
    "paper": paper,
    "seconds": summary["compile_seconds"] + summary["run_seconds"],
    "status": summary["status"],
  }


def markdown(results: dict[str, dict[str, dict]], heading: str) -> str:
  """The table in Markdown: our mean and the worst and best seed, the paper's number below."""
  algorithms = list(next(iter(results.values())))
  lines = [heading, "", "| problem | " + " | ".join(algorithms) + " |", "|---" * (len(algorithms) + 1) + "|"]
  for problem, cells in results.items():
    winner = max(cells, key=lambda name: cells[name]["mean"])
    texts = []
    for algorithm, cell in cells.items():
      mean = f"**{cell['mean']:.3g}**" if algorithm == winner else f"{cell['mean']:.3g}"
      low, high = min(cell["best_returns"]), max(cell["best_returns"])
      texts.append(f"{mean} ({low:.3g} .. {high:.3g}); paper {cell['paper']:.3g}")
    lines.append(f"| {problem} | " + " | ".join(texts) + " |")
  return "\n".join(lines) + "\n"


def write(results: dict[str, dict[str, dict]], heading: str, out: pathlib.Path) -> None:
  """Writes `table.json`, `table.md` and `table.csv`."""
  from gippo_jax.workdir import write_json, write_text

  write_json(out / "table.json", {"results": results})
  write_text(out / "table.md", markdown(results, heading))
  with (out / "table.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["problem", "algorithm", "mean_best_return", "paper", "seconds", "status"])
    for problem, cells in results.items():
      for algorithm, cell in cells.items():
        writer.writerow([problem, algorithm, *(cell[name] for name in ("mean", "paper", "seconds", "status"))])


def show(results: dict[str, dict[str, dict]]) -> None:
  """Prints the table, ours over the paper's."""
  algorithms = list(next(iter(results.values())))
  table = Table("problem", *algorithms, title="mean of the best returns (paper's below)")
  for problem, cells in results.items():
    table.add_row(problem, *(f"{cell['mean']:.3g}\n[dim]{cell['paper']:.3g}[/dim]" for cell in cells.values()))
  Console().print(table)


def _chosen(names: list[str] | None, known: list[str], flag: str) -> list[str]:
  for name in names or []:
    if name not in known:
      raise UserError(f"--{flag}: {name!r} is unknown; known: {', '.join(known)}")
  return names or known


def _run_all(out: pathlib.Path) -> dict[str, dict[str, dict]]:
  from gippo_jax.algorithms import ALGORITHMS

  problems = _chosen(_PROBLEMS.value, list(FUNCTIONS), "problems")
  algorithms = _chosen(_ALGORITHMS.value, list(ALGORITHMS), "algorithms")
  num_seeds, num_epochs = _PRESETS[_PRESET.value]
  num_seeds = _SEEDS.value or num_seeds
  configure_jax(num_seeds)
  results = {}
  for problem in problems:
    for algorithm in algorithms:
      summary = run_pair(FUNCTIONS[problem], algorithm, num_seeds, num_epochs, out / f"{problem}_{algorithm}")
      if summary["status"] == "interrupted":
        sys.exit(130)
      cell = cell_of(summary, FUNCTIONS[problem].paper.get(algorithm))
      results.setdefault(problem, {})[algorithm] = cell
      print(
        f"{problem} {algorithm}: {cell['mean']:.4g} (paper {cell['paper']:.4g}), {cell['seconds']:.0f} s", flush=True
      )
  return results


def main(arguments: Sequence[str]) -> int:
  """Runs what is missing, writes and prints the table."""
  if list(arguments[1:]) != ["functions"]:
    raise UserError("usage: python -m experiments.table functions [--preset=quick|paper] [--out=DIR]")
  out = pathlib.Path(_OUT.value)
  results = _run_all(out)
  seeds = len(next(iter(next(iter(results.values())).values()))["best_returns"])
  heading = (
    f"Mean of the best returns of {seeds} seeds (worst .. best seed), {_PRESETS[_PRESET.value][1]} epochs; the best "
    f"algorithm of a row in bold. Made on {datetime.date.today()} by `python -m experiments.table functions "
    f"--preset={_PRESET.value}`."
  )
  write(results, heading, out)
  show(results)
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    (docs / "images").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(out / "table.md", docs / "table_functions.md")
    shutil.copyfile(out / "table.json", docs / "table_functions.json")
    for problem, cells in results.items():
      for algorithm in cells:
        name = f"{problem}_{algorithm}"
        shutil.copyfile(out / name / "learning_curve.png", docs / "images" / f"{name}.png")
  return 0


if __name__ == "__main__":
  console(main)
