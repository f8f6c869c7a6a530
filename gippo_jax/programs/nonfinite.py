"""Which operations of a program have a derivative that is not finite, though they were given finite ones.

Reverse mode in slow motion: the program is evaluated operation by operation (`tape`), then each operation's
vector-Jacobian product is taken, the last one first. Where one makes of finite derivatives one that is not, it is
named; its result is replaced by zeros, so that others before it are found too.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr

from gippo_jax.programs.tape import Cell, Entry, Frame, Tape, is_finite, is_real, lines_of_users

_SHOWN_LINES = 4

Pull = Callable[[Sequence[jax.Array], Sequence[jax.Array]], Sequence[jax.Array]]


class Operand(NamedTuple):
  """What an operation was given.

  Attributes:
    shape: of the whole.
    value: the entry that belongs to the broken one; None where none does.
  """

  shape: tuple[int, ...]
  value: float | None


class Operation(NamedTuple):
  """An operation whose derivative is not finite.

  Attributes:
    primitive: JAX's name of it, e.g. `sqrt`.
    operands: at the first entry that is not finite.
    lines: the lines of source that led to it, innermost first; JAX's own are left out.
    rule: name of the custom derivative's function that it is part of; empty where there is none.
    value_broken: whether its value is not finite already, and the program hides that later.
  """

  primitive: str
  operands: tuple[Operand, ...]
  lines: tuple[Frame, ...]
  rule: str = ""
  value_broken: bool = False

  @property
  def place(self) -> tuple[str, Frame | None]:
    """What two samples' operations have in common when they are the same one."""
    return self.primitive, self.lines[0] if self.lines else None


def broken_operations(program: ClosedJaxpr, values: Sequence[jax.Array], active: Sequence[bool]) -> list[Operation]:
  """The operations that break a program's derivative.

  Args:
    program: as `jax.make_jaxpr` gives it.
    values: its arguments, concrete.
    active: which of them it is differentiated by.

  Returns:
    The operations, in the order of reverse mode: the last one of the program first. Each is there once for each time
    that it was done and broken.
  """
  tape = Tape()
  inputs = [Cell(value, wanted and is_real(value)) for value, wanted in zip(values, active, strict=True)]
  for cell in tape.evaluate_closed(program, inputs):
    if cell.active:
      cell.cotangent = jnp.ones_like(cell.value)
  found = []
  for entry in reversed(tape.entries):
    if all(cell.cotangent is None for cell in entry.outputs):
      continue
    cells = [cell for cell in entry.inputs if cell.active]
    cotangents = _pull_back(entry)
    broken = [index for index, cotangent in enumerate(cotangents) if not is_finite(cotangent)]
    if broken:
      found.append(_operation(entry, cells[broken[0]], cotangents[broken[0]]))
    for cell, cotangent in zip(cells, cotangents, strict=True):
      cotangent = jnp.where(jnp.isfinite(cotangent), cotangent, jnp.zeros_like(cotangent))
      cell.cotangent = cotangent if cell.cotangent is None else cell.cotangent + cotangent
  return found


def hint_of(operation: Operation) -> str:
  """What to do about an operation of one of the known kinds; empty for the others."""
  values = [operand.value for operand in operation.operands]
  kind = operation.primitive
  if not values or operation.rule:
    return ""
  if kind in ("sqrt", "rsqrt", "cbrt") and values[0] == 0:
    return (
      "the square root, and so a norm, has no derivative at 0: x = jnp.where(s > 0, s, 1.0) first, then "
      "jnp.where(s > 0, jnp.sqrt(x), 0.0); one `where` alone, behind the root, does not help"
    )
  if kind in ("div", "rem") and values[-1] == 0:
    return (
      "division by 0: x = jnp.where(d == 0, 1.0, d) first, then jnp.where(d == 0, 0.0, n / x); one `where` alone, "
      "behind the division, does not help"
    )
  if kind in ("pow", "integer_pow", "log") and values[0] == 0:
    return f"{kind} has no finite derivative at 0: keep its operand away from 0, jnp.maximum(x, 1e-6), or use a `where`"
  if kind == "log1p" and values[0] == -1:
    return "log1p has no finite derivative at -1: keep its operand away from it"
  if kind in ("acos", "asin", "atanh", "acosh") and values[0] in (1.0, -1.0):
    return f"{kind} has no finite derivative at +-1: clip its operand to +-(1 - 1e-6), or use arctan2"
  return ""


