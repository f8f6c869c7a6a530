"""A program evaluated equation by equation, every one of them kept.

What JAX compiles as a whole is here a list of single operations: calls are inlined, loops unrolled, branches chosen, so
that each value, and on the way back each derivative, can be looked at.
"""

import dataclasses
import os
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from gippo_jax.envs.lanes.equations import bind, scan_sizes

# Calls that are their body: a compiled function, one whose values are computed again on the way back.
_CALLS = ("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2")
# Their derivative is zero everywhere, and JAX sends none through them.
_CONSTANT = ("stop_gradient", "floor", "ceil", "round", "sign", "nextafter")
_NOT_OF_A_USER = tuple(
  os.path.join(folder, "")
  for folder in (os.path.dirname(jax.__file__), sysconfig.get_path("stdlib"), os.path.dirname(__file__))
)


class Frame(NamedTuple):
  """A line of source that called the next one."""

  file: str
  function: str
  line: int


@dataclasses.dataclass(eq=False)
class Cell:
  """A value of the program.

  Attributes:
    value: an array.
    active: whether a derivative runs through it.
    origin: the operation that first made of finite values what is not finite in this one; None where there is none.
    cotangent: derivative of the result by it, filled on the way back; None where no path leads to the result.
  """

  value: jax.Array
  active: bool = False
  origin: "Entry | None" = None
  cotangent: jax.Array | None = None


@dataclasses.dataclass(eq=False)
class Entry:
  """An operation as it was done.

  Attributes:
    function: from the values of `inputs` to those of `outputs`.
    inputs, outputs: its values.
    equation: what it is; None for what moves values in and out of loops.
    stack: the lines that led to it, innermost first, whoever's they are.
    joint: whether the outputs are the inputs, which get a derivative all together or not at all.
  """

  function: Callable[..., Sequence[jax.Array]]
  inputs: list[Cell]
  outputs: list[Cell]
  equation: JaxprEqn | None
  stack: tuple[Frame, ...]
  joint: bool = False


