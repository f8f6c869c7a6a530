"""The host's side of a run: chunks, progress, files, checkpoints, signals. Nothing here is compiled."""

import pathlib
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import gippo_jax
from gippo_jax.envs.base import Environment
from gippo_jax.runs import checkpoint as checkpoints
from gippo_jax.programs import hosts
from gippo_jax.programs import memory
from gippo_jax.runs.checkpoint import Checkpoint
from gippo_jax.config import Config
from gippo_jax.runs.divergence import DivergenceWatch
from gippo_jax.programs.hosts import Decision
from gippo_jax.parsing import Experiment
from gippo_jax.runs.plotting import plot_learning_curve
from gippo_jax.runs.progress import Progress
from gippo_jax.runs.recording import NoRecorder, Recorder, read_rows
from gippo_jax.programs.members import Members
from gippo_jax.runs.workdir import Workdir, write_json

_CHUNK_SECONDS = 0.5
_CHUNK_CAPACITY = 256
_FIRST_CHUNK = 8
_SHOWN_WHEN_POSITIVE = {"sample_gradient_dropped": "dropped", "fault_share": "failed steps"}


class _Interrupt:
  """Notes Ctrl-C and termination, so that a chunk ends in peace; a second one stops at once."""

  def __init__(self):
    self.requested = False
    self._previous: dict[int, Any] = {}

  def __enter__(self):
    for number in (signal.SIGINT, signal.SIGTERM):
      self._previous[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *_):
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _note(self, number, frame):
    del frame
    self.requested = True
    signal.signal(number, self._previous[number])


def run(
  experiment: Experiment,
  env: Environment,
  workdir: Workdir,
  progress: Progress,
  make_members: Callable[[Environment, Config, int, int], Any] = Members,
) -> dict[str, Any]:
  """Trains all seeds of an experiment, from its last checkpoint if there is one.

  Args:
    experiment: configuration and seeds.
    env: the unbatched environment.
    workdir: opened for this experiment; only the first of several processes touches it.
    progress: told of every chunk.
    make_members: `Members`, or what spreads them over devices and processes otherwise (`ShardedMembers`).

  Returns:
    The summary, as written to `summary.json`.
  """
  seeds = list(range(experiment.run.seed, experiment.run.seed + experiment.run.num_seeds))
  members = make_members(env, experiment.config, len(seeds), chunk_capacity(experiment.config))
  summary = train_members(experiment, members, seeds, workdir, progress).summary
  if hosts.is_first():
    rows = read_rows(workdir)
    if rows:
      plot_learning_curve(rows, experiment.label.replace("_", " "), workdir.learning_curve)
    write_json(workdir.summary, summary)
  return summary


class Outcome(NamedTuple):
  """What training leaves.

  Attributes:
    states: of the members, `[num_members]`, on the host's default device.
    summary: of the run, as written to `summary.json`.
  """

  states: Any
  summary: dict[str, Any]


def chunk_capacity(config: Config) -> int:
  """Most epochs between two looks of the host."""
  return min(_CHUNK_CAPACITY, config.num_epochs)


