"""Results of finished seeds as files, and what a comparison says of them."""

import datetime
import json
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.experiments.peers.lines import Finished, Request, Segment
from gippo_jax.experiments.peers.problems import PROBLEMS, TRAINERS
from gippo_jax.experiments.speed.parts import processor
from gippo_jax.plain import Plain
from gippo_jax.programs.devices import num_cores
from gippo_jax.runs.files import write_json
from gippo_jax.runs.statistics import Interval, bootstrap_interval


class Run(NamedTuple):
  """A finished seed.

  Attributes:
    problem, trainer: their names.
    request: what was asked for, without the other seeds.
    steps: environment steps at the evaluations, `[C + 1]`, the first one before any training.
    seconds: of the stretch before each evaluation, without compilation and evaluation, `[C + 1]`.
    cpu_seconds: of the process's cores in them, `[C + 1]`.
    returns: mean returns, `[C + 1]`.
    policy_steps, value_steps: gradient steps of the whole training.
    compile_seconds: `None` where the program of an earlier seed was used.
    is_first: whether the seed was the first of its process: only then everything was compiled.
    versions: of the packages.
    machine: processor, cores, load of the machine when the seed ended.
    made: day, as `2026-01-31`.
  """

  problem: str
  trainer: str
  request: Plain
  steps: list[int]
  seconds: list[float]
  cpu_seconds: list[float]
  returns: list[float]
  policy_steps: float
  value_steps: float
  compile_seconds: float | None
  is_first: bool
  versions: dict[str, str]
  machine: Plain
  made: str

  @property
  def clock(self) -> np.ndarray:
    """CPU seconds of training up to each evaluation, `[C + 1]`."""
    return np.cumsum(self.cpu_seconds)


def run_of(
  problem: str, trainer: str, request: Request, segments: Sequence[Segment], end: Finished, is_first: bool
) -> Run:
  """A seed's events, gathered."""
  return Run(
    problem=problem,
    trainer=trainer,
    request=_without_seeds(request),
    steps=[segment.steps for segment in segments],
    seconds=[segment.seconds for segment in segments],
    cpu_seconds=[segment.cpu_seconds for segment in segments],
    returns=[segment.mean_return for segment in segments],
    policy_steps=segments[-1].policy_steps,
    value_steps=segments[-1].value_steps,
    compile_seconds=end.compile_seconds,
    is_first=is_first,
    versions=end.versions,
    machine={"processor": processor(), "cores": num_cores(), "load": round(os.getloadavg()[0], 1)},
    made=str(datetime.date.today()),
  )


def path_of(out: pathlib.Path, problem: str, trainer: str, seed: int) -> pathlib.Path:
  """The file of a seed."""
  return out / f"{problem}_{trainer}_seed_{seed}.json"


def write_run(path: pathlib.Path, run: Run) -> None:
  """Writes a seed's file at once."""
  write_json(path, run._asdict(), durable=True)


def is_finished(path: pathlib.Path, request: Request) -> bool:
  """Whether a seed's file is there.

  Raises:
    UserError: when it is of another budget or other settings.
  """
  run = _read(path)
  if run is None:
    return False
  if run.request != _without_seeds(request):
    raise UserError(f"--out: {path} is of another budget or other settings; allowed: another folder")
  return True


def read_runs(out: pathlib.Path) -> dict[str, dict[str, list[Run]]]:
  """All finished seeds of a folder by problem and trainer, in the order in which they are compared."""
  found: dict[str, dict[str, list[Run]]] = {}
  for problem, entry in PROBLEMS.items():
    for trainer in entry.trainers:
      paths = sorted(out.glob(f"{problem}_{trainer}_seed_*.json"))
      runs = [run for run in map(_read, paths) if run is not None]
      if runs:
        found.setdefault(problem, {})[trainer] = runs
  return found


