"""Reads back what a run has left: its configuration, its best seed, its policies."""

import pathlib
from typing import NamedTuple

from gippo_jax.errors import UserError
from gippo_jax.learning.policies import Policy
from gippo_jax.parsing import Experiment, parse
from gippo_jax.runs import checkpoint
from gippo_jax.runs.policy_files import policy_file, read_policy, stored_seeds
from gippo_jax.runs.workdir import Workdir


class StoredRun(NamedTuple):
  """A run in its folder.

  Attributes:
    workdir: the folder.
    experiment: as it was configured.
  """

  workdir: Workdir
  experiment: Experiment

  @property
  def seeds(self) -> list[int]:
    """Of the members."""
    return self.experiment.seeds


def open_run(path: str | pathlib.Path, flag: str = "--workdir") -> StoredRun:
  """The run in a folder.

  Args:
    path: the folder.
    flag: that named it, for messages.

  Raises:
    UserError: when there is none.
  """
  workdir = Workdir(path)
  values = workdir.stored()
  if values is None:
    raise UserError(f"{flag}: {workdir.path} holds no run; allowed: the --workdir of a training")
  return StoredRun(workdir, parse(values))


def checkpoint_of(run: StoredRun, flag: str = "--workdir") -> pathlib.Path:
  """The file of a run's newest checkpoint.

  Raises:
    UserError: when it has none.
  """
  file = checkpoint.latest(run.workdir.checkpoint)
  if file is None:
    raise UserError(f"{flag}: {run.workdir.path} holds no checkpoint; allowed: the folder of a run that has trained")
  return file


def load_policy(workdir: str | pathlib.Path, seed: int | None = None, which: str = "best") -> Policy:
  """The trained policy of a run; needs neither its environment nor its algorithm.

  Args:
    workdir: the run's folder.
    seed: which of its seeds; the one of best evaluation when `None`.
    which: `best`, the policy of the best mean return in training, or `final`, the last one. Where no episode had
      finished, both are the last.

  Returns:
    The policy, a pytree: `policy(obs)` is the mean action.

  Raises:
    UserError: when the folder holds no trained policy, or no such seed, or the file is damaged.
  """
  if which not in ("best", "final"):
    raise UserError(f"which: {which!r} is not allowed; allowed: best, final")
  folder = Workdir(workdir)
  return read_policy(policy_file(folder.path, choose_seed(folder, seed, which)), which)


def choose_seed(workdir: Workdir, seed: int | None, which: str) -> int:
  """The seed asked for, or the one of best evaluation when `None`.

  Raises:
    UserError: when the folder holds no trained policy, or none of that seed.
  """
  seeds = stored_seeds(workdir.path)
  if not seeds:
    raise UserError(f"--workdir: {workdir.path} holds no trained policy; allowed: the folder of a run that has ended")
  if seed is None:
    return best_seed(workdir, seeds, which)
  if seed not in seeds:
    raise UserError(f"--seed: {seed} is not in the run; allowed: {', '.join(map(str, seeds))}")
  return seed


def best_seed(workdir: Workdir, seeds: list[int], which: str = "best") -> int:
  """The seed whose policy did best in the run's evaluation; the first where none was evaluated."""
  summary = workdir.read_summary()
  if summary is None:
    return seeds[0]
  returns = summary["best_evaluation_return"] if which == "best" else summary["evaluation_return"]
  by_seed = dict(zip(summary["seeds"], returns, strict=True))

  def score(seed: int) -> float:
    found = by_seed.get(seed)
    return -float("inf") if found is None else found

  return max(seeds, key=score)