def train_members(
  experiment: Experiment,
  members: Members,
  seeds: list[int],
  workdir: Workdir,
  progress: Progress,
  split_later: bool = False,
) -> Outcome:
  """Trains members, from their last checkpoint if there is one; a member that is lost stays as it was then.

  Args:
    experiment: what the members have in common.
    members: compiled already, or not yet.
    seeds: of the members, `[num_members]`.
    workdir: receives rows and checkpoints.
    progress: told of every chunk.
    split_later: see `Recorder`.

  Returns:
    States and summary; neither is written yet.
  """
  config, options = experiment.config, experiment.run
  steps_per_epoch = config.num_envs * config.horizon

  with _Interrupt() as interrupt:
    begin = time.monotonic()
    states = members.init(seeds)
    epoch, run_seconds, compile_seconds = 0, 0.0, 0.0
    watch = DivergenceWatch(len(seeds), config.horizon, options.tolerated_share)
    if hosts.of_first(lambda: checkpoints.latest_epoch(workdir.checkpoint)) is not None:
      like = members.gather(states)
      saved = hosts.of_first(lambda: checkpoints.restore(workdir.checkpoint, like))
      states, epoch = members.place(saved.states), saved.epoch
      run_seconds, compile_seconds = saved.run_seconds, saved.compile_seconds
      watch.resume(epoch, np.asarray(saved.states.epoch))
    if not members.is_compiled:
      members.compile(states)
    compile_seconds = compile_seconds or time.monotonic() - begin

    if hosts.is_first():
      recorder = Recorder(workdir, seeds, steps_per_epoch, options.log_interval, epoch, split_later)
    else:
      recorder = NoRecorder()
    progress.note(memory.describe(members.program_bytes))
    progress.start(epoch, config.num_epochs)
    started_from, began_at = epoch, time.monotonic()
    last_save = began_at
    decision = hosts.agree(Decision(_FIRST_CHUNK, save=False, stop=interrupt.requested))

    def seconds_so_far() -> float:
      return run_seconds + time.monotonic() - began_at

    def save() -> None:
      whole = members.gather(states)  # all processes together
      if hosts.is_first():
        checkpoints.save(workdir.checkpoint, Checkpoint(whole, epoch, seconds_so_far(), compile_seconds))

    unwritten = None
    while epoch < config.num_epochs and not decision.stop and not watch.lost.all():
      length = min(decision.chunk, members.capacity, config.num_epochs - epoch)
      chunk_begin = time.monotonic()
      frozen = watch.lost.copy()
      states, pending = members.launch(states, length, frozen)
      # The rows of the chunk before are written while the device works on this one.
      if unwritten:
        recorder.write(*unwritten)
      metrics = members.fetch(pending)
      seconds = time.monotonic() - chunk_begin
      speed = length * steps_per_epoch * int(np.sum(~frozen)) / seconds
      unwritten = (epoch, metrics, speed, config.num_epochs, frozen)
      watch.update(epoch, metrics)
      epoch += length
      progress.update(epoch, _shown({name: values[~frozen] for name, values in metrics.items()}, speed))
      chunk = max(1, min(4 * length, round(length * _CHUNK_SECONDS / max(seconds, 1e-6))))
      save_due = time.monotonic() - last_save > options.checkpoint_seconds
      decision = hosts.agree(Decision(chunk, save_due, interrupt.requested))
      if decision.save:
        recorder.write(*unwritten)  # a checkpoint never runs ahead of the rows
        unwritten = None
        save()
        last_save = time.monotonic()
    if unwritten:
      recorder.write(*unwritten)

    total_seconds = seconds_so_far()
    epochs_per_second = (epoch - started_from) / max(time.monotonic() - began_at, 1e-9)
    if epoch > started_from:
      save()
    progress.stop()
    recorder.close()

    if watch.lost.all():
      status = "diverged"
    else:
      status = "finished" if epoch == config.num_epochs else "interrupted"
    evaluation = members.evaluate(states, options.evaluation_episodes)
    best_evaluation = members.evaluate(states, options.evaluation_episodes, of_best=True)
    states = members.gather(states)
    returns = jax.device_get(states.returns)
    summary = {
      "status": status,
      "algorithm": config.algorithm,
      "environment": experiment.env,
      "seeds": seeds,
      "diverged": watch.lost.tolist(),
      "reasons": watch.reasons,
      "best_return": returns.best.tolist(),
      "final_return": returns.mean.tolist(),
      "evaluation_return": _mean_of_finite(evaluation),
      "evaluation_failed": np.isnan(evaluation).sum(axis=1).tolist(),
      "best_evaluation_return": _mean_of_finite(best_evaluation),
      "best_evaluation_failed": np.isnan(best_evaluation).sum(axis=1).tolist(),
      "epochs": epoch,
      "steps": epoch * steps_per_epoch,
      "compile_seconds": compile_seconds,
      "run_seconds": total_seconds,
      "epochs_per_second": epochs_per_second,
      "steps_per_second": epochs_per_second * steps_per_epoch * len(seeds),
      "memory_bytes": {**members.program_bytes, "peak": memory.peak_bytes()},
      "versions": versions(),
      "device": describe_device(),
    }
  return Outcome(states, summary)


def _mean_of_finite(returns: np.ndarray) -> list[float]:
  """Mean over the episodes in which nothing failed, `[num_members, episodes] -> [num_members]`."""
  return [float(np.mean(row[np.isfinite(row)])) if np.isfinite(row).any() else float("nan") for row in returns]


def _shown(metrics: dict[str, np.ndarray], steps_per_second: float) -> dict[str, float]:
  """The numbers of the progress line: means over the members."""
  shown = {"return": metrics["return"][:, -1].mean()}
  if "alpha" in metrics:
    shown["alpha"] = metrics["alpha"][:, -1].mean()
  if "sample_gradient_norm_by_age" in metrics:
    by_age = metrics["sample_gradient_norm_by_age"][:, -1].mean(axis=0)
    shown["gradient"] = metrics["sample_gradient_norm"][:, -1].mean()
    if len(by_age) > 1:
      shown["oldest/newest"] = by_age[0] / by_age[-1] if by_age[-1] else np.inf
    clipped = metrics.get("actor_clipped_steps", metrics.get("alpha_clipped_steps"))
    shown["clipped"] = clipped.mean()
  shown["steps/s"] = steps_per_second
  for name, label in _SHOWN_WHEN_POSITIVE.items():
    if name in metrics and metrics[name].any():
      shown[label] = metrics[name].mean()
  skipped = sum(values.sum() for name, values in metrics.items() if name.endswith(("nonfinite", "skipped_steps")))
  if skipped:
    shown["non-finite steps"] = skipped
  return shown


def versions() -> dict[str, str | None]:
  """Versions that a result depends on; the commit when the package runs from a git work tree."""
  import jaxlib

  return {
    "jax": jax.__version__,
    "jaxlib": jaxlib.__version__,
    "python": platform.python_version(),
    "package": gippo_jax.__version__,
    "git_commit": _git_commit(),
  }


def _git_commit() -> str | None:
  package = pathlib.Path(__file__).parent
  try:
    tracked = subprocess.run(
      ["git", "ls-files", "--error-unmatch", __file__], cwd=package, capture_output=True, check=False
    )
    if tracked.returncode:
      return None
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=package, capture_output=True, check=True, text=True)
  except (OSError, subprocess.CalledProcessError):
    return None
  return head.stdout.strip()


def describe_device() -> str:
  """Kind and number of the devices a run used."""
  devices = jax.devices()
  kind = devices[0].device_kind if devices[0].platform != "cpu" else f"{platform.machine()} {sys.platform}"
  return f"{devices[0].platform} ({kind}) x {len(devices)}"
