"""Checkpoints: the training state of all members and the seconds spent, written by orbax under `checkpoint/EPOCH`.

orbax takes 0.1 s for a checkpoint of any size, and wants all of several processes to write together; the members of a
sweep, and a run of several processes, are written in a small format instead, one file `checkpoint/EPOCH/arrays.npz`.
`restore` reads both.
"""

import os
import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

_ARRAYS = "arrays.npz"


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
  if jax.process_count() > 1:
    save_small(folder, checkpoint)
  else:
    with ocp.StandardCheckpointer() as checkpointer:
      checkpointer.save(folder.absolute() / str(checkpoint.epoch), _to_tree(checkpoint), force=True)
      checkpointer.wait_until_finished()
  for epoch in _epochs(folder):
    if epoch != checkpoint.epoch:
      shutil.rmtree(folder / str(epoch))


def save_small(folder: pathlib.Path, checkpoint: Checkpoint) -> None:
  """Writes a checkpoint as one file, quickly; a kill at any moment leaves a complete one or none.

  Args:
    folder: may hold checkpoints of other epochs, which stay.
    checkpoint: states on the host or on one device.
  """
  leaves = [np.asarray(raw(leaf)) for leaf in jax.tree.leaves(_to_tree(checkpoint))]
  temporary = folder / f"{checkpoint.epoch}.tmp"
  temporary.mkdir(parents=True, exist_ok=True)
  np.savez(temporary / _ARRAYS, *leaves)
  target = folder / str(checkpoint.epoch)
  shutil.rmtree(target, ignore_errors=True)
  os.replace(temporary, target)


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
  if (folder / str(epoch) / _ARRAYS).exists():
    return _restore_small(folder, epoch, states_like)
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


def _restore_small(folder: pathlib.Path, epoch: int, states_like: Any) -> Checkpoint:
  like, structure = jax.tree.flatten(_to_tree(Checkpoint(states_like, 0, 0.0, 0.0)))
  with np.load(folder / str(epoch) / _ARRAYS) as arrays:
    leaves = [of_kind(arrays[name], leaf) for name, leaf in zip(arrays.files, like, strict=True)]
  tree = jax.tree.unflatten(structure, leaves)
  run_seconds, compile_seconds = (float(value) for value in tree["seconds"])
  return Checkpoint(tree["states"], epoch, run_seconds, compile_seconds)


def _is_key(leaf: Any) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def raw(leaf: Any) -> Any:
  """An array's numbers, also of an array of random keys."""
  return jax.random.key_data(leaf) if isinstance(leaf, jax.Array) and _is_key(leaf) else leaf


def of_kind(array: np.ndarray, like: Any) -> Any:
  """Undoes `raw` where `like`, of which the type alone counts, is a random key."""
  return jax.random.wrap_key_data(array) if _is_key(like) else jnp.asarray(array, like.dtype)


def _to_tree(checkpoint: Checkpoint) -> dict[str, Any]:
  seconds = np.asarray([checkpoint.run_seconds, checkpoint.compile_seconds], np.float32)
  return {"states": checkpoint.states, "seconds": seconds}


def _epochs(folder: pathlib.Path) -> list[int]:
  # orbax writes under another name and renames at the end, so that a plain number is a complete checkpoint.
  return [int(path.name) for path in folder.glob("*") if path.name.isdigit()] if folder.is_dir() else []
