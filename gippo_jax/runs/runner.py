"""The host's side of a run: chunks, progress, files, checkpoints, signals. Nothing here is compiled."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gippo_jax import registry
from gippo_jax.config import Config
from gippo_jax.envs.base import Environment
from gippo_jax.learning.state import TrainingState
from gippo_jax.parsing import Experiment
from gippo_jax.programs import hosts, memory
from gippo_jax.programs.hosts import Decision
from gippo_jax.programs.members import Runs, make_members
from gippo_jax.runs import checkpoint as checkpoints
from gippo_jax.runs.checkpoint import Checkpoint
from gippo_jax.runs.divergence import DivergenceWatch
from gippo_jax.runs.initial import start_from
from gippo_jax.runs.interrupt import Interrupt
from gippo_jax.runs.plotting import plot_learning_curve
from gippo_jax.runs.policy_files import Sizes, write_policies
from gippo_jax.runs.progress import Phases, Progress
from gippo_jax.runs.recording import NoRecorder, Recorder, hide_unfinished, read_rows
from gippo_jax.runs.shown import shown_numbers
from gippo_jax.runs.summary import Summary, Timing, summarize
from gippo_jax.runs.workdir import Workdir, write_json

_CHUNK_SECONDS = 0.5
_FIRST_CHUNK = 8


def run(
  experiment: Experiment,
  env: Environment,
  workdir: Workdir,
  progress: Progress,
  make: Callable[[Environment, Config, int], Runs] = make_members,
  phases: Phases | None = None,
) -> Summary:
  """Trains all seeds of an experiment, from its last checkpoint if there is one.

  Args:
    experiment: configuration and seeds.
    env: the unbatched environment.
    workdir: opened for this experiment; only the first of several processes touches it.
    progress: told of every chunk.
    make: `make_members`, or what spreads them over devices and processes otherwise (`ShardedMembers`).
    phases: what has taken time before; goes on into the summary.

  Returns:
    The summary, as written to `summary.json`.
  """
  members = make(env, experiment.config, len(experiment.seeds))
  outcome = train_members(experiment, members, experiment.seeds, workdir, progress, phases=phases)
  if hosts.is_first():
    write_policies(workdir.path, experiment, outcome.sizes, experiment.seeds, outcome.states)
    rows = read_rows(workdir)
    if rows:
      plot_learning_curve(rows, experiment.label.replace("_", " "), workdir.learning_curve)
    write_json(workdir.summary, outcome.summary)
  return outcome.summary


class Outcome(NamedTuple):
  """What training leaves.

  Attributes:
    states: of the members, `[num_members]`, on the host's default device.
    summary: of the run, as written to `summary.json`.
    sizes: of the environment.
  """

  states: TrainingState
  summary: Summary
  sizes: Sizes


def train_members(
  experiment: Experiment,
  members: Runs,
  seeds: list[int],
  workdir: Workdir,
  progress: Progress,
  split_later: bool = False,
  phases: Phases | None = None,
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

  Returns:
    States and summary; neither is written yet.
  """
  with Interrupt() as interrupt:
    training = _Training(experiment, members, seeds, workdir, progress, interrupt, phases or Phases(progress))
    training.begin()
    training.advance(split_later)
    return training.finish()


