"""Members on their way from the first epoch, or the last checkpoint, to the end: the loop on the host."""

import time
from collections.abc import Sequence

import numpy as np

from gippo_jax import registry
from gippo_jax.errors import UserCodeError
from gippo_jax.learning.state import TrainingState
from gippo_jax.parsing import Experiment
from gippo_jax.programs import devices, hosts, memory
from gippo_jax.programs.hosts import Decision
from gippo_jax.programs.members import Runs
from gippo_jax.runs import checkpoint as checkpoints
from gippo_jax.runs import history as histories
from gippo_jax.runs.arrays import named_leaves
from gippo_jax.runs.checkpoint import Checkpoint
from gippo_jax.runs.divergence import DivergenceWatch
from gippo_jax.runs.files import Failures
from gippo_jax.runs.history import HASH_EPOCH, History
from gippo_jax.runs.initial import start_from
from gippo_jax.runs.interrupt import Wish
from gippo_jax.runs.loggers import Guarded, Logger, Start
from gippo_jax.runs.progress import Phases, Progress, Steady
from gippo_jax.runs.recording import NoRecorder, Recorder, hide_unfinished
from gippo_jax.runs.rows import resume_rows
from gippo_jax.runs.shown import shown_numbers
from gippo_jax.runs.sinks import CsvFile, EventFiles, RowsFile
from gippo_jax.runs.summary import Ended, Summary, summarize
from gippo_jax.runs.workdir import Workdir

_CHUNK_SECONDS = 0.5
_FIRST_CHUNK = 8


