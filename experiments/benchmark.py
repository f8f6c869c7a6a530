"""Speed of training: `python -m experiments.benchmark functions --out=FILE.json`.

Every row is the command a user types, run in a process of its own: once with an empty compilation cache (cold), once
more (warm). The last line is the whole table of the paper, compilation included. The numbers are the machine's; nothing
else should run on it.
"""

import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from absl import flags
from rich.console import Console
from rich.table import Table

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.tables.documents import replace_block
from gippo_jax.experiments.tables.family import VARIANTS
from gippo_jax.experiments.tables.problems import FAMILIES, FUNCTIONS
from gippo_jax.plain import Plain
from gippo_jax.programs.devices import num_cores

_OUT = flags.DEFINE_string("out", None, "File for the figures as JSON.")
_TABLE = flags.DEFINE_string("table", None, "Folder, not there yet, in which the timed table is kept.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose performance.md and benchmark.json are renewed.")
_CONFIG = pathlib.Path(__file__).parent / "configs" / "functions.py"

ALGORITHMS = [column for column in FAMILIES["functions"].algorithms if column not in VARIANTS]
# (problem, algorithm, seeds)
_ROWS = (
  *((problem, algorithm, 1) for problem in ("ackley64", "dejong64") for algorithm in ALGORITHMS),
  ("ackley1", "gippo", 1),
  ("dejong1", "gippo", 1),
  ("dejong1", "gippo", 8),
)
_COLUMNS = {
  "cold_compile_seconds": "compile, cold (s)",
  "run_seconds": "2000 epochs (s)",
  "warm_command_seconds": "command, warm (s)",
  "epochs_per_second": "epochs/s",
  "steps_per_second": "steps/s",
  "reference_seconds": "authors' PyTorch (s)",
  "times_faster": "times faster",
}


def measure(problem: str, algorithm: str, num_seeds: int) -> Plain:
  """Runs one command cold and warm.

  Args:
    problem: key of `FUNCTIONS`.
    algorithm: name of the algorithm.
    num_seeds: seeds in one compiled program.

  Returns:
    Seconds of compilation (tracing included) and of 2000 epochs, wall-clock seconds of both commands, speeds, and the
    ratio to the authors' code, per seed.
  """
  with tempfile.TemporaryDirectory() as folder:
    environment = {**os.environ, "XDG_CACHE_HOME": str(pathlib.Path(folder) / "cache")}
    cold, cold_wall = _run(problem, algorithm, num_seeds, pathlib.Path(folder) / "cold", environment)
    warm, warm_wall = _run(problem, algorithm, num_seeds, pathlib.Path(folder) / "warm", environment)
  reference = FUNCTIONS[problem].reference_seconds.get(algorithm)
  return {
    "problem": problem,
    "algorithm": algorithm,
    "num_seeds": num_seeds,
    "epochs": warm["epochs"],
    "cold_compile_seconds": cold["compile_seconds"],
    "warm_compile_seconds": warm["compile_seconds"],
    "run_seconds": min(cold["run_seconds"], warm["run_seconds"]),
    "cold_command_seconds": cold_wall,
    "warm_command_seconds": warm_wall,
    "epochs_per_second": max(cold["epochs_per_second"], warm["epochs_per_second"]),
    "steps_per_second": max(cold["steps_per_second"], warm["steps_per_second"]),
    "reference_seconds": reference and reference * num_seeds,
    "times_faster": reference and reference * num_seeds / min(cold["run_seconds"], warm["run_seconds"]),
    "device": warm["device"],
    "versions": warm["versions"],
  }


def _run(problem, algorithm, num_seeds, workdir, environment) -> tuple[Plain, float]:
  begin = time.monotonic()
  subprocess.run(
    [
      sys.executable,
      "-m",
      "gippo_jax.main",
      f"--config={_CONFIG}:{problem}",
      f"--config.algorithm={algorithm}",
      f"--config.num_seeds={num_seeds}",
      f"--workdir={workdir}",
    ],
    env=environment,
    stdout=subprocess.DEVNULL,
    check=True,
  )
  return json.loads((workdir / "summary.json").read_text()), time.monotonic() - begin


def measure_table(out: str | None) -> float:
  """Seconds of the paper's whole table, from an empty compilation cache and an empty folder.

  Args:
    out: the folder, kept; a temporary one when `None`.
  """
  with tempfile.TemporaryDirectory() as folder:
    environment = {**os.environ, "XDG_CACHE_HOME": str(pathlib.Path(folder) / "cache")}
    begin = time.monotonic()
    out = out or f"{folder}/table"
    command = [sys.executable, "-m", "experiments.table", "functions", "--preset=paper", f"--out={out}"]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begin


def _numbers(row: Plain) -> Iterator[str]:
  for name in _COLUMNS:
    value = row[name]
    yield "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def markdown(rows: Sequence[Plain], table_seconds: float) -> str:
  """The figures as a table, with the machine and the date."""
  header = ["problem, algorithm, seeds", *_COLUMNS.values()]
  lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
  for row in rows:
    name = f"{row['problem']}, {row['algorithm']}, {row['num_seeds']}"
    lines.append("| " + " | ".join([name, *_numbers(row)]) + " |")
  first = rows[0]
  cores = num_cores()
  return (
    "\n".join(lines)
    + f"\n\nThe paper's whole table (4 problems, 5 algorithms, 5 seeds, 2000 epochs), compilation included: "
    f"{table_seconds / 60:.1f} minutes.\n\n{cores} cores, {first['device']}, jax {first['versions']['jax']}, "
    f"{datetime.date.today()}.\n"
  )


def main(arguments: Sequence[str]) -> int:
  """Measures all rows, prints the table, writes the files."""
  if list(arguments[1:]) != ["functions"]:
    raise UserError("usage: python -m experiments.benchmark functions [--out=FILE.json]")
  if _TABLE.value and pathlib.Path(_TABLE.value).exists():
    raise UserError(f"--table: {_TABLE.value} is there already; allowed: a new folder")
  table = Table("problem", "algorithm", "seeds", *_COLUMNS.values())
  rows = []
  for problem, algorithm, num_seeds in _ROWS:
    row = measure(problem, algorithm, num_seeds)
    rows.append(row)
    table.add_row(problem, algorithm, str(num_seeds), *_numbers(row))
    print(f"{problem} {algorithm} x{num_seeds}: {row['run_seconds']:.2f} s", flush=True)
  table_seconds = measure_table(_TABLE.value)
  Console(width=140).print(table)
  print(f"the paper's table: {table_seconds:.0f} s")
  result = json.dumps({"rows": rows, "table_seconds": table_seconds}, indent=2) + "\n"
  if _OUT.value:
    pathlib.Path(_OUT.value).write_text(result)
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    (docs / "benchmark.json").write_text(result)
    replace_block(docs / "performance.md", "benchmark functions", markdown(rows, table_seconds))
  return 0


if __name__ == "__main__":
  console(main)