class _Training:
  """Members on their way from the first epoch, or the last checkpoint, to the end."""

  def __init__(
    self,
    experiment: Experiment,
    members: Runs,
    seeds: list[int],
    workdir: Workdir,
    progress: Progress,
    interrupt: Interrupt,
    phases: Phases,
  ):
    self._experiment, self._members, self._seeds = experiment, members, seeds
    self._workdir, self._progress, self._interrupt = workdir, progress, interrupt
    self._phases = phases
    self._watch = DivergenceWatch(len(seeds), experiment.config.horizon, float(experiment.run.tolerated_share))
    self._epoch, self._run_seconds, self._compile_seconds = 0, 0.0, 0.0

  def begin(self) -> None:
    """Makes the first states or reads the last, and compiles."""
    begin = time.monotonic()
    members = self._members
    with self._phases("initialising"):
      states = members.init(self._seeds)
    if hosts.of_first(lambda: checkpoints.latest_epoch(self._workdir.checkpoint)) is not None:
      like = members.gather(states)
      saved = hosts.of_first(lambda: checkpoints.restore(self._workdir.checkpoint, like, self._progress.note))
      states, self._epoch = members.place(saved.states), saved.epoch
      self._run_seconds, self._compile_seconds = saved.run_seconds, saved.compile_seconds
      self._watch.resume(self._epoch, np.asarray(saved.states.epoch))
    elif self._experiment.run.init_from:
      whole = members.gather(states)
      states = members.place(start_from(self._experiment.run.init_from, whole, self._seeds))
    if not members.is_compiled:
      with self._phases("compiling"):
        members.compile(states)
    self._states = states
    self._compile_seconds = self._compile_seconds or time.monotonic() - begin

  def advance(self, split_later: bool) -> None:
    """Trains chunk after chunk, to the end or until a signal comes; saves at the end."""
    config, options = self._experiment.config, self._experiment.run
    steps_per_epoch = config.num_envs * config.horizon
    wanted = registry.find(config.algorithm).shown
    members, watch = self._members, self._watch
    if hosts.is_first():
      recorder = Recorder(self._workdir, self._seeds, steps_per_epoch, options.log_interval, self._epoch, split_later)
    else:
      recorder = NoRecorder()
    self._progress.note(memory.describe(members.program_bytes))
    self._progress.start(self._epoch, config.num_epochs)
    self._started_from, self._began_at = self._epoch, time.monotonic()
    last_save = self._began_at
    decision = hosts.agree(Decision(_FIRST_CHUNK, save=False, stop=self._interrupt.requested))
    unwritten = None
    while self._epoch < config.num_epochs and not decision.stop and not watch.lost.all():
      length = min(decision.chunk, members.capacity, config.num_epochs - self._epoch)
      chunk_begin = time.monotonic()
      frozen = watch.lost.copy()
      self._states, pending = members.launch(self._states, length, frozen)
      # The rows of the chunk before are written while the device works on this one.
      if unwritten:
        recorder.write(*unwritten)
      metrics = hide_unfinished(members.fetch(pending))
      seconds = time.monotonic() - chunk_begin
      speed = length * steps_per_epoch * int(np.sum(~frozen)) / seconds
      unwritten = (self._epoch, metrics, speed, config.num_epochs, frozen)
      watch.update(self._epoch, metrics)
      self._epoch += length
      alive = {name: values[~frozen] for name, values in metrics.items()}
      self._progress.update(self._epoch, shown_numbers(alive, wanted, speed))
      chunk = max(1, min(4 * length, round(length * _CHUNK_SECONDS / max(seconds, 1e-6))))
      save_due = bool(time.monotonic() - last_save > options.checkpoint_seconds)
      decision = hosts.agree(Decision(chunk, save_due, self._interrupt.requested))
      if decision.save:
        recorder.write(*unwritten)  # a checkpoint never runs ahead of the rows
        unwritten = None
        self._save()
        last_save = time.monotonic()
    if unwritten:
      recorder.write(*unwritten)
    self._end_seconds = self._seconds()
    if self._epoch > self._started_from:
      self._save()
    self._progress.stop()
    recorder.close()

  def finish(self) -> Outcome:
    """Evaluates, and says what became of it."""
    members, num_episodes = self._members, self._experiment.run.evaluation_episodes
    with self._phases("evaluating"):
      evaluations = (
        members.evaluate(self._states, num_episodes),
        members.evaluate(self._states, num_episodes, of_best=True),
      )
    states = members.gather(self._states)
    seconds = {**self._phases.seconds, "training": self._end_seconds - self._run_seconds}
    speed = (self._epoch - self._started_from) / max(seconds["training"], 1e-9)
    timing = Timing(self._compile_seconds, self._end_seconds, seconds, speed)
    summary = summarize(self._experiment, self._seeds, members, states, evaluations, self._watch, self._epoch, timing)
    env = members.env
    return Outcome(states, summary, Sizes(env.observation_size, env.action_size))

  def _seconds(self) -> float:
    return self._run_seconds + time.monotonic() - self._began_at

  def _save(self) -> None:
    whole = self._members.gather(self._states)  # all processes together
    if hosts.is_first():
      checkpoint = Checkpoint(whole, self._epoch, self._seconds(), self._compile_seconds)
      checkpoints.save(self._workdir.checkpoint, checkpoint)
