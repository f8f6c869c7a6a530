"""Checkpoints: the training state of all members and the seconds spent, written by orbax under `checkpoint/EPOCH`."""

import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

# Where a checkpoint written by one of several processes has its states.
_PLAIN = "plain_states"


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
  with _checkpointer() as checkpointer:
    checkpointer.save(target, _to_tree(checkpoint, plain=jax.process_count() > 1), force=True)
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
  path = folder.absolute() / str(epoch)
  # One device, named: a run may have been written on a machine with more of them.
  sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  with _checkpointer() as checkpointer:
    plain = _PLAIN in checkpointer.metadata(path).item_metadata.tree
    like = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
      _to_tree(Checkpoint(states_like, 0, 0.0, 0.0), plain),
    )
    tree = checkpointer.restore(path, like)
  states = jax.tree.map(with_key, states_like, tree[_PLAIN]) if plain else tree["states"]
  run_seconds, compile_seconds = (float(value) for value in tree["seconds"])
  return Checkpoint(states, epoch, run_seconds, compile_seconds)


def _checkpointer() -> ocp.StandardCheckpointer:
  """A checkpointer that waits for no other process: only one of them ever calls it."""
  if jax.process_count() == 1:
    return ocp.StandardCheckpointer()
  me = jax.process_index()
  options = ocp.options.MultiprocessingOptions(
    primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"process_{me}"
  )
  return ocp.StandardCheckpointer(multiprocessing_options=options)


def _to_tree(checkpoint: Checkpoint, plain: bool) -> dict[str, Any]:
  """What is written; `plain` without JAX's own arrays, which orbax lets only all processes together write."""
  seconds = np.asarray([checkpoint.run_seconds, checkpoint.compile_seconds], np.float32)
  if plain:
    return {_PLAIN: jax.tree.map(without_key, checkpoint.states), "seconds": seconds}
  return {"states": checkpoint.states, "seconds": seconds}


def without_key(leaf: jax.Array) -> np.ndarray:
  """A leaf on the host, random keys as their numbers."""
  return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def with_key(like: Any, leaf: jax.Array) -> jax.Array:
  """Undoes `without_key` where `like`, of which the type alone counts, is a random key."""
  return jax.random.wrap_key_data(leaf) if _is_key(like) else leaf


def _is_key(leaf: Any) -> bool:
  return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _epochs(folder: pathlib.Path) -> list[int]:
  # orbax writes under another name and renames at the end, so that a plain number is a complete checkpoint.
  return [int(path.name) for path in folder.glob("*") if path.name.isdigit()] if folder.is_dir() else []
