"""What became of a run, as `summary.json` holds it."""

import json
import pathlib
import zlib
from collections.abc import Sequence
from types import UnionType
from typing import NamedTuple, NotRequired, TypedDict, cast, get_args, get_origin, get_type_hints

import jax
import numpy as np

from gippo_jax.learning.state import TrainingState
from gippo_jax.parsing import Experiment
from gippo_jax.plain import Plain
from gippo_jax.programs import memory
from gippo_jax.programs.members import Runs
from gippo_jax.runs.divergence import DivergenceWatch
from gippo_jax.runs.files import finite_or_none, write_json
from gippo_jax.runs.history import HASH_EPOCH, History
from gippo_jax.runs.noise_free import mean_action_is_worse, standard_errors
from gippo_jax.runs.provenance import describe_device, versions


class Summary(TypedDict):
  """A run's summary; lists have an entry for each seed, and hold `None` (NaN before it is written) where there is none.

  `status` is `finished`, `interrupted` or `diverged`. Returns are undiscounted; `best_return` is the largest mean over
  the last 100 finished episodes, `final_return` the last such mean, `evaluation_return` that of the last policy's mean
  action on fresh episodes, `best_evaluation_return` of the best policy's. `phase_seconds` names where the time went.
  `state_hashes` are those of the states after `state_hash_epoch` epochs: equal hashes, equal runs up to there.
  `processor_seconds` are what the process's cores worked in `run_seconds`, which others' work lengthens.
  `goodput` is the share of `wall_seconds`, over all starts, in which epochs were trained that count.
  `failed_writes` counts writings of this start that failed, most of which were made good later.
  `final_return_error` is the standard error of `final_return`, and `mean_action_worse` says whether `evaluation_return`
  is below that by more than three standard errors (`runs.noise_free`).
  """

  status: str
  algorithm: str
  environment: dict[str, object]
  seeds: list[int]
  diverged: list[bool]
  reasons: list[str | None]
  episodes: list[int]
  best_return: Sequence[float | None]
  final_return: Sequence[float | None]
  evaluation_return: Sequence[float | None]
  evaluation_failed: list[int]
  best_evaluation_return: Sequence[float | None]
  best_evaluation_failed: list[int]
  final_return_error: NotRequired[Sequence[float | None]]
  mean_action_worse: NotRequired[list[bool | None]]
  state_hashes: NotRequired[list[str]]
  state_hash_epoch: NotRequired[int]
  epochs: int
  steps: int
  compile_seconds: float
  run_seconds: float
  processor_seconds: NotRequired[float]
  phase_seconds: dict[str, float]
  epochs_per_second: float
  steps_per_second: float
  memory_bytes: dict[str, int]
  versions: dict[str, str | None]
  device: str
  precision: NotRequired[str]
  deterministic: NotRequired[bool]
  starts: NotRequired[int]
  wall_seconds: NotRequired[float]
  goodput: NotRequired[float | None]
  failed_writes: NotRequired[int]
  members_side_by_side: NotRequired[int]


_CHECKSUM = "checksum"

# The lists, of which a member of a sweep gets its own entry.
BY_MEMBER = (
  *("seeds", "diverged", "reasons", "episodes", "best_return", "final_return"),
  *("evaluation_return", "evaluation_failed", "best_evaluation_return", "best_evaluation_failed"),
  *("final_return_error", "mean_action_worse", "state_hashes"),
)


def write_summary(file: pathlib.Path, summary: Summary, durable: bool = False) -> None:
  """Writes a `summary.json` with its checksum; arguments else as for `files.replace_file`."""
  values = cast(Plain, finite_or_none(summary))
  write_json(file, values | {_CHECKSUM: _checksum(values)}, durable)


def read_summary(file: pathlib.Path) -> Summary | None:
  """What a `summary.json` holds; one that cannot be read, or is not what a run has written, counts as none."""
  try:
    values = json.loads(file.read_text())
  except (OSError, ValueError, RecursionError):
    return None
  if not isinstance(values, dict) or values.pop(_CHECKSUM, None) != _checksum(values) or not is_summary(values):
    return None
  return cast(Summary, values)


def _checksum(values: Plain) -> str:
  """Of the numbers, whatever the spaces between them."""
  return f"{zlib.crc32(json.dumps(values, sort_keys=True).encode()):08x}"


