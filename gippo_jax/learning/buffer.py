"""A ring of past transitions, of which a model learns."""

import jax
import jax.numpy as jnp
from flax import struct

from gippo_jax.envs.base import PyTree


class Ring(struct.PyTreeNode):
  """The last entries that were added.

  Attributes:
    entries: arrays `[C, ...]`.
    next_slot: place of the next one, a scalar integer.
    size: entries that there are, a scalar integer.
  """

  entries: PyTree
  next_slot: jax.Array
  size: jax.Array

  def add(self, batch: PyTree, usable: jax.Array) -> "Ring":
    """Adds the usable ones of a batch, in their order; the oldest make room.

    Args:
      batch: arrays `[B, ...]`, not more than the ring holds.
      usable: Boolean, `[B]`.
    """
    capacity = jax.tree.leaves(self.entries)[0].shape[0]
    order = jnp.cumsum(usable.astype(jnp.int32))
    slot = jnp.where(usable, (self.next_slot + order - 1) % capacity, capacity)
    entries = jax.tree.map(lambda old, new: old.at[slot].set(new, mode="drop"), self.entries, batch)
    return Ring(entries, (self.next_slot + order[-1]) % capacity, jnp.minimum(self.size + order[-1], capacity))

  def draw(self, key: jax.Array, shape: tuple[int, ...]) -> PyTree:
    """Entries at random, with replacement, `[*shape, ...]`; there must be some."""
    index = jax.random.randint(key, shape, 0, jnp.maximum(self.size, 1))
    return jax.tree.map(lambda leaf: leaf[index], self.entries)


def init_ring(entry: PyTree, capacity: int) -> Ring:
  """An empty ring.

  Args:
    entry: shapes and types of an entry.
    capacity: entries that it holds.
  """
  entries = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), entry)
  return Ring(entries, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
