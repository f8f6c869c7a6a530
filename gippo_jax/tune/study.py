"""The study: asks Optuna for batches of trials, trains each batch, tells what came of it."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Iterator

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from gippo_jax.envs.base import Environment
from gippo_jax.errors import UserError
from gippo_jax.parsing import Experiment
from gippo_jax.plain import Plain
from gippo_jax.runs.divergence import DivergenceWatch
from gippo_jax.runs.progress import Progress
from gippo_jax.tune.batches import Programs, group_by_structure
from gippo_jax.tune.results import describe, write_results
from gippo_jax.tune.space import Space
from gippo_jax.tune.storage import Storage
from gippo_jax.tune.workers import Workers

_NUM_REPORTS = 20
_TRIALS_BEFORE_PRUNING = 5
_MOST_REFUSED = 100
_SECONDS_BETWEEN_LOOKS = 0.5
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclasses.dataclass(frozen=True)
class Options:
  """How the study goes on.

  Attributes:
    num_trials: complete and pruned trials of the study in the end, those of other processes and of earlier sessions
      included.
    batch: trials trained side by side.
    sampler_seed: of the sampler.
    prune: whether trials below the median of earlier ones are given up.
    storage: where the study is kept; a file in its folder when `None`.
    name: of the study in the storage; the experiment's when `None`.
  """

  num_trials: int
  batch: int
  sampler_seed: int = 0
  prune: bool = True
  storage: Storage | None = None
  name: str | None = None


def make_pruner(num_epochs: int) -> optuna.pruners.BasePruner:
  """Gives up trials below the median of earlier ones."""
  # The first tenth says little: alpha and the rates are still settling.
  return optuna.pruners.MedianPruner(n_startup_trials=_TRIALS_BEFORE_PRUNING, n_warmup_steps=num_epochs // 10)


def num_finished(study: optuna.Study) -> int:
  """Number of trials that were trained to an end: complete or pruned."""
  return len(study.get_trials(deepcopy=False, states=_FINISHED))


def make_programs(env: Environment, experiment: Experiment) -> Programs:
  """No program yet, for the seeds of an experiment."""
  run = experiment.run
  return Programs(env, list(range(run.seed, run.seed + run.num_seeds)), _NUM_REPORTS)


def tune(
  study: optuna.Study,
  experiment: Experiment,
  programs: Programs,
  space: Space,
  options: Options,
  folder: pathlib.Path,
  progress: Progress,
) -> None:
  """Trains batches of trials until the study has `options.num_trials`.

  The value of a trial is the mean over its seeds of the best return.

  Args:
    study: from `open_study`.
    experiment: what all trials have in common.
    programs: from `make_programs`; those that are missing are compiled and added.
    space: search space.
    options: of this session.
    folder: where `best.json` and `trials.csv` are renewed after every batch.
    progress: told of batches and chunks.

  Raises:
    UserError: when the space draws what is not allowed.
  """
  workers = Workers(study, alone=options.storage is None or not options.storage.is_shared)
  waits = False
  with workers.working():
    while True:
      at_work = workers.fail_abandoned()
      done = num_finished(study)
      if done >= options.num_trials:
        break
      if done + at_work >= options.num_trials:
        if not waits:
          progress.note(f"{done} of {options.num_trials} trials done; waiting for the {at_work} of other processes")
        waits = True
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        continue
      waits = False
      study.sampler = _sampler(options.sampler_seed, done, workers)
      trials, experiments = _draw(study, workers, space, experiment, options, done + at_work)
      for indices in group_by_structure([experiment.config for experiment in experiments]):
        group = _Group([trials[i] for i in indices], [experiments[i] for i in indices], study, progress)
        group.train(programs, options.num_trials)
      write_results(study, folder)


def _draw(
  study: optuna.Study, workers: Workers, space: Space, experiment: Experiment, options: Options, taken: int
) -> tuple[list[Trial], list[Experiment]]:
  """Draws trials that can be trained; a point that is not allowed is told as pruned, with its reason."""
  trials: list[Trial] = []
  experiments: list[Experiment] = []
  refused = 0
  while len(trials) < min(options.batch, options.num_trials - taken):
    trial = workers.ask(options.num_trials)
    if trial is None:
      break
    try:
      fields = space.draw(trial)
      trial.set_user_attr("fields", fields)
      experiments.append(space.apply(experiment, fields))
      trials.append(trial)
      continue
    except optuna.TrialPruned as pruned:
      reason = f"pruned by get_space: {pruned}"
    except UserError as error:
      reason = str(error)
    trial.set_user_attr("reason", reason)
    study.tell(trial, state=TrialState.PRUNED)
    refused += 1
    if refused > _MOST_REFUSED:
      raise UserError(f"--space: {space.path}: {refused} points in a row are not allowed, the last one since {reason}")
  return trials, experiments


def _sampler(seed: int, num_finished: int, workers: Workers) -> optuna.samplers.BaseSampler:
  # A generator for each batch, so that a resumed study draws what an uninterrupted one would have drawn.
  entropy = np.random.SeedSequence([seed, num_finished, *workers.entropy])
  return optuna.samplers.TPESampler(seed=int(entropy.generate_state(1)[0]))


class _Group:
  """Trials of a batch that share a program."""

  def __init__(self, trials: list[Trial], experiments: list[Experiment], study: optuna.Study, progress: Progress):
    self._trials = trials
    self._configs = [experiment.config for experiment in experiments]
    self._run = experiments[0].run
    self._study = study
    self._progress = progress
    self._alive = dict(enumerate(trials))

  def train(self, programs: Programs, num_trials: int) -> None:
    """Trains until the end, or until every trial is given up; tells the study."""
    num_epochs, num_seeds = self._configs[0].num_epochs, self._run.num_seeds
    numbers = ", ".join(str(trial.number) for trial in self._trials)
    self._progress.note(f"{num_finished(self._study)} of {num_trials} trials done; training trial {numbers}")
    chunks = programs.train(self._configs)
    watch = DivergenceWatch(len(self._trials) * num_seeds, self._configs[0].horizon, float(self._run.tolerated_share))
    best_returns = np.zeros((len(self._trials), num_seeds))
    self._progress.start(0, num_epochs)
    try:
      for epoch, metrics in chunks:
        watch.update(epoch - next(iter(metrics.values())).shape[1], metrics)
        returns = metrics["return"][:, -1].reshape(-1, num_seeds)
        best_returns = metrics["best_return"][:, -1].reshape(-1, num_seeds)
        self._give_up_diverged(np.asarray(watch.reasons, object).reshape(-1, num_seeds))
        for index in list(self._alive):
          with self._unless_taken(index):
            self._report(index, epoch, returns[index].mean(), last=epoch == num_epochs)
        self._progress.update(epoch, self._shown(returns))
        if not self._alive:
          break
      for index in list(self._alive):
        with self._unless_taken(index):
          self._complete(index, best_returns[index])
    finally:
      self._progress.stop()
    told = self._study.get_trials(deepcopy=False)  # in the order of their numbers
    for trial in self._trials:
      self._progress.note(describe(told[trial.number]))

  def _give_up_diverged(self, reasons: np.ndarray) -> None:
    for index in list(self._alive):
      lost = [(self._run.seed + seed, reason) for seed, reason in enumerate(reasons[index]) if reason]
      if lost:
        with self._unless_taken(index):
          self._give_up(index, "diverged: " + "; ".join(f"seed {seed}, {reason}" for seed, reason in lost))

  @contextlib.contextmanager
  def _unless_taken(self, index: int) -> Iterator[None]:
    """Drops a trial that another process has marked as failed, since this one was silent for too long."""
    try:
      yield
    except UpdateFinishedTrialError:
      self._alive.pop(index, None)

  def _report(self, index: int, epoch: int, mean_return: float, last: bool) -> None:
    if not np.isfinite(mean_return):  # no episode has ended yet
      return
    trial = self._alive[index]
    trial.report(float(mean_return), epoch)
    if not last and trial.should_prune():
      self._give_up(index, f"below the median of earlier trials at epoch {epoch}")

  def _complete(self, index: int, best_returns: np.ndarray) -> None:
    if not np.all(np.isfinite(best_returns)):
      self._give_up(index, "no episode ended")
      return
    trial = self._alive.pop(index)
    trial.set_user_attr("best_returns", best_returns.tolist())
    self._study.tell(trial, float(best_returns.mean()), skip_if_finished=True)

  def _give_up(self, index: int, reason: str) -> None:
    # Pruned, not failed: the sampler learns from pruned trials to keep away.
    trial = self._alive.pop(index)
    trial.set_user_attr("reason", reason)
    self._study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)

  def _shown(self, returns: np.ndarray) -> Plain:
    shown = {"alive": len(self._alive)}
    if self._alive:
      shown["best mean return"] = np.nanmax(returns.mean(axis=1)[list(self._alive)], initial=-np.inf)
    return shown