def is_summary(values: object) -> bool:
  """Whether data are a run's summary: every field there, of its type, and the lists of one length."""
  hints = get_type_hints(Summary)
  if not isinstance(values, dict) or not Summary.__required_keys__ <= values.keys():
    return False
  if not all(_is_of(values[name], hint) for name, hint in hints.items() if name in values):
    return False
  return len({len(values[name]) for name in BY_MEMBER if name in values}) == 1


def _is_of(value: object, hint: object) -> bool:
  """Whether a value of JSON is of a type of the fields above."""
  origin, arguments = get_origin(hint), get_args(hint)
  if origin is UnionType:
    return any(_is_of(value, each) for each in arguments)
  if origin in (list, Sequence):
    return isinstance(value, list) and all(_is_of(entry, arguments[0]) for entry in value)
  if origin is dict:
    return isinstance(value, dict) and all(_is_of(entry, arguments[1]) for entry in value.values())
  if hint is float:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
  if hint is int:
    return isinstance(value, int) and not isinstance(value, bool)
  return isinstance(value, hint) if isinstance(hint, type) else False


class Ended(NamedTuple):
  """How a run ended.

  Attributes:
    status: as in the summary.
    epoch: epochs done.
    history: of the run.
    phase_seconds: by what was done, of this start.
    epochs_per_second: of this start.
    failed_writes: of this start.
  """

  status: str
  epoch: int
  history: History
  phase_seconds: dict[str, float]
  epochs_per_second: float
  failed_writes: int


def summarize(
  experiment: Experiment,
  seeds: list[int],
  members: Runs,
  states: TrainingState,
  evaluations: Sequence[np.ndarray],
  watch: DivergenceWatch,
  ended: Ended,
) -> Summary:
  """The summary of a run that has ended.

  Args:
    experiment: what the members have in common.
    seeds: of the members.
    members: they.
    states: of the members, `[num_members]`, on one device.
    evaluations: returns of the last and of the best policies, `[num_members, episodes]` each.
    watch: which members are lost, and why.
    ended: how.
  """
  config = experiment.config
  steps_per_epoch = config.num_envs * config.horizon
  history = ended.history
  returns = jax.device_get(states.returns)
  some = np.asarray(returns.finished) > 0
  last, best = evaluations
  final_return, error = np.where(some, returns.mean, np.nan).tolist(), standard_errors(returns)
  summary: Summary = {
    "status": ended.status,
    "algorithm": config.algorithm,
    "environment": experiment.env,
    "seeds": seeds,
    "diverged": watch.lost.tolist(),
    "reasons": watch.reasons,
    "episodes": np.asarray(returns.finished).tolist(),
    "best_return": np.where(some, returns.best, np.nan).tolist(),
    "final_return": final_return,
    "final_return_error": error,
    "mean_action_worse": mean_action_is_worse(last, final_return, error),
    "evaluation_return": _mean_of_finite(last),
    "evaluation_failed": np.isnan(last).sum(axis=1).tolist(),
    "best_evaluation_return": _mean_of_finite(best),
    "best_evaluation_failed": np.isnan(best).sum(axis=1).tolist(),
    "epochs": ended.epoch,
    "steps": ended.epoch * steps_per_epoch,
    "compile_seconds": history.compile_seconds,
    "run_seconds": history.run_seconds,
    "processor_seconds": history.processor_seconds,
    "wall_seconds": history.wall_seconds,
    "goodput": history.run_seconds / history.wall_seconds if history.wall_seconds else None,
    "starts": history.starts,
    "phase_seconds": ended.phase_seconds,
    "epochs_per_second": ended.epochs_per_second,
    "steps_per_second": ended.epochs_per_second * steps_per_epoch * len(seeds),
    "failed_writes": ended.failed_writes,
    "memory_bytes": {**members.program_bytes, "peak": memory.peak_bytes()},
    "versions": versions(),
    "device": describe_device(),
    "precision": history.precision,
    "deterministic": history.deterministic,
  }
  if history.hashes:
    summary["state_hash_epoch"] = HASH_EPOCH
    summary["state_hashes"] = history.hashes
  return summary


def _mean_of_finite(returns: np.ndarray) -> list[float]:
  """Mean over the episodes in which nothing failed, `[num_members, episodes] -> [num_members]`."""
  return [float(np.mean(row[np.isfinite(row)])) if np.isfinite(row).any() else float("nan") for row in returns]
