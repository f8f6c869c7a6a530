"""What a run writes while it trains: `metrics.jsonl` and TensorBoard events, one row per logged epoch and seed."""

import json
import time

import numpy as np

from gippo_jax.plain import Plain
from gippo_jax.runs.events import event_file, first_event, purge_event, row_event
from gippo_jax.runs.files import Appender, Failures, finite_or_none
from gippo_jax.runs.workdir import Workdir


class Recorder:
  """Writes rows of metrics; what a full disk refuses is kept and tried again, and never stops the run.

  Args:
    workdir: where to; its rows end with `first_epoch` (`rows.resume_rows`).
    seeds: seed of each member.
    steps_per_epoch: environment steps of one member in an epoch.
    log_interval: every so many epochs a row is written; the first epoch always is.
    first_epoch: epochs done before.
    failures: told of what cannot be written.
    split_later: members are runs of their own, whose seeds may be equal and whose files are made of these rows later
      (`gippo_jax.sweep.split`): a row also has its member's index, and there are no events.
  """

  def __init__(
    self,
    workdir: Workdir,
    seeds: list[int],
    steps_per_epoch: int,
    log_interval: int,
    first_epoch: int,
    failures: Failures,
    split_later: bool = False,
  ):
    self._split_later = split_later
    self._seeds = seeds
    self._steps_per_epoch = steps_per_epoch
    self._log_interval = log_interval
    self._rows = Appender(workdir.metrics, failures)
    folders = [workdir.tensorboard / f"seed_{seed}" for seed in (() if split_later else seeds)]
    self._events = [Appender(event_file(folder), failures) for folder in folders]
    now = time.time()
    for folder, events in zip(folders, self._events, strict=True):
      # An earlier start may have got further than its last checkpoint.
      purge = [purge_event(now, first_epoch * steps_per_epoch + 1)] if folder.exists() else []
      events.append([first_event(now), *purge])

  @property
  def lost(self) -> int:
    """Rows and events that were given up, since too much waited for a full disk."""
    return sum(file.lost for file in (self._rows, *self._events))

  def write(
    self, epoch: int, metrics: dict[str, np.ndarray], steps_per_second: float, num_epochs: int, frozen: np.ndarray
  ) -> None:
    """Adds the logged epochs of a chunk.

    Args:
      epoch: epochs done before the chunk.
      metrics: arrays `[num_members, chunk]`, or `[num_members, chunk, entries]`.
      steps_per_second: environment steps of all members per second in this chunk.
      num_epochs: epochs of the whole run, the last of which is always logged.
      frozen: members that made no epoch, `[num_members]`; they get no rows.
    """
    length = next(iter(metrics.values())).shape[1]
    lines: list[bytes] = []
    events: list[list[bytes]] = [[] for _ in self._events]
    now = time.time()
    for index in range(length):
      done = epoch + index + 1
      if done % self._log_interval and done not in (1, num_epochs):
        continue
      for member, seed in enumerate(self._seeds):
        if frozen[member]:
          continue
        values = {name: column[member, index].tolist() for name, column in metrics.items()}
        steps = done * self._steps_per_epoch
        row: Plain = {"epoch": done, "seed": seed, "steps": steps, "steps_per_second": steps_per_second, **values}
        if events:
          events[member].append(row_event(now, row))
        lines.append(line_of({"member": member, **row} if self._split_later else row))
    self._rows.append(lines)
    for file, records in zip(self._events, events, strict=True):
      file.append(records)

  def sync(self) -> None:
    """Flushes all files to the disk."""
    for file in (self._rows, *self._events):
      file.sync()


def line_of(row: Plain) -> bytes:
  """A row as its line in `metrics.jsonl`."""
  return (json.dumps(finite_or_none(row), allow_nan=False) + "\n").encode()


class NoRecorder:
  """Writes nothing: what every process but the first has."""

  lost = 0

  def write(self, *_: object) -> None:
    """Does nothing."""

  def sync(self) -> None:
    """Does nothing."""


def hide_unfinished(metrics: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Metrics without the returns of epochs before the first episode has finished: NaN stands for "none yet".

  The compiled code has numbers there, so that JAX's search for NaN finds none in a healthy run.

  Args:
    metrics: arrays `[num_members, chunk]`.
  """
  none_yet = metrics["episodes"] == 0
  return metrics | {name: np.where(none_yet, np.nan, metrics[name]) for name in ("return", "best_return")}