class Training:
  """A run in its folder, which this process holds.

  Args:
    experiment: what the members have in common.
    members: compiled already, or not yet.
    seeds: of the members, `[num_members]`.
    workdir: receives rows and checkpoints; only the first of several processes touches it.
    progress: told of every chunk.
    interrupt: asked after every chunk.
    phases: what has taken time before.
    split_later: see `Recorder`.
    loggers: of the user's own, besides the files that every run has.
  """

  def __init__(
    self,
    experiment: Experiment,
    members: Runs,
    seeds: list[int],
    workdir: Workdir,
    progress: Progress,
    interrupt: Wish,
    phases: Phases,
    split_later: bool = False,
    loggers: Sequence[Logger] = (),
  ):
    self._experiment, self._members, self._seeds = experiment, members, seeds
    self._workdir, self._progress, self._interrupt = workdir, Steady(progress), interrupt
    self._phases, self._split_later, self._loggers = phases, split_later, loggers
    self._watch = DivergenceWatch(len(seeds), experiment.config.horizon, float(experiment.run.tolerated_share))
    self._failures = Failures(self._progress.note)
    self._epoch, self._saved_epoch = 0, 0
    self._before = History(
      precision=histories.precision(),
      software=histories.software(members.by_environment),
      deterministic=devices.is_deterministic(),
    )

  def begin(self) -> None:
    """Compiles, and makes the first states or reads the last."""
    begin = time.monotonic()
    members, run = self._members, self._experiment.run
    if not members.is_compiled:
      try:
        members.trace_evaluation(run.evaluation_episodes)
      except (TypeError, ValueError, NotImplementedError) as error:
        name = self._experiment.env.get("name")
        raise UserCodeError(
          f"config.env.name: {name!r} cannot be evaluated: {type(error).__name__}: {error}"
        ) from error
      with self._phases("compiling"):
        members.compile(members.abstract_states())
      memory.require_program(members.program_bytes)
    if hosts.of_first(lambda: checkpoints.latest_epoch(self._workdir.checkpoint)) is not None:
      self._resume(members.gather_shapes())
    else:
      with self._phases("initialising"):
        self._states = members.init(self._seeds)
      if run.init_from:
        whole = members.gather(self._states)
        self._states = members.place(start_from(run.init_from, whole, self._seeds))
      if hosts.is_first():
        self._match_rows(np.zeros(len(self._seeds), int))
    if not self._before.compile_seconds:
      self._before = self._before._replace(compile_seconds=time.monotonic() - begin)

  def _resume(self, like: TrainingState) -> None:
    now = self._before
    saved: Checkpoint = hosts.of_first_encoded(
      lambda: checkpoints.restore(self._workdir.checkpoint, like, self._progress.note),
      checkpoints.to_bytes,
      lambda content: checkpoints.from_bytes(content, like),
    )
    self._epoch = self._saved_epoch = saved.epoch
    self._watch.resume(saved.history.watch)
    changes = histories.changes(saved.history.software, now.software)
    if changes:
      self._progress.note(f"not bit for bit what an uninterrupted run computes from here on: {', '.join(changes)}")
    lost = 0.0
    if hosts.is_first():
      lost = _last_sign_of_life(self._workdir) - saved.history.saved_at
      self._match_rows(np.asarray(saved.states.epoch))
    self._before = saved.history._replace(
      wall_seconds=saved.history.wall_seconds + max(0.0, lost),
      starts=saved.history.starts + 1,
      software=now.software,
      deterministic=saved.history.deterministic and now.deterministic,
    )
    self._states = self._members.place(saved.states)

  def _match_rows(self, epochs: np.ndarray) -> None:
    interval = self._experiment.run.log_interval
    resume_rows(self._workdir, self._seeds, epochs, self._epoch, interval, self._progress.note)

  def advance(self) -> None:
    """Trains chunk after chunk, to the end or until a signal comes; saves at the end."""
    config, options = self._experiment.config, self._experiment.run
    steps_per_epoch = config.num_envs * config.horizon
    wanted = registry.find(config.algorithm).shown
    members, watch = self._members, self._watch
    self._recorder = self._make_recorder(steps_per_epoch, options.log_interval)
    self._progress.note(memory.describe(members.program_bytes))
    self._progress.start(self._epoch, config.num_epochs)
    self._started_from, self._began_at, self._began_processor_at = self._epoch, time.monotonic(), time.process_time()
    last_save = self._began_at
    decision = hosts.agree(Decision(_FIRST_CHUNK, save=False, stop=self._interrupt.requested))
    unwritten = None
    while self._epoch < config.num_epochs and not decision.stop and not watch.lost.all():
      length = min(decision.chunk, members.capacity, config.num_epochs - self._epoch)
      if self._epoch < HASH_EPOCH:
        length = min(length, HASH_EPOCH - self._epoch)
      chunk_begin = time.monotonic()
      frozen = watch.lost.copy()
      self._states, pending = members.launch(self._states, length, frozen)
      # The rows of the chunk before are written while the device works on this one.
      if unwritten:
        self._recorder.write(*unwritten)
      metrics = hide_unfinished(members.fetch(pending))
      seconds = time.monotonic() - chunk_begin
      speed = length * steps_per_epoch * int(np.sum(~frozen)) / seconds
      unwritten = (self._epoch, metrics, speed, config.num_epochs, frozen)
      watch.update(self._epoch, metrics)
      self._epoch += length
      if self._epoch == HASH_EPOCH:
        self._hash_states()
      alive = {name: values[~frozen] for name, values in metrics.items()}
      self._progress.update(self._epoch, shown_numbers(alive, wanted, speed))
      chunk = max(1, min(4 * length, round(length * _CHUNK_SECONDS / max(seconds, 1e-6))))
      save_due = bool(time.monotonic() - last_save > options.checkpoint_seconds)
      decision = hosts.agree(Decision(chunk, save_due, self._interrupt.requested))
      if decision.save:
        self._recorder.write(*unwritten)  # a checkpoint never runs ahead of the rows
        unwritten = None
        self._save()
        last_save = time.monotonic()
    if unwritten:
      self._recorder.write(*unwritten)
    self._at_end = self._so_far()
    if self._epoch > self._saved_epoch:
      self._save()
    self._recorder.sync()
    self._progress.stop()

  def finish(self) -> tuple[TrainingState, Summary]:
    """Evaluates what has ended, not what was interrupted, and says what became of it.

    Returns:
      States, `[num_members]` on one device, and summary.
    """
    members, num_episodes = self._members, self._experiment.run.evaluation_episodes
    nothing = np.zeros((len(self._seeds), 0))
    diverged, done = bool(self._watch.lost.all()), self._epoch >= self._experiment.config.num_epochs
    last = best = None
    if diverged or done:
      with self._phases("evaluating"):
        last = members.evaluate(self._states, num_episodes, stop=self._stop)
        if last is not None:
          best = members.evaluate(self._states, num_episodes, of_best=True, stop=self._stop)
    status = "interrupted" if last is None or best is None else "diverged" if diverged else "finished"
    states = members.gather(self._states)
    history = self._history(self._at_end)
    seconds = {**self._phases.seconds, "training": history.run_seconds - self._before.run_seconds}
    speed = (self._epoch - self._started_from) / max(seconds["training"], 1e-9)
    evaluations = tuple(nothing if returns is None else returns for returns in (last, best))
    ended = Ended(status, self._epoch, history, seconds, speed, self._failures.count)
    summary = summarize(self._experiment, self._seeds, members, states, evaluations, self._watch, ended)
    self._recorder.finish(summary)
    return states, summary

  def history(self) -> History:
    """What a checkpoint of the end knows of the run."""
    return self._history(self._at_end)

  def _make_recorder(self, steps_per_epoch: int, log_interval: int) -> Recorder | NoRecorder:
    if not hosts.is_first():
      return NoRecorder()
    files: list[Logger] = [RowsFile(self._failures)]
    if not self._split_later:
      files.append(EventFiles(self._failures))
    if self._workdir.metrics_table.exists() and not any(isinstance(logger, CsvFile) for logger in self._loggers):
      files.append(CsvFile(self._failures))
    start = Start(
      self._workdir.path,
      self._experiment.label,
      self._experiment.to_dict(),
      self._seeds,
      self._epoch,
      steps_per_epoch,
      self._progress.note,
    )
    guarded = [Guarded(logger, self._progress.note) for logger in self._loggers]
    return Recorder([*files, *guarded], start, log_interval, self._split_later)

  def _stop(self) -> bool:
    return hosts.agree(Decision(0, save=False, stop=self._interrupt.requested)).stop

  def _so_far(self) -> History:
    before = self._before
    return before._replace(
      run_seconds=before.run_seconds + time.monotonic() - self._began_at,
      processor_seconds=before.processor_seconds + time.process_time() - self._began_processor_at,
    )

  def _history(self, trained: History) -> History:
    wall = self._before.wall_seconds + self._phases.elapsed()
    return trained._replace(wall_seconds=wall, saved_at=time.time(), watch=self._watch.plain())

  def _hash_states(self) -> None:
    whole = self._members.gather(self._states)  # all processes together
    self._before = self._before._replace(hashes=histories.state_hashes(named_leaves({"states": whole})))

  def _save(self) -> None:
    whole = self._members.gather(self._states)  # all processes together
    if not hosts.is_first():
      return
    self._recorder.sync()
    folder = self._workdir.checkpoint
    try:
      checkpoints.save(folder, Checkpoint(whole, self._epoch, self._history(self._so_far())))
    except OSError as error:
      self._failures.note(folder, error, f"the newest checkpoint is of epoch {self._saved_epoch}; tried again later")
      return
    self._saved_epoch = self._epoch
    self._failures.recovered(folder)


def _last_sign_of_life(workdir: Workdir) -> float:
  """When the start before this one last wrote rows; seconds since 1970."""
  return workdir.metrics.stat().st_mtime if workdir.metrics.exists() else 0.0
