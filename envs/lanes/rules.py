"""How JAX's operations look with the environments along a last axis.

An axis has the same number with and without a further one behind it, so that most operations keep their parameters.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import numpy as np
from jax.extend.core import JaxprEqn

from gippo_jax.envs.lanes import indexing
from gippo_jax.envs.lanes.equations import bind
from gippo_jax.envs.lanes.products import dot_general
from gippo_jax.envs.lanes.values import SHORT, Lanes, Value

# Makes an equation's results with the last axis, or `None` where it does not know how.
Rule: TypeAlias = Callable[[Lanes, JaxprEqn, Sequence[Value]], Sequence[jax.Array] | None]

# Whatever does the same to every entry.
_ENTRY_BY_ENTRY = (
  *("add", "add_any", "sub", "mul", "div", "rem", "max", "min", "pow", "atan2", "nextafter", "neg", "abs", "sign"),
  *("floor", "ceil", "round", "exp", "exp2", "log", "log1p", "expm1", "sqrt", "rsqrt", "cbrt", "square", "integer_pow"),
  *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "logistic"),
  *("erf", "erfc", "erf_inv", "is_finite", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "xor", "clamp"),
  *("shift_left", "shift_right_logical", "shift_right_arithmetic", "convert_element_type", "copy", "copy_p"),
)
# Whatever works along axes that it names.
_ALONG_AXES = (
  *("reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin", "rev", "split"),
  *("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "sort", "squeeze", "concatenate"),
)


def one_by_one(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array]:
  """Any equation, as `jax.vmap` does it."""
  axes = [-1 if value.batched else None for value in inputs]
  mapped = jax.vmap(lambda *arrays: list(bind(equation, arrays)), axes, -1, axis_size=lanes.size)
  return mapped(*(value.array for value in inputs))


def _entry_by_entry(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array]:
  return bind(equation, _aligned(lanes, inputs))


def _aligned(lanes: Lanes, inputs: Sequence[Value]) -> list[jax.Array]:
  """Arrays of one shape; numbers that all environments share stay numbers."""
  rank = max(value.rank for value in inputs)
  (shape, *_) = (value.array.shape[:rank] for value in inputs if value.rank == rank)

  def align(value: Value) -> jax.Array:
    if value.rank == rank:
      return lanes.spread(value) if rank or value.batched else value.array
    if not value.batched:
      return value.array
    return jax.lax.broadcast_in_dim(value.array, (*shape, lanes.size), (rank,))

  return [align(value) for value in inputs]


def _along_axes(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array]:
  return bind(equation, [lanes.spread(value) for value in inputs])


def _select_n(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array]:
  which, *cases = inputs
  chosen = [lanes.spread(value) for value in cases]
  return bind(equation, [_aligned(lanes, [which, Value(chosen[0], True, False)])[0], *chosen])


def _broadcast_in_dim(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array] | None:
  if len(inputs) != 1:
    return None
  shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
  return [jax.lax.broadcast_in_dim(inputs[0].array, (*shape, lanes.size), (*axes, len(shape)))]


def _reshape(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array] | None:
  if len(inputs) != 1 or equation.params["dimensions"] is not None:
    return None
  return [jax.lax.reshape(inputs[0].array, (*equation.params["new_sizes"], lanes.size))]


def _transpose(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array]:
  return [jax.lax.transpose(inputs[0].array, (*equation.params["permutation"], inputs[0].rank))]


def _pad(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array] | None:
  array, filling = inputs
  if filling.batched:
    return None
  return bind(equation, [array.array, filling.array], padding_config=(*equation.params["padding_config"], (0, 0, 0)))


def _slice(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array]:
  params = equation.params
  starts, limits = (*params["start_indices"], 0), (*params["limit_indices"], lanes.size)
  if params["strides"] is None:
    return [lanes.slice(inputs[0].array, starts, limits)]
  return [jax.lax.slice(inputs[0].array, starts, limits, (*params["strides"], 1))]


def _dynamic_slice(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array] | None:
  array, *starts = inputs
  sizes = equation.params["slice_sizes"]
  if not array.batched or len(starts) != len(sizes) or not all(start.constant for start in starts):
    return None
  last = [size - length for size, length in zip(array.array.shape, sizes, strict=False)]
  begin = [min(max(int(start.array), 0), most) for start, most in zip(starts, last, strict=True)]
  limits = [start + length for start, length in zip(begin, sizes, strict=True)]
  return [lanes.slice(array.array, (*begin, 0), (*limits, lanes.size))]


def _reduce_sum(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array]:
  array, axes = inputs[0].array, equation.params["axes"]
  if len(axes) != 1 or not 0 < array.shape[axes[0]] <= SHORT:
    return bind(equation, [array])
  first, *others = [lanes.entry(array, index, axes[0]) for index in range(array.shape[axes[0]])]
  for other in others:
    first = jax.lax.add(first, other)
  return [first]


def _gather(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array] | None:
  operand, indices = inputs
  if not indices.constant:
    return None
  params, numbers = equation.params, equation.params["dimension_numbers"]
  behind = len(equation.outvars[0].aval.shape)  # type: ignore[attr-defined]
  numbers = numbers._replace(offset_dims=(*numbers.offset_dims, behind))
  sizes = (*params["slice_sizes"], lanes.size)
  made = indexing.gather(lanes.spread(operand), np.asarray(indices.array), numbers, sizes, params["mode"])
  return None if made is None else [made]


def _scatter(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array] | None:
  operand, indices, updates = inputs
  if not indices.constant:
    return None
  params, numbers = equation.params, equation.params["dimension_numbers"]
  numbers = numbers._replace(update_window_dims=(*numbers.update_window_dims, updates.rank))
  add = equation.primitive.name == "scatter-add"
  made = indexing.scatter(
    lanes.spread(operand), np.asarray(indices.array), lanes.spread(updates), numbers, params["mode"], add
  )
  return None if made is None else [made]


RULES: dict[str, Rule] = {
  **dict.fromkeys(_ENTRY_BY_ENTRY, _entry_by_entry),
  **dict.fromkeys(_ALONG_AXES, _along_axes),
  "select_n": _select_n,
  "broadcast_in_dim": _broadcast_in_dim,
  "reshape": _reshape,
  "transpose": _transpose,
  "pad": _pad,
  "slice": _slice,
  "dynamic_slice": _dynamic_slice,
  "reduce_sum": _reduce_sum,
  "dot_general": dot_general,
  "gather": _gather,
  "scatter": _scatter,
  "scatter-add": _scatter,
}
