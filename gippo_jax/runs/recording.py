"""From the metrics of a chunk to the rows that loggers hear: one per logged epoch and seed."""

from collections.abc import Sequence

import numpy as np

from gippo_jax.plain import Plain
from gippo_jax.runs.loggers import Logger, Start
from gippo_jax.runs.summary import Summary


class Recorder:
  """Makes rows of metrics, and passes them on.

  Args:
    loggers: hear of the run.
    start: what they are told first.
    log_interval: every so many epochs there is a row; of the first epoch always.
    split_later: members are runs of their own, whose seeds may be equal and whose files are made of these rows later
      (`gippo_jax.sweep.split`): a row also has its member's index.
  """

  def __init__(self, loggers: Sequence[Logger], start: Start, log_interval: int, split_later: bool = False):
    self._loggers, self._start, self._log_interval, self._split_later = loggers, start, log_interval, split_later
    for logger in loggers:
      logger.begin(start)

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
    rows: list[Plain] = []
    for index in range(length):
      done = epoch + index + 1
      if done % self._log_interval and done not in (1, num_epochs):
        continue
      for member, seed in enumerate(self._start.seeds):
        if frozen[member]:
          continue
        values = {name: column[member, index].tolist() for name, column in metrics.items()}
        steps = done * self._start.steps_per_epoch
        row: Plain = {"epoch": done, "seed": seed, "steps": steps, "steps_per_second": steps_per_second, **values}
        rows.append({"member": member, **row} if self._split_later else row)
    for logger in self._loggers:
      logger.log(rows)

  def sync(self) -> None:
    """What was logged is to last."""
    for logger in self._loggers:
      logger.sync()

  def finish(self, summary: Summary) -> None:
    """The run has ended."""
    for logger in self._loggers:
      logger.finish(summary)


class NoRecorder:
  """Tells nobody: what every process but the first has."""

  def write(self, *_: object) -> None:
    """Does nothing."""

  def sync(self) -> None:
    """Does nothing."""

  def finish(self, summary: Summary) -> None:
    """Does nothing."""


def hide_unfinished(metrics: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Metrics without the returns of epochs before the first episode has finished: NaN stands for "none yet".

  The compiled code has numbers there, so that JAX's search for NaN finds none in a healthy run.

  Args:
    metrics: arrays `[num_members, chunk]`.
  """
  none_yet = metrics["episodes"] == 0
  return metrics | {name: np.where(none_yet, np.nan, metrics[name]) for name in ("return", "best_return")}
