"""Runs from Python: what the command line does, as a function."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gippo_jax import registry
from gippo_jax.algorithms.base import Algorithm
from gippo_jax.config import Config, RunConfig
from gippo_jax.envs import check
from gippo_jax.envs.base import Environment
from gippo_jax.envs.imported import describe
from gippo_jax.errors import UserError
from gippo_jax.fields import build, plain
from gippo_jax.learning.policies import Policy
from gippo_jax.learning.setup import Setup
from gippo_jax.parsing import Experiment, parse
from gippo_jax.plain import Plain, PlainMapping
from gippo_jax.registry import AlgorithmSpec
from gippo_jax.runs.environments import make_environment
from gippo_jax.runs.loggers import Logger, require_loggers
from gippo_jax.runs.prepare import prepare
from gippo_jax.runs.progress import NoProgress, Phases, Progress, default_progress
from gippo_jax.runs.rows import read_rows
from gippo_jax.runs.runner import run
from gippo_jax.runs.stored import load_policy
from gippo_jax.runs.summary import Summary
from gippo_jax.runs.workdir import Workdir


class TrainedRun(NamedTuple):
  """A run that has ended.

  Attributes:
    workdir: its folder.
    summary: what `summary.json` holds.
  """

  workdir: pathlib.Path
  summary: Summary

  def policy(self, seed: int | None = None, which: str = "best") -> Policy:
    """A trained policy; see `load_policy`."""
    return load_policy(self.workdir, seed, which)

  def rows(self) -> list[Plain]:
    """The rows of `metrics.jsonl`, one per logged epoch and seed; their columns are the algorithm's."""
    return read_rows(Workdir(self.workdir))


def train_run(
  env: Environment | str | PlainMapping,
  config: Config | None = None,
  *,
  seeds: Sequence[int] = (1,),
  workdir: str | pathlib.Path | None = None,
  progress: bool | Progress = True,
  loggers: Sequence[Logger] = (),
  **options: object,
) -> TrainedRun:
  """Trains with files, progress and checkpoints; called again alike, it resumes, or reads what is done.

  Args:
    env: an environment, its name or import path, or its name and parameters as a mapping. For other commands to find
      it again, an object's class must be importable and a dataclass (or take no parameters).
    config: hyper-parameters; the defaults when `None`.
    seeds: consecutive ones, e.g. `range(4)`, trained in one compiled program.
    workdir: folder for the run's files; `runs/NAME` when `None`.
    progress: whether to show it, or what to show it on.
    loggers: hear of the run, besides the files that it always writes: your own, `Tracker("wandb")`, `CsvFile()`.
    **options: further fields of the run itself, e.g. `log_interval=1`, `checkpoint_seconds=10`.

  Returns:
    The run.

  Raises:
    UserError: as the command line ends with.
  """
  config = config or Config()
  require_loggers(loggers)
  seeds = list(seeds)
  if not seeds or seeds != list(range(seeds[0], seeds[0] + len(seeds))):
    raise UserError(f"seeds: {seeds!r} is not allowed; allowed: consecutive ones, e.g. range(4)")
  if isinstance(env, (str, Mapping)):
    named = {"name": env} if isinstance(env, str) else dict(env)
    made = make_environment(named)
  else:
    named, made = describe(env), env
    try:
      check(made)
    except ValueError as error:
      raise UserError(f"config.{error}") from None
  plugin = registry.plugin_of(config.algorithm)
  plugins = (plugin,) if plugin and plugin != "__main__" else ()
  run_config = build(RunConfig, {"plugins": plugins, **options, "seed": seeds[0], "num_seeds": len(seeds)}, "config")
  own = {name: plain(group) for name, group in config.own.items()}
  common = {name: value for name, value in plain(config).items() if name != "own"}
  # Through the same checks as the command line.
  experiment: Experiment = parse({**common, **own, **plain(run_config), "env": named})
  folder = Workdir(workdir or pathlib.Path("runs") / experiment.label)
  shown = progress if not isinstance(progress, bool) else default_progress() if progress else NoProgress()
  phases = Phases(shown)
  summary = prepare(experiment, made, folder, phases)
  if summary is None:
    summary = run(experiment, made, folder, shown, phases=phases, loggers=loggers)
  return TrainedRun(folder.path, summary)


def register_algorithm(
  name: str,
  label: str,
  groups: Mapping[str, type],
  make: Callable[[Setup], Algorithm],
  **attributes: Any,
) -> AlgorithmSpec:
  """Adds an algorithm of your own.

  Args:
    name, label, groups, make: as `AlgorithmSpec` has them.
    **attributes: its other attributes.

  Returns:
    What is registered.

  Raises:
    UserError: when there is one of that name, or a group of that name and another class.
  """
  return registry.register(AlgorithmSpec(name, label, groups, make, **attributes))