class Tape:
  """The operations of a program, in the order in which they were done."""

  def __init__(self):
    self.entries: list[Entry] = []

  def evaluate(
    self, jaxpr: Jaxpr, consts: Sequence[Cell], inputs: Sequence[Cell], stack: tuple[Frame, ...] = (), name: str = ""
  ) -> list[Cell]:
    """Evaluates a program on values, and keeps what is done.

    Args:
      jaxpr: the program.
      consts, inputs: its constants and arguments.
      stack: of the call that it is the body of.
      name: of the function that it is the body of, where it is one that JAX keeps between calls.

    Returns:
      Its results.
    """
    cells: dict[Var, Cell] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

    def read(atom: Var | Literal) -> Cell:
      if isinstance(atom, Literal):
        return Cell(jnp.asarray(atom.val, atom.aval.dtype))  # type: ignore[attr-defined]
      return cells[atom]

    for equation in jaxpr.eqns:
      lines = _joined(stack_of(equation), name, stack)
      outputs = self._apply(equation, [read(atom) for atom in equation.invars], lines)
      cells.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]

  def evaluate_closed(
    self, closed: ClosedJaxpr, inputs: Sequence[Cell], stack: tuple[Frame, ...] = (), name: str = ""
  ) -> list[Cell]:
    """`evaluate` of a program that brings its constants."""
    return self.evaluate(closed.jaxpr, [Cell(jnp.asarray(const)) for const in closed.consts], inputs, stack, name)

  def _apply(self, equation: JaxprEqn, inputs: list[Cell], stack: tuple[Frame, ...]) -> list[Cell]:
    kind, params = equation.primitive.name, equation.params
    if kind in _CALLS:
      body = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
      closed = body if isinstance(body, ClosedJaxpr) else ClosedJaxpr(body, ())
      return self.evaluate_closed(closed, inputs, stack, str(params.get("name", "")))
    if kind == "cond":
      branches = params["branches"]
      index = min(max(int(inputs[0].value), 0), len(branches) - 1)
      outputs = self.evaluate_closed(branches[index], inputs[1:], stack)
      return self._joint(outputs, stack)
    if kind == "scan":
      return self._scan(equation, inputs, stack)
    if kind == "while":
      return self._while(equation, inputs, stack)
    return self._do(lambda *values: bind(equation, values), inputs, equation, stack)

  def _scan(self, equation: JaxprEqn, inputs: list[Cell], stack: tuple[Frame, ...]) -> list[Cell]:
    params = equation.params
    num_consts, num_carry = scan_sizes(equation)
    length = params["length"]
    consts, carry = inputs[:num_consts], inputs[num_consts : num_consts + num_carry]
    rows: list[list[Cell]] = []
    for index in range(length)[:: -1 if params["reverse"] else 1]:
      slices = [self._do(_entry_of(index), [xs], None, stack)[0] for xs in inputs[num_consts + num_carry :]]
      outputs = self.evaluate_closed(params["jaxpr"], [*consts, *carry, *slices], stack)
      # On its way back JAX gives every carried value a derivative, zero where no path leads to the result.
      outputs = self._joint(outputs, stack)
      carry = outputs[:num_carry]
      rows.append(outputs[num_carry:])
    if params["reverse"]:
      rows.reverse()
    shapes = [var.aval for var in equation.outvars[num_carry:]]
    if not rows:
      return [*carry, *(Cell(jnp.zeros(aval.shape, aval.dtype)) for aval in shapes)]  # type: ignore[attr-defined]
    return [*carry, *(self._do(_stacked, list(column), None, stack)[0] for column in zip(*rows, strict=True))]

  def _while(self, equation: JaxprEqn, inputs: list[Cell], stack: tuple[Frame, ...]) -> list[Cell]:
    params = equation.params
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    carry = inputs[second:]
    while bool(Tape().evaluate_closed(params["cond_jaxpr"], [*inputs[:first], *carry])[0].value):
      carry = self.evaluate_closed(params["body_jaxpr"], [*inputs[first:second], *carry], stack)
    return carry

  def _joint(self, cells: list[Cell], stack: tuple[Frame, ...]) -> list[Cell]:
    """The same values, which get a derivative all together or not at all."""
    outputs = [Cell(cell.value, cell.active, cell.origin) for cell in cells]
    self.entries.append(Entry(lambda *values: values, cells, outputs, None, stack, joint=True))
    return outputs

  def _do(
    self,
    function: Callable[..., Sequence[jax.Array]],
    inputs: list[Cell],
    equation: JaxprEqn | None,
    stack: tuple[Frame, ...],
  ) -> list[Cell]:
    values = function(*(cell.value for cell in inputs))
    constant = equation is not None and equation.primitive.name in _CONSTANT
    active = not constant and any(cell.active for cell in inputs)
    entry = Entry(function, inputs, [Cell(value, active and is_real(value)) for value in values], equation, stack)
    broken = [cell for cell in inputs if not is_finite(cell.value)]
    origin = broken[0].origin if broken else entry
    for output in entry.outputs:
      output.origin = None if is_finite(output.value) else origin
    self.entries.append(entry)
    return entry.outputs


def is_real(value: jax.Array) -> bool:
  """Whether an array holds numbers that have derivatives."""
  return bool(jnp.issubdtype(value.dtype, jnp.floating))


def is_finite(value: jax.Array) -> bool:
  """Whether all entries are finite; True of what are no floats."""
  return not is_real(value) or bool(np.all(np.isfinite(np.asarray(value, np.float64))))


def stack_of(equation: JaxprEqn) -> tuple[Frame, ...]:
  """The lines of source that made an equation, innermost first; those of this package's tracing end it."""
  traceback = equation.source_info.traceback
  return () if traceback is None else tuple(_until_here(traceback.frames))


def lines_of_users(stack: Sequence[Frame]) -> tuple[Frame, ...]:
  """The lines of a stack that are neither JAX's nor Python's own."""
  return tuple(frame for frame in stack if not frame.file.startswith((*_NOT_OF_A_USER, "<frozen")))


def _until_here(frames: Sequence) -> Iterator[Frame]:
  for frame in frames:
    if frame.file_name.startswith(_NOT_OF_A_USER[-1]):
      return
    yield Frame(frame.file_name, frame.function_name.rpartition("<locals>.")[2], frame.line_num)


def _joined(inner: tuple[Frame, ...], name: str, outer: tuple[Frame, ...]) -> tuple[Frame, ...]:
  """The stack of an equation in a body.

  JAX traces a compiled function once: its equations know the first call, whichever this one is. So what lies within the
  function is theirs, and the rest the call's.
  """
  names = [frame.function.rpartition(".")[2] for frame in inner]
  if name in names:
    return inner[: names.index(name) + 1] + outer
  return inner if lines_of_users(inner) else inner + outer


def _entry_of(index: int) -> Callable[[jax.Array], list[jax.Array]]:
  return lambda xs: [xs[index]]


def _stacked(*values: jax.Array) -> list[jax.Array]:
  return [jnp.stack(values)]
