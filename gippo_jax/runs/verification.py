"""Trains a stored run again, from a checkpoint that it has kept to its newest one, and compares bit for bit."""

from typing import NamedTuple

import jax
import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.learning.state import TrainingState
from gippo_jax.parsing import HISTORY
from gippo_jax.programs.members import Runs
from gippo_jax.runs import checkpoint as checkpoints
from gippo_jax.runs import history as histories
from gippo_jax.runs.arrays import Leaf, named_leaves
from gippo_jax.runs.files import finite_or_none
from gippo_jax.runs.history import HASH_EPOCH
from gippo_jax.runs.initial import start_from
from gippo_jax.runs.progress import Progress
from gippo_jax.runs.recording import hide_unfinished
from gippo_jax.runs.rows import read_rows
from gippo_jax.runs.stored import StoredRun


class Verdict(NamedTuple):
  """What the comparison found.

  Attributes:
    first: epoch it was trained again from.
    last: epoch it was trained to.
    difference: the first difference in words; `None` when there is none.
    compared: rows of metrics that were compared.
  """

  first: int
  last: int
  difference: str | None
  compared: int


def verify(run: StoredRun, members: Runs, progress: Progress, from_start: bool = False) -> Verdict:
  """Trains again what lies between two checkpoints of a run.

  Args:
    run: the run; only read.
    members: of its configuration, not compiled.
    progress: told of every chunk.
    from_start: train again from the first epoch, not from the newest checkpoint but one.

  Returns:
    What differs first: an epoch and a metric, or an array of the state in the end.

  Raises:
    UserError: when the run has no checkpoint to compare with, or went on since the one it could start from.
  """
  folder, like = run.workdir.checkpoint, members.gather_shapes()
  epochs = checkpoints.epochs_in(folder)
  if not epochs:
    raise UserError(f"--workdir: {run.workdir.path} holds no checkpoint; allowed: the folder of a run that has trained")
  wanted = checkpoints.read(folder / f"{epochs[-1]}.ckpt", epochs[-1], like)
  went_on = _went_on_at(run)
  sources = [epoch for epoch in epochs[:-1] if epoch >= went_on]
  if from_start or not sources:
    if went_on:
      raise UserError(
        f"--workdir: {run.workdir.path} went on with more epochs at {went_on}, and no checkpoint from there on is kept "
        "but the last; allowed: a run that did not"
      )
    epoch, states = 0, members.init(run.seeds)
    if run.experiment.run.init_from:
      states = members.place(start_from(run.experiment.run.init_from, members.gather(states), run.seeds))
  else:
    found = checkpoints.read(folder / f"{sources[-1]}.ckpt", sources[-1], like)
    epoch, states = found.epoch, members.place(found.states)
  for change in histories.changes(wanted.history.software, histories.software(members.by_environment)):
    progress.note(f"equal bits are not to be expected: {change}")
  if not members.is_compiled:
    members.compile(members.abstract_states())
  return _train_and_compare(run, members, states, epoch, wanted, progress)


def _train_and_compare(
  run: StoredRun,
  members: Runs,
  states: TrainingState,
  first: int,
  wanted: checkpoints.Checkpoint,
  progress: Progress,
) -> Verdict:
  recorded = {(row["epoch"], row["seed"]): row for row in read_rows(run.workdir)}
  # A member that was given up made no more epochs.
  targets = np.asarray(jax.device_get(wanted.states.epoch))
  epoch, last, compared = first, int(targets.max()), 0
  progress.start(epoch, last)
  try:
    while epoch < last:
      frozen = targets <= epoch
      length = min([members.capacity, *(targets[~frozen] - epoch).tolist()])
      if epoch < HASH_EPOCH:
        length = min(length, HASH_EPOCH - epoch)
      states, pending = members.launch(states, length, frozen)
      metrics = hide_unfinished(members.fetch(pending))
      for index in range(length):
        for member, seed in enumerate(run.seeds):
          row = recorded.get((epoch + index + 1, seed))
          if row is None or frozen[member]:
            continue
          compared += 1
          name = _first_difference(row, {key: values[member, index].tolist() for key, values in metrics.items()})
          if name is not None:
            return Verdict(first, last, f"epoch {epoch + index + 1}, seed {seed}: metric {name}", compared)
      epoch += length
      if epoch == HASH_EPOCH and wanted.history.hashes:
        now = histories.state_hashes(named_leaves({"states": members.gather(states)}))
        if now != wanted.history.hashes:
          return Verdict(first, last, f"epoch {epoch}: the hash of the state", compared)
      progress.update(epoch, {})
  finally:
    progress.stop()
  leaves = (named_leaves({"states": each}) for each in (members.gather(states), wanted.states))
  name = _first_leaf(*leaves)
  return Verdict(first, last, None if name is None else f"epoch {last}: array {name}", compared)


def _first_difference(row: dict, metrics: dict) -> str | None:
  """The first metric that a row of `metrics.jsonl` has with another value."""
  return next((name for name, value in metrics.items() if row.get(name) != finite_or_none(value)), None)


def _first_leaf(ours: dict[str, Leaf], theirs: dict[str, Leaf]) -> str | None:
  """The first array whose bytes differ."""
  return next((name for name, leaf in ours.items() if leaf.array.tobytes() != theirs[name].array.tobytes()), None)


def _went_on_at(run: StoredRun) -> int:
  """Epochs that the run was configured for before it went on with more; 0 for one that did not."""
  history = (run.workdir.stored() or {}).get(HISTORY) or [0]
  return int(history[-1])
