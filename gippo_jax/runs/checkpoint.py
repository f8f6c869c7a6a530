"""Checkpoints: the training state of all members and the run's history, one file `checkpoint/EPOCH.ckpt` each.

The two newest are kept, so that one can be damaged and the run goes on from the other, and the one of the best mean
return. A file is written beside and renamed (`runs.arrays`): a kill at any moment leaves complete ones. One that is
damaged is set aside as `EPOCH.ckpt.damaged`.
"""

import io
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.learning.state import TrainingState
from gippo_jax.runs.arrays import (
  DamagedFile,
  Leaf,
  dump_arrays,
  load_arrays,
  named_leaves,
  read_arrays,
  read_header,
  restore_tree,
  write_arrays,
)
from gippo_jax.runs.history import History, history_of, require_precision

_KEPT = 2
_STATES = "states/"


class Checkpoint(NamedTuple):
  """What a run resumes from.

  Attributes:
    states: with leading axis `[num_members]`.
    epoch: epochs done.
    history: of the run.
  """

  states: TrainingState
  epoch: int
  history: History


def save(folder: pathlib.Path, checkpoint: Checkpoint) -> None:
  """Writes a checkpoint, then removes older ones; the two newest stay, and the best.

  Args:
    folder: made if needed.
    checkpoint: states on the host or on one device. An epoch that is saved already is not saved again.

  Raises:
    OSError: when it cannot be written; those that are there stay.
  """
  if not _file(folder, checkpoint.epoch).exists():
    save_leaves(folder, named_leaves({"states": checkpoint.states}), checkpoint)
  older = epochs_in(folder)[:-_KEPT]
  if older:
    scores = {epoch: _score_in(_file(folder, epoch)) for epoch in epochs_in(folder)}
    best = max(scores, key=lambda epoch: (scores[epoch], epoch))
    for epoch in older:
      if epoch != best:
        _file(folder, epoch).unlink(missing_ok=True)


def save_leaves(folder: pathlib.Path, leaves: Mapping[str, Leaf], checkpoint: Checkpoint) -> None:
  """Writes a checkpoint whose states lie on the host already.

  Args:
    folder: made if needed.
    leaves: of the states, from `named_leaves`.
    checkpoint: everything else; its states do not count.
  """
  folder.mkdir(parents=True, exist_ok=True)
  write_arrays(_file(folder, checkpoint.epoch), leaves, _metadata(leaves, checkpoint))


def rows_of(leaves: Mapping[str, Leaf], row: int) -> dict[str, Leaf]:
  """The leaves of one member, with a member axis of length 1."""
  return {name: leaf._replace(array=leaf.array[row : row + 1]) for name, leaf in leaves.items()}


def epochs_in(folder: pathlib.Path) -> list[int]:
  """Epochs of all checkpoints, in rising order."""
  matches = (re.fullmatch(r"(\d+)\.ckpt", path.name) for path in folder.glob("*.ckpt"))
  return sorted(int(match[1]) for match in matches if match)


def latest_epoch(folder: pathlib.Path) -> int | None:
  """Epoch of the newest checkpoint, or `None`."""
  return max(epochs_in(folder), default=None)


def latest(folder: pathlib.Path) -> pathlib.Path | None:
  """File of the newest checkpoint, or `None`."""
  epoch = latest_epoch(folder)
  return None if epoch is None else _file(folder, epoch)


def restore(folder: pathlib.Path, states_like: TrainingState, tell: Callable[[str], None] = print) -> Checkpoint:
  """Reads the newest checkpoint that can be read.

  Args:
    folder: holds at least one.
    states_like: states of the expected structure, shapes and types; only those are used.
    tell: receives a line for each checkpoint that is damaged, when an older one takes its place; it is set aside.

  Raises:
    UserError: when there is none that can be read, with what is wrong with the newest; or when one does not fit.
  """
  damaged: list[tuple[pathlib.Path, UserError]] = []
  for epoch in reversed(epochs_in(folder)):
    file = _file(folder, epoch)
    try:
      found = read(file, epoch, states_like)
    except DamagedFile as error:
      damaged.append((file, error))
      continue
    for bad, error in damaged:
      bad.rename(bad.with_name(f"{bad.name}.damaged"))
      tell(f"{error}; set aside, going on from the checkpoint before it, of epoch {epoch}")
    return found
  if damaged:
    raise damaged[0][1]
  raise UserError(f"--workdir: {folder} holds no checkpoint; allowed: the folder of a run that has trained")


def read(file: pathlib.Path, epoch: int, states_like: TrainingState) -> Checkpoint:
  """One checkpoint, verified.

  Args:
    file: of the checkpoint.
    epoch: that it must be of.
    states_like: as for `restore`.

  Raises:
    DamagedFile: when it is not what was written, or lies under another's name.
    UserError: when it does not fit.
  """
  leaves, metadata = read_arrays(file)
  return _checkpoint_of(file, epoch, states_like, leaves, metadata)


def to_bytes(checkpoint: Checkpoint) -> bytes:
  """A checkpoint as its file holds it, for another process."""
  leaves, content = named_leaves({"states": checkpoint.states}), io.BytesIO()
  dump_arrays(content, leaves, _metadata(leaves, checkpoint))
  return content.getvalue()


def from_bytes(content: bytes, states_like: TrainingState) -> Checkpoint:
  """Undoes `to_bytes`."""
  name = pathlib.Path("checkpoint")
  leaves, metadata = load_arrays(name, io.BytesIO(content))
  return _checkpoint_of(name, metadata["epoch"], states_like, leaves, metadata)


def restore_subtrees(file: pathlib.Path, like: dict[str, object]) -> dict[str, object]:
  """Parts of the states of a checkpoint, by the names of their fields.

  Args:
    file: of the checkpoint.
    like: the expected structure, shapes and types of each.

  Raises:
    UserError: when the file is damaged or a leaf does not fit.
  """
  leaves, _ = read_arrays(file)
  return {name: restore_tree(file, leaves, tree, f"{_STATES}{name}/") for name, tree in like.items()}


def _checkpoint_of(
  file: pathlib.Path, epoch: int, states_like: TrainingState, leaves: Mapping[str, Leaf], metadata: Mapping
) -> Checkpoint:
  if metadata.get("epoch") != epoch:
    raise DamagedFile(f"{file} holds epoch {metadata.get('epoch')}, under another one's name")
  try:
    history = history_of(metadata.get("history"))
  except ValueError:
    raise UserError(f"{file} is of another version; allowed: checkpoints of this one") from None
  require_precision(history.precision, file)
  states = restore_tree(file, leaves, {"states": states_like})["states"]
  return Checkpoint(states, epoch, history)


def _metadata(leaves: Mapping[str, Leaf], checkpoint: Checkpoint) -> dict[str, object]:
  finished = leaves[f"{_STATES}returns/finished"].array > 0
  means = leaves[f"{_STATES}returns/mean"].array[finished]
  score = float(np.mean(means)) if means.size and np.isfinite(np.mean(means)) else None
  return {"epoch": checkpoint.epoch, "score": score, "history": checkpoint.history.plain()}


def _score_in(file: pathlib.Path) -> float:
  """Mean over the members of the mean return at a checkpoint; of one that has none, less than any."""
  try:
    score = read_header(file).get("score")
  except UserError:
    score = None
  return -float("inf") if score is None else score


def _file(folder: pathlib.Path, epoch: int) -> pathlib.Path:
  return folder / f"{epoch}.ckpt"
