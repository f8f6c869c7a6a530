"""Gathers and scatters by constant indices, written with slices.

Simulators take the parents of their joints and sum the forces on their bodies by arrays of indices that never change.
The derivative of such a gather is a scatter, which stays an operation of its own on a CPU. That of a slice is a padded
array, which can melt into the arithmetic around it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Each slice is an operation for the compiler, too.
_MOST_RUNS = 32


class Run(NamedTuple):
  """Equally spaced rows of an array.

  Attributes:
    first: row; negative for rows of zeros.
    step: from row to row, at least 0.
    number: of rows.
  """

  first: int
  step: int
  number: int


def runs_of(rows: Sequence[int]) -> list[Run]:
  """The fewest that a greedy search finds; a row of -1 is one of zeros."""
  found: list[Run] = []
  at = 0
  while at < len(rows):
    first = rows[at]
    step = rows[at + 1] - first if at + 1 < len(rows) else 0
    # A run of zeros repeats -1, and one of rows neither goes back nor ends in zeros.
    if step < 0 or (first < 0 and step > 0):
      step = 0
    number = 1
    while at + number < len(rows) and rows[at + number] == first + step * number:
      number += 1
    found.append(Run(first, step, number))
    at += number
  return found


def take_runs(x: jax.Array, runs: Sequence[Run]) -> jax.Array:
  """Rows of `x`, along its first axis, one run behind the other."""
  pieces = []
  for first, step, number in runs:
    if first < 0:
      pieces.append(jnp.zeros((number, *x.shape[1:]), x.dtype))
    elif step == 0:
      row = jax.lax.slice_in_dim(x, first, first + 1)
      pieces.append(jnp.broadcast_to(row, (number, *x.shape[1:])))
    else:
      pieces.append(jax.lax.slice_in_dim(x, first, first + step * (number - 1) + 1, step))
  return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces)


def gather(
  operand: jax.Array,
  indices: np.ndarray,
  numbers: jax.lax.GatherDimensionNumbers,
  slice_sizes: Sequence[int],
  mode: jax.lax.GatherScatterMode,
) -> jax.Array | None:
  """`jax.lax.gather` of whole rows by constant indices.

  Args:
    operand, indices, numbers, slice_sizes, mode: as there.

  Returns:
    Its result, bit for bit; `None` where it takes something other than whole rows, reads outside and fills, or is
    too scattered for slices.
  """
  dims = numbers.start_index_map
  rest = [dim for dim in range(operand.ndim) if dim not in dims]
  window = [operand.shape[dim] for dim in rest]
  if numbers.operand_batching_dims or sorted(numbers.collapsed_slice_dims) != sorted(dims):
    return None
  if [slice_sizes[dim] for dim in rest] != window:
    return None
  rows = _rows(indices, [operand.shape[dim] for dim in dims], mode)
  runs = runs_of(rows)
  if -1 in rows or not rows or len(runs) > _MOST_RUNS:
    return None
  flat = jnp.transpose(operand, (*dims, *rest)).reshape(-1, *window)
  batch = indices.shape[:-1]
  taken = take_runs(flat, runs).reshape(*batch, *window)
  of_window, of_batch = iter(range(len(batch), taken.ndim)), iter(range(len(batch)))
  order = [next(of_window) if dim in numbers.offset_dims else next(of_batch) for dim in range(taken.ndim)]
  return jnp.transpose(taken, order)


def scatter(
  operand: jax.Array,
  indices: np.ndarray,
  updates: jax.Array,
  numbers: jax.lax.ScatterDimensionNumbers,
  mode: jax.lax.GatherScatterMode,
  add: bool,
) -> jax.Array | None:
  """`jax.lax.scatter_add` or `jax.lax.scatter` of whole rows by constant indices.

  Args:
    operand, indices, updates, numbers, mode: as there.
    add: whether rows are added to those of `operand`, else they replace them, the last one where several do.

  Returns:
    Its result; `None` where it writes something other than whole rows, or is too scattered for slices.
  """
  dims = numbers.scatter_dims_to_operand_dims
  rest = [dim for dim in range(operand.ndim) if dim not in dims]
  window = [operand.shape[dim] for dim in rest]
  if numbers.operand_batching_dims or sorted(numbers.inserted_window_dims) != sorted(dims):
    return None
  if [updates.shape[dim] for dim in numbers.update_window_dims] != window:
    return None
  sizes = [operand.shape[dim] for dim in dims]
  layers = _layers(_rows(indices, sizes, mode), math.prod(sizes), add)
  runs = [runs_of(layer) for layer in layers]
  if sum(len(of_layer) for of_layer in runs) > _MOST_RUNS:
    return None
  order = [*dims, *rest]
  batch = [dim for dim in range(updates.ndim) if dim not in numbers.update_window_dims]
  rows = jnp.transpose(updates, (*batch, *numbers.update_window_dims)).reshape(-1, *window)
  result = jnp.transpose(operand, order).reshape(-1, *window)
  for layer, of_layer in zip(layers, runs, strict=True):
    moved = take_runs(rows, of_layer)
    written = np.asarray(layer).reshape(-1, *(1 for _ in window)) >= 0
    result = result + moved if add else jnp.where(written, moved, result)
  return jnp.transpose(result.reshape(*sizes, *window), np.argsort(order).tolist())


def _rows(indices: np.ndarray, sizes: Sequence[int], mode: jax.lax.GatherScatterMode) -> list[int]:
  """Row of the flattened leading axes that each index points at; -1 outside, where that does not count."""
  points = indices.reshape(-1, indices.shape[-1]).astype(np.int64)
  last = np.asarray(sizes, np.int64) - 1
  drops = mode == jax.lax.GatherScatterMode.FILL_OR_DROP
  outside = np.any((points < 0) | (points > last), axis=1) & drops
  rows = np.ravel_multi_index(tuple(np.clip(points, 0, last).T), tuple(sizes))
  return np.where(outside, -1, rows).tolist()


def _layers(targets: Sequence[int], size: int, add: bool) -> list[list[int]]:
  """For each target the update that it gets, -1 for none; a target that several are added to has one in each layer."""
  layers: list[list[int]] = []
  for row, target in enumerate(targets):
    if target < 0:
      continue
    free = [layer for layer in layers if layer[target] < 0 or not add]
    if not free:
      layers.append([-1] * size)
      free = layers[-1:]
    free[0][target] = row
  return layers
