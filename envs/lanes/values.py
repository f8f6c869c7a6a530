"""Arrays of a program for one environment while it runs for many."""

from collections.abc import Sequence
from typing import NamedTuple

import jax

# The longest axis that is taken apart into its entries: components of vectors, quaternions and their matrices.
SHORT = 4


class Value(NamedTuple):
  """What a variable of one environment's program holds.

  Attributes:
    array: with the environments along a last axis if they differ in it.
    batched: whether they do.
    constant: whether it is known when the program is made.
  """

  array: jax.Array
  batched: bool
  constant: bool

  @property
  def rank(self) -> int:
    """Number of axes for one environment."""
    return self.array.ndim - self.batched


class Lanes:
  """The environments side by side, within one traced function.

  Attributes:
    size: number of environments.
  """

  def __init__(self, size: int):
    self.size = size
    # With the array itself, so that no other gets its identity.
    self._entries: dict[tuple[int, int], tuple[jax.Array, Sequence[jax.Array]]] = {}

  def spread(self, value: Value) -> jax.Array:
    """A value's array with the last axis, repeated if the environments share it."""
    if value.batched:
      return value.array
    shape = value.array.shape
    return jax.lax.broadcast_in_dim(value.array, (*shape, self.size), range(len(shape)))

  def slice(self, array: jax.Array, starts: Sequence[int], limits: Sequence[int]) -> jax.Array:
    """`jax.lax.slice`; where it takes entries of a short axis, that is taken apart once for all who do.

    The derivative of many slices is a sum of as many padded arrays, that of `jax.lax.split` one concatenation.
    """
    cut = [axis for axis, size in enumerate(array.shape) if (starts[axis], limits[axis]) != (0, size)]
    if len(cut) != 1 or array.shape[cut[0]] > SHORT:
      return jax.lax.slice(array, starts, limits)
    (axis,) = cut
    chosen = self._apart(array, axis)[starts[axis] : limits[axis]]
    return chosen[0] if len(chosen) == 1 else jax.lax.concatenate(chosen, axis)

  def entry(self, array: jax.Array, index: int, axis: int) -> jax.Array:
    """`array` at `index` of an axis, which is gone."""
    starts, limits = [0] * array.ndim, list(array.shape)
    starts[axis], limits[axis] = index, index + 1
    return jax.lax.squeeze(self.slice(array, starts, limits), [axis])

  def _apart(self, array: jax.Array, axis: int) -> Sequence[jax.Array]:
    key = (id(array), axis)
    if key not in self._entries:
      self._entries[key] = (array, jax.lax.split(array, [1] * array.shape[axis], axis))
    return self._entries[key][1]
