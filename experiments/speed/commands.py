"""Commands that a user types, each in a process of its own, timed."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from gippo_jax.experiments.speed.authors import Authors
from gippo_jax.plain import Plain


class Command(NamedTuple):
  """A row of the benchmark.

  Attributes:
    label: for readers.
    words: of the command line behind `python -m`, without the folder for its results.
    authors: problem and algorithm that the authors' code trains, too; it does as many seeds one after the other.
    num_seeds: trained side by side.
  """

  label: str
  words: Sequence[str]
  authors: tuple[str, str] | None = None
  num_seeds: int = 1


class Timing(NamedTuple):
  """A command, once.

  Attributes:
    seconds: of the whole command.
    peak_bytes: most memory of its process.
    summary: what it wrote of itself.
  """

  seconds: float
  peak_bytes: int
  summary: Plain


def run(words: Sequence[str], workdir: pathlib.Path, cache: pathlib.Path) -> Timing:
  """Runs a command.

  Args:
    words: of the command line behind `python -m`.
    workdir: new folder for its results.
    cache: folder of compiled programs; an empty one is a cold start.

  Raises:
    RuntimeError: when it fails, with what it said last.
  """
  begin = time.monotonic()
  with tempfile.TemporaryFile("w+") as errors:
    process = subprocess.Popen(
      [sys.executable, "-m", *words, f"--workdir={workdir}"],
      env={**os.environ, "XDG_CACHE_HOME": str(cache)},
      stdout=subprocess.DEVNULL,
      stderr=errors,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
      errors.seek(0)
      said = errors.read().strip().splitlines() or ["nothing"]
      raise RuntimeError(f"{' '.join(words)} ended with {process.returncode} and said: {said[-1][:200]}")
  unit = 1 if sys.platform == "darwin" else 1024
  return Timing(time.monotonic() - begin, usage.ru_maxrss * unit, _summary_of(workdir))


def _summary_of(workdir: pathlib.Path) -> Plain:
  """What a run wrote of itself; of a sweep, the sums over the programs that its members ran in."""
  single = workdir / "summary.json"
  paths = [single] if single.exists() else sorted(workdir.glob("members/*/summary.json"))
  programs = {}
  for path in paths:
    summary = json.loads(path.read_text())
    programs[summary["compile_seconds"], summary["run_seconds"]] = summary
  first = next(iter(programs.values()))
  totals = {name: sum(summary[name] for summary in programs.values()) for name in ("compile_seconds", "run_seconds")}
  return {"epochs": first["epochs"], "steps": first["steps"], **totals}


def measure(command: Command, repeats: int, authors: Authors | None = None) -> Plain:
  """Runs a command with an empty cache once, and then with what that left; and the authors' code.

  Args:
    command: what to run.
    repeats: of the warm one, at least 1.
    authors: their code, if it is there.

  Returns:
    Cold and warm seconds of compilation (everything before the first epoch: tracing, compiling or reading the cache),
    seconds after it (median, least and most of all runs), seconds to the first epoch and of the whole warm command,
    speeds of the median, peak memory, and the ratio to the authors' code.
  """
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    cold = run(command.words, root / "cold", root / "cache")
    warm = [run(command.words, root / f"warm_{index}", root / "cache") for index in range(repeats)]
  seconds = [timing.summary["run_seconds"] for timing in (cold, *warm)]
  median = statistics.median(seconds)
  first = warm[0].summary
  alone = authors.seconds(*command.authors) if authors and command.authors else None
  reference = None if alone is None else alone * command.num_seeds
  return {
    "label": command.label,
    "num_seeds": command.num_seeds,
    "epochs": first["epochs"],
    "cold_compile_seconds": cold.summary["compile_seconds"],
    "warm_compile_seconds": statistics.median(timing.summary["compile_seconds"] for timing in warm),
    "run_seconds": median,
    "least_run_seconds": min(seconds),
    "most_run_seconds": max(seconds),
    "warm_start_seconds": statistics.median(timing.seconds - timing.summary["run_seconds"] for timing in warm),
    "warm_command_seconds": statistics.median(timing.seconds for timing in warm),
    "epochs_per_second": first["epochs"] / median,
    "steps_per_second": command.num_seeds * first["steps"] / median,
    "peak_bytes": max(timing.peak_bytes for timing in (cold, *warm)),
    "reference_seconds": reference,
    "times_faster": None if reference is None else reference / median,
  }


COLUMNS = (
  "problem, algorithm, seeds",
  "compile, cold (s)",
  "start, warm (s)",
  "training (s)",
  "command, warm (s)",
  "epochs/s",
  "steps/s",
  "peak memory (MiB)",
  "authors' PyTorch (s)",
  "times faster",
)


def cells(row: Plain) -> list[str]:
  """A row in words, in the order of the columns."""

  def text(value):
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"

  return [
    row["label"],
    text(row["cold_compile_seconds"]),
    text(row["warm_start_seconds"]),
    f"{text(row['run_seconds'])} ({text(row['least_run_seconds'])} to {text(row['most_run_seconds'])})",
    text(row["warm_command_seconds"]),
    text(row["epochs_per_second"]),
    f"{row['steps_per_second']:,.0f}",
    f"{row['peak_bytes'] / 2**20:,.0f}",
    text(row["reference_seconds"]),
    text(row["times_faster"]),
  ]
