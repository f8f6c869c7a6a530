"""One environment's program, run for many at once with the environments along the last axis."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var

from gippo_jax.envs.base import PyTree
from gippo_jax.envs.lanes import constants
from gippo_jax.envs.lanes.equations import bind, scan_sizes
from gippo_jax.envs.lanes.rules import RULES, one_by_one
from gippo_jax.envs.lanes.values import Lanes, Value

R = TypeVar("R")

_CALLS = ("pjit", "jit", "closed_call", "core_call")
# Entries of an array of integers that are computed when the program is made.
_MOST_ENTRIES = 4096


def vectorized(function: Callable[..., R]) -> Callable[..., R]:
  """`jax.vmap(function)` with the environments along the last axis inside.

  Operations without a rule of their own, and functions with derivatives of their own, are left to `jax.vmap`. Loops
  of known length are recomputed turn by turn in the backward pass (`jax.checkpoint`): what a simulator's substeps leave
  behind for it is more than fits a cache.

  Args:
    function: of pytrees of arrays.

  Returns:
    A function of the same pytrees with a leading axis in every array, as are its results. Values and derivatives are
    those of `jax.vmap(function)` but for the order of sums.
  """

  @functools.wraps(function)
  def many(*batch: PyTree) -> R:
    leaves = jax.tree.leaves(batch)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), batch)
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*one)
    lanes = Lanes(leaves[0].shape[0])
    outputs = _run(lanes, program, _batched(jnp.moveaxis(leaf, 0, -1) for leaf in leaves))
    return jax.tree.unflatten(jax.tree.structure(shapes), [jnp.moveaxis(array, -1, 0) for array in outputs])

  return many


def _batched(arrays: Iterable[jax.Array]) -> list[Value]:
  return [Value(array, True, False) for array in arrays]


def _run(lanes: Lanes, program: ClosedJaxpr, inputs: Sequence[Value]) -> list[jax.Array]:
  """A program's results, all with the last axis."""
  return [lanes.spread(value) for value in _evaluate(lanes, program, inputs)]


def _evaluate(lanes: Lanes, program: ClosedJaxpr, inputs: Sequence[Value]) -> list[Value]:
  jaxpr = program.jaxpr
  consts = [Value(const, False, not isinstance(const, Tracer)) for const in program.consts]
  values: dict[Var, Value] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

  def read(atom: Var | Literal) -> Value:
    if isinstance(atom, Literal):
      number = np.asarray(atom.val, atom.aval.dtype)  # type: ignore[attr-defined]
      return Value(cast(jax.Array, number), False, True)
    return values[atom]

  for equation in jaxpr.eqns:
    outputs = _apply(lanes, equation, [read(atom) for atom in equation.invars])
    values.update(zip(equation.outvars, outputs, strict=True))
  return [read(atom) for atom in jaxpr.outvars]


def _apply(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> list[Value]:
  kind, params = equation.primitive.name, equation.params
  if kind in _CALLS:
    return _evaluate(lanes, params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"], inputs)
  if not any(value.batched for value in inputs):
    constant = _may_be_indices(equation) and all(value.constant for value in inputs)
    return _shared(equation, inputs, constant)
  rule = _LOOPS.get(kind) or RULES.get(kind)
  made = None if rule is None else rule(lanes, equation, inputs)
  return _batched(one_by_one(lanes, equation, inputs) if made is None else made)


def _shared(equation: JaxprEqn, inputs: Sequence[Value], constant: bool) -> list[Value]:
  """What is the same for all environments; constants are computed now."""
  arrays = [value.array for value in inputs]
  if not constant:
    return [Value(array, False, False) for array in bind(equation, arrays)]
  made = constants.evaluate(equation.primitive.name, equation.params, arrays)
  if made is not None:
    return [Value(cast(jax.Array, made), False, True)]
  with jax.ensure_compile_time_eval():
    return [Value(array, False, True) for array in bind(equation, arrays)]


def _may_be_indices(equation: JaxprEqn) -> bool:
  """Whether what an equation makes are a few integers or truth values, and nothing happens besides."""
  shapes = [variable.aval for variable in equation.outvars]
  small = all(math.prod(aval.shape) <= _MOST_ENTRIES for aval in shapes)  # type: ignore[attr-defined]
  whole = all(jnp.issubdtype(aval.dtype, jnp.integer) or aval.dtype == bool for aval in shapes)  # type: ignore[attr-defined]
  return bool(shapes) and small and whole and not equation.effects


def _scan(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array]:
  params = equation.params
  num_consts, num_carry = scan_sizes(equation)
  loop = num_consts + num_carry
  consts, begin, rows = inputs[:num_consts], inputs[num_consts:loop], inputs[loop:]

  @functools.partial(jax.checkpoint, prevent_cse=False)
  def turn(carry: list[jax.Array], xs: list[jax.Array]) -> tuple[list[jax.Array], list[jax.Array]]:
    slices = [Value(array, value.batched, False) for array, value in zip(xs, rows, strict=True)]
    outputs = _run(Lanes(lanes.size), params["jaxpr"], [*consts, *_batched(carry), *slices])
    return outputs[:num_carry], outputs[num_carry:]

  carry, ys = jax.lax.scan(
    turn,
    [lanes.spread(value) for value in begin],
    [value.array for value in rows],
    params["length"],
    params["reverse"],
    params["unroll"],
  )
  return [*carry, *ys]


def _while(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array]:
  """Goes on while one environment does; those that have ended stay as they are."""
  params = equation.params
  first = params["cond_nconsts"]
  second = first + params["body_nconsts"]

  def go_on(carry: list[jax.Array]) -> jax.Array:
    (holds,) = _run(Lanes(lanes.size), params["cond_jaxpr"], [*inputs[:first], *_batched(carry)])
    return holds

  def turn(carry: list[jax.Array]) -> list[jax.Array]:
    outputs = _run(Lanes(lanes.size), params["body_jaxpr"], [*inputs[first:second], *_batched(carry)])
    holds = go_on(carry)
    return [jnp.where(holds, new, old) for new, old in zip(outputs, carry, strict=True)]

  begin = [lanes.spread(value) for value in inputs[second:]]
  return jax.lax.while_loop(lambda carry: jnp.any(go_on(carry)), turn, begin)


def _cond(lanes: Lanes, equation: JaxprEqn, inputs: Sequence[Value]) -> Sequence[jax.Array] | None:
  index, *operands = inputs
  if index.batched:
    return None
  changing = [value.array for value in operands if not value.constant]

  def branch(program: ClosedJaxpr) -> Callable[..., list[jax.Array]]:
    def function(*arrays: jax.Array) -> list[jax.Array]:
      rest = iter(arrays)
      values = [value if value.constant else value._replace(array=next(rest)) for value in operands]
      return _run(Lanes(lanes.size), program, values)

    return function

  return jax.lax.switch(index.array, [branch(program) for program in equation.params["branches"]], *changing)


_LOOPS = {"scan": _scan, "while": _while, "cond": _cond}
