"""Arithmetic of a program, counted over its equations: loops as often as they run."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from gippo_jax.envs.base import PyTree

_TRANSCENDENTAL = (
  *("exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "sin", "cos", "tan", "asin", "acos", "atan", "atan2"),
  *("sinh", "cosh", "erf", "erfc", "erf_inv", "pow", "cbrt", "lgamma", "digamma"),
)
# They put numbers somewhere else, and compute none.
_MOVES = (
  *("reshape", "broadcast_in_dim", "squeeze", "expand_dims", "transpose", "concatenate", "slice", "dynamic_slice"),
  *("copy", "dynamic_update_slice", "gather", "pad", "rev", "convert_element_type", "bitcast_convert_type", "split"),
  *("stop_gradient", "iota", "copy_p", "random_wrap", "random_unwrap", "optimization_barrier", "device_put"),
)
_REDUCTIONS = ("reduce_", "arg", "cum")


class Operations(NamedTuple):
  """What a program does.

  Attributes:
    products: floating-point operations of matrix products, `2 m n k` each.
    elementwise: other arithmetic, an operation for every number that is made or summed.
    transcendental: exponentials and their like, one for every number that is made.
    moved: bytes that a program without any fusion would read and write.
    equations: of the program, calls of loops counted; without those that only move numbers.
  """

  products: float = 0.0
  elementwise: float = 0.0
  transcendental: float = 0.0
  moved: float = 0.0
  equations: float = 0.0

  def times(self, factor: float) -> "Operations":
    """All of it, `factor` times."""
    return Operations(*(factor * number for number in self))

  def plus(self, other: "Operations") -> "Operations":
    """Both."""
    return Operations(*(one + two for one, two in zip(self, other, strict=True)))


Trips = Callable[[JaxprEqn], float]
Atom = Var | Literal


def count(function: Callable[..., PyTree], *arguments: PyTree, trips: Sequence[float] = ()) -> Operations:
  """Operations of a call.

  Of the branches of a condition the dearest counts.

  Args:
    function: traceable by JAX.
    *arguments: arrays or their shapes.
    trips: how often each loop runs whose number of rounds the data decides, in the order of the program.

  Raises:
    ValueError: when the program has another number of such loops.
  """
  jaxpr = jax.make_jaxpr(function)(*arguments)
  whiles = [id(equation) for equation in _while_loops(jaxpr.jaxpr)]
  if len(whiles) != len(trips):
    raise ValueError(f"{len(whiles)} loops of unknown length, and {len(trips)} lengths")
  lengths = dict(zip(whiles, trips, strict=True))
  return _count(jaxpr.jaxpr, lambda equation: lengths[id(equation)])


def _bodies(equation: JaxprEqn) -> Iterator[Jaxpr]:
  """The programs that an equation calls."""
  for value in equation.params.values():
    for entry in value if isinstance(value, (tuple, list)) else (value,):
      if isinstance(entry, ClosedJaxpr):
        yield entry.jaxpr
      elif isinstance(entry, Jaxpr):
        yield entry


def _while_loops(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
  for equation in jaxpr.eqns:
    if equation.primitive.name == "while":
      yield equation
    for body in _bodies(equation):
      yield from _while_loops(body)


def _count(jaxpr: Jaxpr, trips: Trips) -> Operations:
  total = Operations()
  for equation in jaxpr.eqns:
    total = total.plus(_count_equation(equation, trips))
  return total


def _count_equation(equation: JaxprEqn, trips: Trips) -> Operations:
  name, params = equation.primitive.name, equation.params
  if name == "cond":
    return max((_count(branch.jaxpr, trips) for branch in params["branches"]), key=sum)
  if name in ("custom_jvp_call", "custom_vjp_call"):  # its rules are no part of the program
    return _count(params["call_jaxpr"].jaxpr, trips)
  bodies = [_count(body, trips) for body in _bodies(equation)]
  # A reduction or scatter names the function that it combines numbers by; that is one operation for each.
  if bodies and not name.startswith(("reduce", "scatter")):
    whole = Operations()
    for body in bodies:
      whole = whole.plus(body)
    return whole.times(trips(equation) if name == "while" else params["length"] if name == "scan" else 1.0)
  return _count_arithmetic(equation)


def _count_arithmetic(equation: JaxprEqn) -> Operations:
  name = equation.primitive.name
  read = sum(_size(variable) for variable in equation.invars)
  made = sum(_size(variable) for variable in equation.outvars)
  moved = float(sum(_bytes(variable) for variable in (*equation.invars, *equation.outvars)))
  if name == "dot_general":
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = _shape(equation.invars[0])
    return Operations(products=2.0 * made * math.prod(shape[axis] for axis in contracted), moved=moved, equations=1)
  if name in _MOVES:
    return Operations(moved=moved)
  if name in _TRANSCENDENTAL:
    return Operations(transcendental=made, moved=moved, equations=1)
  work = read if name.startswith(_REDUCTIONS) else made
  return Operations(elementwise=work, moved=moved, equations=1)


def _shape(variable: Atom) -> tuple[int, ...]:
  return getattr(variable.aval, "shape", ())


def _size(variable: Atom) -> int:
  return math.prod(_shape(variable))


def _bytes(variable: Atom) -> int:
  return _size(variable) * getattr(getattr(variable.aval, "dtype", None), "itemsize", 0)
