"""What a run writes while it trains: `metrics.jsonl` and TensorBoard events, one row per logged epoch and seed."""

import json

import numpy as np

from gippo_jax.plain import Plain
from gippo_jax.runs.workdir import Workdir, finite_or_none, write_text


class Recorder:
  """Writes rows of metrics.

  Args:
    workdir: where to.
    seeds: seed of each member.
    steps_per_epoch: environment steps of one member in an epoch.
    log_interval: every so many epochs a row is written; the first epoch always is.
    first_epoch: epochs done before; rows beyond it, left by a run that was killed, are removed.
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
    split_later: bool = False,
  ):
    from tensorboardX import SummaryWriter

    self._split_later = split_later
    self._seeds = seeds
    self._steps_per_epoch = steps_per_epoch
    self._log_interval = log_interval
    _drop_rows_after(workdir, first_epoch)
    self._rows = workdir.metrics.open("a")
    purge = first_epoch * steps_per_epoch + 1 if first_epoch else None
    self._writers = [
      SummaryWriter(str(workdir.tensorboard / f"seed_{seed}"), purge_step=purge, flush_secs=30)
      for seed in (() if split_later else seeds)
    ]

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
    for index in range(length):
      done = epoch + index + 1
      if done % self._log_interval and done not in (1, num_epochs):
        continue
      for member, seed in enumerate(self._seeds):
        if frozen[member]:
          continue
        values = {name: column[member, index].tolist() for name, column in metrics.items()}
        steps = done * self._steps_per_epoch
        row = {"epoch": done, "seed": seed, "steps": steps, "steps_per_second": steps_per_second, **values}
        if self._split_later:
          self._rows.write(json.dumps(finite_or_none({"member": member, **row}), allow_nan=False) + "\n")
          continue
        self._rows.write(json.dumps(finite_or_none(row), allow_nan=False) + "\n")
        for name, value in values.items():
          for tag, number in scalars(name, value):
            if np.isfinite(number):  # TensorBoard has no place for the others
              self._writers[member].add_scalar(tag, number, steps)
    self._rows.flush()

  def close(self) -> None:
    """Flushes and closes all files."""
    self._rows.close()
    for writer in self._writers:
      writer.close()


class NoRecorder:
  """Writes nothing: what every process but the first has."""

  def write(self, *_: object) -> None:
    """Does nothing."""

  def close(self) -> None:
    """Does nothing."""


# Groups of TensorBoard's tags, by the beginnings of metrics' names.
_GROUPS = (
  ("sample_gradient_", "gradient"),
  ("advantage_gradient_", "gradient"),
  ("advantage_", "advantage"),
  ("episodes", "return"),
  ("alpha_", "alpha"),
  ("critic_", "critic"),
  ("actor_", "actor"),
  ("ppo_", "ppo"),
  ("fault_", "faults"),
)
_TAGS = {
  "return": "return/mean",
  "best_return": "return/best",
  "episodes": "return/episodes",
  "alpha": "alpha/alpha",
  "sample_gradient_dropped": "faults/gradients_dropped",
  "episodes_nonfinite": "faults/episodes_nonfinite",
}


def tag_of(name: str) -> str:
  """TensorBoard's tag of a metric, `group/name`; what no group knows is the algorithm's own."""
  if "/" in name:
    return name
  if name in _TAGS:
    return _TAGS[name]
  for beginning, group in _GROUPS:
    if name.startswith(beginning):
      return f"{group}/{name.removeprefix(beginning)}"
  return f"algorithm/{name}"


def scalars(name: str, value: float | list[float]) -> list[tuple[str, float]]:
  """A metric as TensorBoard takes it: tags with a number each; the entries of a list are numbered."""
  tag = tag_of(name)
  if isinstance(value, list):
    return [(f"{tag}/{index}", number) for index, number in enumerate(value)]
  return [(tag, value)]


def hide_unfinished(metrics: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Metrics without the returns of epochs before the first episode has finished: NaN stands for "none yet".

  The compiled code has numbers there, so that JAX's search for NaN finds none in a healthy run.

  Args:
    metrics: arrays `[num_members, chunk]`.
  """
  none_yet = metrics["episodes"] == 0
  return metrics | {name: np.where(none_yet, np.nan, metrics[name]) for name in ("return", "best_return")}


def read_rows(workdir: Workdir) -> list[Plain]:
  """Complete rows of `metrics.jsonl`; a line that a kill cut short is left out."""
  rows = []
  if workdir.metrics.exists():
    for line in workdir.metrics.read_text().splitlines():
      try:
        rows.append(json.loads(line))
      except json.JSONDecodeError:
        break
  return rows


def _drop_rows_after(workdir: Workdir, epoch: int) -> None:
  if workdir.metrics.exists():
    kept = [row for row in read_rows(workdir) if row["epoch"] <= epoch]
    write_text(workdir.metrics, "".join(json.dumps(row) + "\n" for row in kept))
