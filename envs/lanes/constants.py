"""Operations on constants, by NumPy when a program is made: JAX would compile each of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

Parameters = Mapping[str, Any]


def evaluate(kind: str, params: Parameters, operands: Sequence[jax.Array]) -> np.ndarray | None:
  """Result of an operation.

  Args:
    kind: name of JAX's primitive.
    params: its parameters.
    operands: what it is applied to, all known.

  Returns:
    The result; `None` for an operation that is not known here, or on numbers of which NumPy may make something else.
  """
  if not all(isinstance(operand.dtype, np.dtype) and operand.dtype.kind in "biu" for operand in operands):
    return None  # random keys, and floats, which NumPy rounds to integers in its own way
  arrays = [np.asarray(operand) for operand in operands]
  if kind == "rem" and not np.all(arrays[1]):
    return None  # NumPy has another word for what is left of a division by zero
  if kind in _PLAIN:
    return np.asarray(_PLAIN[kind](*arrays))
  if kind in _WITH_PARAMETERS:
    return np.asarray(_WITH_PARAMETERS[kind](params, *arrays))
  return None


def _iota(params: Parameters) -> np.ndarray:
  shape, along = params["shape"], params["dimension"]
  counted = np.arange(shape[along], dtype=params["dtype"])
  return np.broadcast_to(np.expand_dims(counted, [axis for axis in range(len(shape)) if axis != along]), shape)


def _broadcast(params: Parameters, array: np.ndarray) -> np.ndarray:
  shape, axes = params["shape"], params["broadcast_dimensions"]
  missing = [axis for axis in range(len(shape)) if axis not in axes]
  return np.broadcast_to(np.expand_dims(array, missing), shape)


def _select(params: Parameters, which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
  del params
  nothing = np.zeros((), cases[0].dtype)  # with a plain 0, truth values would become integers
  return np.select([which == index for index in range(len(cases))], cases, nothing)


_PLAIN: dict[str, Callable[..., np.ndarray]] = {
  "add": np.add,
  "and": np.bitwise_and,
  "eq": np.equal,
  "ge": np.greater_equal,
  "gt": np.greater,
  "le": np.less_equal,
  "lt": np.less,
  "max": np.maximum,
  "min": np.minimum,
  "mul": np.multiply,
  "ne": np.not_equal,
  "not": np.invert,
  "or": np.bitwise_or,
  "rem": np.fmod,
  "sub": np.subtract,
}

_WITH_PARAMETERS: dict[str, Callable[..., np.ndarray]] = {
  "broadcast_in_dim": _broadcast,
  "concatenate": lambda params, *arrays: np.concatenate(arrays, params["dimension"]),
  "convert_element_type": lambda params, array: array.astype(params["new_dtype"]),
  "iota": _iota,
  "reshape": lambda params, array: np.reshape(array, params["new_sizes"]),
  "select_n": _select,
  "squeeze": lambda params, array: np.squeeze(array, params["dimensions"]),
}
