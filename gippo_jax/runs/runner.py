"""A run from its folder's opening to its summary. Nothing here is compiled."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gippo_jax.config import Config
from gippo_jax.envs.base import Environment
from gippo_jax.errors import UserError
from gippo_jax.learning.state import TrainingState
from gippo_jax.parsing import Experiment
from gippo_jax.programs import hosts
from gippo_jax.programs.members import Runs, make_members
from gippo_jax.runs.files import in_words
from gippo_jax.runs.history import History
from gippo_jax.runs.interrupt import Interrupt, Wish
from gippo_jax.runs.loggers import Logger
from gippo_jax.runs.plotting import plot_learning_curve
from gippo_jax.runs.policy_files import Sizes, write_policies
from gippo_jax.runs.progress import Phases, Progress
from gippo_jax.runs.rows import read_rows
from gippo_jax.runs.summary import Summary, write_summary
from gippo_jax.runs.training import Training
from gippo_jax.runs.workdir import Workdir


def run(
  experiment: Experiment,
  env: Environment,
  workdir: Workdir,
  progress: Progress,
  make: Callable[[Environment, Config, int], Runs] = make_members,
  phases: Phases | None = None,
  loggers: Sequence[Logger] = (),
) -> Summary:
  """Trains all seeds of an experiment, from its last checkpoint if there is one.

  Args:
    experiment: configuration and seeds.
    env: the unbatched environment.
    workdir: is opened, and held until the end; only the first of several processes touches it.
    progress: told of every chunk.
    make: `make_members`, or what spreads them over devices and processes otherwise (`ShardedMembers`).
    phases: what has taken time before; goes on into the summary.
    loggers: of the user's own, besides the files that every run has.

  Returns:
    The summary, as written to `summary.json`.

  Raises:
    UserError: when another process writes the folder, or it holds another run; or when the results cannot be written.
  """
  members = make(env, experiment.config, experiment.run.num_seeds)
  with Interrupt() as interrupt, _held(experiment, workdir):
    outcome = train_members(
      experiment, members, experiment.seeds, workdir, progress, phases=phases, interrupt=interrupt, loggers=loggers
    )
    if hosts.is_first():
      _write_results(experiment, workdir, outcome)
  return outcome.summary


class Outcome(NamedTuple):
  """What training leaves.

  Attributes:
    states: of the members, `[num_members]`, on the host's default device.
    summary: of the run, as written to `summary.json`.
    sizes: of the environment.
    history: of the run.
  """

  states: TrainingState
  summary: Summary
  sizes: Sizes
  history: History


def train_members(
  experiment: Experiment,
  members: Runs,
  seeds: list[int],
  workdir: Workdir,
  progress: Progress,
  split_later: bool = False,
  phases: Phases | None = None,
  interrupt: Wish | None = None,
  loggers: Sequence[Logger] = (),
) -> Outcome:
  """Trains members, from their last checkpoint if there is one; a member that is lost stays as it was then.

  Args:
    experiment: what the members have in common.
    members: compiled already, or not yet.
    seeds: of the members, `[num_members]`.
    workdir: receives rows and checkpoints.
    progress: told of every chunk.
    split_later: see `Recorder`.
    phases: what has taken time before.
    interrupt: the caller's, where more than the training is to end in peace, or for other reasons.
    loggers: as for `run`.

  Returns:
    States and summary; neither is written yet.
  """
  with contextlib.ExitStack() as stack:
    interrupt = interrupt or stack.enter_context(Interrupt())
    phases = phases or Phases(progress)
    training = Training(experiment, members, seeds, workdir, progress, interrupt, phases, split_later, loggers)
    training.begin()
    training.advance()
    states, summary = training.finish()
  env = members.env
  return Outcome(states, summary, Sizes(env.observation_size, env.action_size), training.history())


@contextlib.contextmanager
def _held(experiment: Experiment, workdir: Workdir) -> Iterator[None]:
  """The folder is the first process's; what speaks against it ends all of them."""
  with contextlib.ExitStack() as stack:
    hosts.of_first(lambda: stack.enter_context(workdir.held(experiment, may_go_on=True)))
    yield


def _write_results(experiment: Experiment, workdir: Workdir, outcome: Outcome) -> None:
  try:
    write_policies(workdir.path, experiment, outcome.sizes, experiment.seeds, outcome.states)
    rows = read_rows(workdir)
    if rows:
      plot_learning_curve(rows, experiment.label.replace("_", " "), workdir.learning_curve)
    write_summary(workdir.summary, outcome.summary, durable=True)
  except OSError as error:
    raise UserError(
      f"--workdir: {workdir.path} cannot be written ({in_words(error)}), after {outcome.summary['epochs']} epochs; the "
      "same command goes on from the last checkpoint; allowed: a folder with room that you may write to"
    ) from None
