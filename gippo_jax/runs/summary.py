"""What became of a run, as `summary.json` holds it."""

from typing import NamedTuple, NotRequired, TypedDict

import jax
import numpy as np

from gippo_jax.learning.state import TrainingState
from gippo_jax.parsing import Experiment
from gippo_jax.programs import memory
from gippo_jax.programs.members import Runs
from gippo_jax.runs.divergence import DivergenceWatch
from gippo_jax.runs.provenance import describe_device, versions


class Summary(TypedDict):
  """A run's summary; lists have an entry for each seed, and hold `None` (NaN before it is written) where there is none.

  `status` is `finished`, `interrupted` or `diverged`. Returns are undiscounted; `best_return` is the largest mean over
  the last 100 finished episodes, `final_return` the last such mean, `evaluation_return` that of the last policy's mean
  action on fresh episodes, `best_evaluation_return` of the best policy's. `phase_seconds` names where the time went.
  """

  status: str
  algorithm: str
  environment: dict[str, object]
  seeds: list[int]
  diverged: list[bool]
  reasons: list[str | None]
  episodes: list[int]
  best_return: list[float]
  final_return: list[float]
  evaluation_return: list[float]
  evaluation_failed: list[int]
  best_evaluation_return: list[float]
  best_evaluation_failed: list[int]
  epochs: int
  steps: int
  compile_seconds: float
  run_seconds: float
  phase_seconds: dict[str, float]
  epochs_per_second: float
  steps_per_second: float
  memory_bytes: dict[str, int]
  versions: dict[str, str | None]
  device: str
  members_side_by_side: NotRequired[int]


# The lists, of which a member of a sweep gets its own entry.
BY_MEMBER = (
  *("seeds", "diverged", "reasons", "episodes", "best_return", "final_return"),
  *("evaluation_return", "evaluation_failed", "best_evaluation_return", "best_evaluation_failed"),
)


class Timing(NamedTuple):
  """How long a run took.

  Attributes:
    compile_seconds: of the first start.
    run_seconds: of training, over all starts.
    phase_seconds: by what was done, of this start.
    epochs_per_second: of this start.
  """

  compile_seconds: float
  run_seconds: float
  phase_seconds: dict[str, float]
  epochs_per_second: float


def summarize(
  experiment: Experiment,
  seeds: list[int],
  members: Runs,
  states: TrainingState,
  evaluations: tuple[np.ndarray, np.ndarray],
  watch: DivergenceWatch,
  epoch: int,
  timing: Timing,
) -> Summary:
  """The summary of a run that has ended.

  Args:
    experiment: what the members have in common.
    seeds: of the members.
    members: they.
    states: of the members, `[num_members]`, on one device.
    evaluations: returns of the last and of the best policies, `[num_members, episodes]` each.
    watch: which members are lost, and why.
    epoch: epochs done.
    timing: how long it took.
  """
  config = experiment.config
  steps_per_epoch = config.num_envs * config.horizon
  if watch.lost.all():
    status = "diverged"
  else:
    status = "finished" if epoch >= config.num_epochs else "interrupted"
  returns = jax.device_get(states.returns)
  some = np.asarray(returns.finished) > 0
  last, best = evaluations
  return {
    "status": status,
    "algorithm": config.algorithm,
    "environment": experiment.env,
    "seeds": seeds,
    "diverged": watch.lost.tolist(),
    "reasons": watch.reasons,
    "episodes": np.asarray(returns.finished).tolist(),
    "best_return": np.where(some, returns.best, np.nan).tolist(),
    "final_return": np.where(some, returns.mean, np.nan).tolist(),
    "evaluation_return": _mean_of_finite(last),
    "evaluation_failed": np.isnan(last).sum(axis=1).tolist(),
    "best_evaluation_return": _mean_of_finite(best),
    "best_evaluation_failed": np.isnan(best).sum(axis=1).tolist(),
    "epochs": epoch,
    "steps": epoch * steps_per_epoch,
    "compile_seconds": timing.compile_seconds,
    "run_seconds": timing.run_seconds,
    "phase_seconds": timing.phase_seconds,
    "epochs_per_second": timing.epochs_per_second,
    "steps_per_second": timing.epochs_per_second * steps_per_epoch * len(seeds),
    "memory_bytes": {**members.program_bytes, "peak": memory.peak_bytes()},
    "versions": versions(),
    "device": describe_device(),
  }


def _mean_of_finite(returns: np.ndarray) -> list[float]:
  """Mean over the episodes in which nothing failed, `[num_members, episodes] -> [num_members]`."""
  return [float(np.mean(row[np.isfinite(row)])) if np.isfinite(row).any() else float("nan") for row in returns]