def _pull_back(entry: Entry) -> Sequence[jax.Array]:
  """Derivatives by the active inputs, given those by the outputs."""
  if entry.joint:
    pairs = [(cell, output) for cell, output in zip(entry.inputs, entry.outputs, strict=True) if cell.active]
    return [jnp.zeros_like(cell.value) if output.cotangent is None else output.cotangent for cell, output in pairs]
  pull, chosen, cotangents = _reverse_mode(entry)
  return pull(chosen, cotangents)


def _reverse_mode(entry: Entry) -> tuple[Pull, list[jax.Array], list[jax.Array]]:
  """An operation's vector-Jacobian product: the function, the active inputs, the cotangents of the active outputs."""
  values = [cell.value for cell in entry.inputs]
  wanted = [index for index, cell in enumerate(entry.inputs) if cell.active]
  kept = [index for index, cell in enumerate(entry.outputs) if cell.active]

  def of_active(*chosen):
    given = list(values)
    for index, value in zip(wanted, chosen, strict=True):
      given[index] = value
    made = entry.function(*given)
    return [made[index] for index in kept]

  def pull(chosen, cotangents):
    return jax.vjp(of_active, *chosen)[1](cotangents)

  outputs = [entry.outputs[index] for index in kept]
  cotangents = [jnp.zeros_like(cell.value) if cell.cotangent is None else cell.cotangent for cell in outputs]
  return pull, [values[index] for index in wanted], cotangents


def _operation(entry: Entry, cell: Cell, cotangent: jax.Array) -> Operation:
  """Names what is broken: the operation itself, one of its custom rule, or the one that made its operand not finite."""
  origins = [each.origin for each in (*entry.inputs, *entry.outputs) if each.origin is not None]
  if origins:
    output = next(each for each in origins[0].outputs if not is_finite(each.value))
    return _described(origins[0], output.value, value_broken=True)
  if entry.equation is not None and entry.equation.primitive.name.startswith("custom_"):
    within = _within_rule(entry)
    if within is not None:
      return within
  return _described(entry, cotangent)


def _within_rule(entry: Entry) -> Operation | None:
  """The first operation of a custom derivative that makes of finite values one that is not."""
  pull, chosen, cotangents = _reverse_mode(entry)
  tape = Tape()
  program = jax.make_jaxpr(pull)(chosen, cotangents)
  made = tape.evaluate_closed(program, [Cell(value) for value in [*chosen, *cotangents]], entry.stack)
  origin = next((cell.origin for cell in made if cell.origin is not None), None)
  if origin is None:
    return None
  assert entry.equation is not None  # a custom rule
  broken = next(cell.value for cell in origin.outputs if not is_finite(cell.value))
  return _described(origin, broken, rule=str(entry.equation.params.get("name", entry.equation.primitive.name)))


def _described(entry: Entry, broken: jax.Array, rule: str = "", value_broken: bool = False) -> Operation:
  where = np.argwhere(~np.isfinite(np.asarray(broken, np.float64)))[0]
  operands = tuple(_operand(cell.value, tuple(broken.shape), tuple(where)) for cell in entry.inputs)
  primitive = "loop" if entry.equation is None else entry.equation.primitive.name
  return Operation(primitive, operands, lines_of_users(entry.stack)[:_SHOWN_LINES], rule, value_broken)


def _operand(value: jax.Array, shape: tuple[int, ...], where: tuple[int, ...]) -> Operand:
  if jnp.issubdtype(value.dtype, jax.dtypes.extended):  # random keys
    return Operand(tuple(value.shape), None)
  if value.size == 1:
    return Operand(tuple(value.shape), float(np.asarray(value).reshape(())))
  return Operand(tuple(value.shape), float(np.asarray(value)[where]) if tuple(value.shape) == shape else None)
