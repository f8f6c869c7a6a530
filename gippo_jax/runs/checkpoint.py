"""Checkpoints: the training state of all members and the seconds spent, one file `checkpoint/EPOCH.ckpt` each.

The two newest are kept, so that one can be damaged and the run goes on from the other. A file is written beside and
renamed (`runs.arrays`): a kill at any moment leaves complete ones.
"""

import pathlib
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gippo_jax.errors import UserError
from gippo_jax.learning.state import TrainingState
from gippo_jax.runs.arrays import Leaf, named_leaves, read_arrays, restore_tree, write_arrays

_KEPT = 2
_STATES = "states/"


class Checkpoint(NamedTuple):
  """What a run resumes from.

  Attributes:
    states: with leading axis `[num_members]`.
    epoch: epochs done.
    run_seconds: time spent in them.
    compile_seconds: time the first start spent on compiling.
  """

  states: TrainingState
  epoch: int
  run_seconds: float
  compile_seconds: float


def save(folder: pathlib.Path, checkpoint: Checkpoint) -> None:
  """Writes a checkpoint, then removes all but the two newest and what killed writers left.

  Args:
    folder: made if needed.
    checkpoint: states on the host or on one device. An epoch that is saved already is not saved again.
  """
  if not _file(folder, checkpoint.epoch).exists():
    save_leaves(folder, named_leaves({"states": checkpoint.states}), checkpoint)
  for epoch in _epochs(folder)[:-_KEPT]:
    _file(folder, epoch).unlink(missing_ok=True)
  for left in folder.glob("*.tmp"):
    left.unlink(missing_ok=True)


def save_leaves(folder: pathlib.Path, leaves: Mapping[str, Leaf], checkpoint: Checkpoint) -> None:
  """Writes a checkpoint whose states lie on the host already.

  Args:
    folder: made if needed.
    leaves: of the states, from `named_leaves`.
    checkpoint: everything else; its states do not count.
  """
  folder.mkdir(parents=True, exist_ok=True)
  times = {"run_seconds": checkpoint.run_seconds, "compile_seconds": checkpoint.compile_seconds}
  write_arrays(_file(folder, checkpoint.epoch), leaves, {"epoch": checkpoint.epoch, **times})


def rows_of(leaves: Mapping[str, Leaf], row: int) -> dict[str, Leaf]:
  """The leaves of one member, with a member axis of length 1."""
  return {name: leaf._replace(array=leaf.array[row : row + 1]) for name, leaf in leaves.items()}


def latest_epoch(folder: pathlib.Path) -> int | None:
  """Epoch of the newest checkpoint, or `None`."""
  return max(_epochs(folder), default=None)


def latest(folder: pathlib.Path) -> pathlib.Path | None:
  """File of the newest checkpoint, or `None`."""
  epoch = latest_epoch(folder)
  return None if epoch is None else _file(folder, epoch)


def restore(folder: pathlib.Path, states_like: TrainingState, tell: Callable[[str], None] = print) -> Checkpoint:
  """Reads the newest checkpoint that can be read.

  Args:
    folder: holds at least one.
    states_like: states of the expected structure, shapes and types; only those are used.
    tell: receives a line for each checkpoint that is damaged, when an older one takes its place.

  Raises:
    UserError: when there is none that can be read, with what is wrong with the newest.
  """
  first: UserError | None = None
  for epoch in reversed(_epochs(folder)):
    try:
      found = _restore(_file(folder, epoch), epoch, states_like)
    except UserError as error:
      first = first or error
      continue
    if first is not None:
      tell(f"{first}; going on from the checkpoint before it, of epoch {epoch}")
    return found
  raise first or UserError(f"--workdir: {folder} holds no checkpoint; allowed: the folder of a run that has trained")


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


def _restore(file: pathlib.Path, epoch: int, states_like: TrainingState) -> Checkpoint:
  leaves, metadata = read_arrays(file)
  if metadata.get("epoch") != epoch:
    raise UserError(f"{file} holds epoch {metadata.get('epoch')}; allowed: a checkpoint under its own name")
  states = restore_tree(file, leaves, {"states": states_like})["states"]
  return Checkpoint(states, epoch, float(metadata["run_seconds"]), float(metadata["compile_seconds"]))


def _file(folder: pathlib.Path, epoch: int) -> pathlib.Path:
  return folder / f"{epoch}.ckpt"


def _epochs(folder: pathlib.Path) -> list[int]:
  """In rising order."""
  matches = (re.fullmatch(r"(\d+)\.ckpt", path.name) for path in folder.glob("*.ckpt"))
  return sorted(int(match[1]) for match in matches if match)