class Row(NamedTuple):
  """What a comparison says of a trainer on a problem.

  Attributes:
    mean: of the last policies' mean returns over the seeds.
    interval: its 95 % bootstrap interval; `None` for one seed.
    at_seconds: mean return after the seconds that the fastest trainer took, between evaluations on a line.
    steps_per_second, steps_per_cpu_second: medians over the stretches of all seeds.
    compile_seconds: mean over the processes.
    policy_steps, value_steps: gradient steps per environment step.
    reached: seeds whose mean return reached the threshold at an evaluation.
    threshold_steps, threshold_seconds: medians over these seeds.
    num_seeds: all.
  """

  mean: float
  interval: tuple[float, float] | None
  at_seconds: float
  steps_per_second: float
  steps_per_cpu_second: float
  compile_seconds: float | None
  policy_steps: float
  value_steps: float
  reached: int
  threshold_steps: float | None
  threshold_seconds: float | None
  num_seeds: int


def equal_seconds(trainers: dict[str, list[Run]]) -> float:
  """CPU seconds of the trainer that was done first, its seeds' mean."""
  return min(float(np.mean([run.clock[-1] for run in runs])) for runs in trainers.values())


def row_of(runs: Sequence[Run], seconds: float, threshold: float | None) -> Row:
  """A trainer's seeds, summed up.

  Args:
    runs: its seeds.
    seconds: at which returns are compared.
    threshold: a return that counts as learned.
  """
  last = np.asarray([run.returns[-1] for run in runs])
  interval = bootstrap_interval(last)
  stretches = [(np.diff(run.steps), np.asarray(run.seconds[1:]), np.asarray(run.cpu_seconds[1:])) for run in runs]
  speeds = np.concatenate([steps / wall for steps, wall, _ in stretches])
  cpu_speeds = np.concatenate([steps / cpu for steps, _, cpu in stretches])
  compiled = [run.compile_seconds for run in runs if run.is_first and run.compile_seconds is not None]
  arrivals = [_arrival(run, threshold) for run in runs] if threshold is not None else []
  reached = [arrival for arrival in arrivals if arrival is not None]
  total = sum(run.steps[-1] for run in runs)
  return Row(
    mean=float(last.mean()),
    interval=(float(interval.low), float(interval.high)) if interval else None,
    at_seconds=float(np.mean([np.interp(seconds, run.clock, run.returns) for run in runs])),
    steps_per_second=float(np.median(speeds)),
    steps_per_cpu_second=float(np.median(cpu_speeds)),
    compile_seconds=float(np.mean(compiled)) if compiled else None,
    policy_steps=sum(run.policy_steps for run in runs) / total,
    value_steps=sum(run.value_steps for run in runs) / total,
    reached=len(reached),
    threshold_steps=float(np.median([steps for steps, _ in reached])) if reached else None,
    threshold_seconds=float(np.median([wall for _, wall in reached])) if reached else None,
    num_seeds=len(runs),
  )


def verdict(ours: Row, theirs: Row) -> str:
  """`above`, `below` or `level`: where our mean return stands; level where the 95 % intervals overlap."""
  if ours.interval is None or theirs.interval is None or Interval(*ours.interval).overlaps(Interval(*theirs.interval)):
    return "level"
  return "above" if ours.mean > theirs.mean else "below"


def rivals_of(trainers: Sequence[str]) -> list[tuple[str, str]]:
  """Which of our trainers stands beside which of the peers': of the same kind, first-order or not."""
  kinds = {"shac": "apg", "ppo": "ppo"}
  return [
    (ours, theirs)
    for ours in trainers
    for theirs in trainers
    if TRAINERS[ours].is_ours
    and not TRAINERS[theirs].is_ours
    and kinds[TRAINERS[ours].algorithm] == TRAINERS[theirs].algorithm
  ]


def _arrival(run: Run, threshold: float) -> tuple[int, float] | None:
  """Steps and CPU seconds of the first evaluation at the threshold."""
  for steps, seconds, mean in zip(run.steps, run.clock, run.returns, strict=True):
    if mean >= threshold:
      return steps, float(seconds)
  return None


def _read(path: pathlib.Path) -> Run | None:
  """A seed's file; `None` when there is none that can be read."""
  try:
    return Run(**json.loads(path.read_text()))
  except (OSError, ValueError, TypeError):
    return None


def _without_seeds(request: Request) -> Plain:
  return json.loads(json.dumps({name: value for name, value in request._asdict().items() if name != "seeds"}))
