"""Checkpoints: the training state of all members and the seconds spent, written by orbax under `checkpoint/EPOCH`."""

import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp


class Checkpoint(NamedTuple):
  """What a run resumes from.

  Attributes:
    states: `TrainingState` with leading axis `[num_members]`.
    epoch: epochs done.
    run_seconds: time spent in them.
    compile_seconds: time the first start spent on compiling.
  """

  states: Any
  epoch: int
  run_seconds: float
  compile_seconds: float


def save(folder: pathlib.Path, checkpoint: Checkpoint) -> None:
  """Writes a checkpoint, then removes older ones; a kill at any moment leaves a complete one."""
  target = folder.absolute() / str(checkpoint.epoch)
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(target, _to_tree(checkpoint), force=True)
    checkpointer.wait_until_finished()
  for epoch in _epochs(folder):
    if epoch != checkpoint.epoch:
      shutil.rmtree(folder / str(epoch))


def latest_epoch(folder: pathlib.Path) -> int | None:
  """Epoch of the newest complete checkpoint, or `None`."""
  return max(_epochs(folder), default=None)


def restore(folder: pathlib.Path, states_like: Any) -> Checkpoint:
  """Reads the newest checkpoint.

  Args:
    folder: holds one folder per checkpoint.
    states_like: states of the expected structure, shapes and types; only those are used.
  """
  epoch = latest_epoch(folder)
  # One device, named: a run may have been written on a machine with more of them.
  sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  like = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
    _to_tree(Checkpoint(states_like, 0, 0.0, 0.0)),
  )
  with ocp.StandardCheckpointer() as checkpointer:
    tree = checkpointer.restore(folder.absolute() / str(epoch), like)
  run_seconds, compile_seconds = (float(value) for value in tree["seconds"])
  return Checkpoint(tree["states"], epoch, run_seconds, compile_seconds)


def _to_tree(checkpoint: Checkpoint) -> dict[str, Any]:
  seconds = np.asarray([checkpoint.run_seconds, checkpoint.compile_seconds], np.float32)
  return {"states": checkpoint.states, "seconds": seconds}


def _epochs(folder: pathlib.Path) -> list[int]:
  # orbax writes under another name and renames at the end, so that a plain number is a complete checkpoint.
  return [int(path.name) for path in folder.glob("*") if path.name.isdigit()] if folder.is_dir() else []
