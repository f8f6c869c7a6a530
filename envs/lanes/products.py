"""Products of matrices that every environment has its own of."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn

from gippo_jax.envs.lanes.values import SHORT, Lanes, Value

# Products of numbers that one product of matrices may become in arithmetic by entry.
_MOST_PRODUCTS = 8192


def dot_general(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> list[jax.Array] | None:
  """`jax.lax.dot_general` by arithmetic along the lanes.

  Matrices of up to 4 x 4 are written out, larger ones are multiplied entry by entry and summed.

  Returns:
    The product; `None` where a product of matrices proper is better: one is the same for all environments, or there
    is too much to multiply.
  """
  (left_contract, right_contract), (left_batch, right_batch) = equation.params["dimension_numbers"]
  left_shape, right_shape = (variable.aval.shape for variable in equation.invars)  # type: ignore[attr-defined]
  left_free = [axis for axis in range(len(left_shape)) if axis not in (*left_contract, *left_batch)]
  right_free = [axis for axis in range(len(right_shape)) if axis not in (*right_contract, *right_batch)]
  batch = [left_shape[axis] for axis in left_batch]
  rows = math.prod(left_shape[axis] for axis in left_free)
  columns = math.prod(right_shape[axis] for axis in right_free)
  inner = math.prod(left_shape[axis] for axis in left_contract)
  if not 0 < math.prod(batch) * rows * columns * inner <= _MOST_PRODUCTS:
    return None
  short = max(rows, columns, inner) <= SHORT
  if not short and not all(value.batched for value in inputs):
    return None

  def arranged(value: Value, order: Sequence[int], shape: Sequence[int]) -> jax.Array:
    array = lanes.spread(value).astype(equation.outvars[0].aval.dtype)  # type: ignore[attr-defined]
    return jax.lax.transpose(array, (*order, value.rank)).reshape(*batch, *shape, lanes.size)

  left = arranged(inputs[0], (*left_batch, *left_free, *left_contract), (rows, inner))
  right = arranged(inputs[1], (*right_batch, *right_free, *right_contract), (columns, inner))
  product = _written_out(lanes, left, right, len(batch)) if short else _summed(left, right)
  return [product.reshape(*equation.outvars[0].aval.shape, lanes.size)]  # type: ignore[attr-defined]


def _written_out(lanes: Lanes, left: jax.Array, right: jax.Array, axis: int) -> jax.Array:
  """From `[..., rows, inner, size]` and `[..., columns, inner, size]`, entry by entry."""

  def entries(array: jax.Array) -> list[list[jax.Array]]:
    lines = [lanes.entry(array, index, axis) for index in range(array.shape[axis])]
    return [[lanes.entry(line, index, axis) for index in range(line.shape[axis])] for line in lines]

  columns = entries(right)
  cells = [
    functools.reduce(jnp.add, [a * b for a, b in zip(row, column, strict=True)])
    for row in entries(left)
    for column in columns
  ]
  return jnp.stack(cells, axis)


def _summed(left: jax.Array, right: jax.Array) -> jax.Array:
  return jnp.sum(jnp.expand_dims(left, -3) * jnp.expand_dims(right, -4), axis=-2)
