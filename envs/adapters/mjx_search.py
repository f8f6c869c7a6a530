"""A derivative of MJX's line search that is finite.

MJX's constraint solver takes a step `qacc + alpha * search`; Newton's method in one dimension finds alpha, by quotients
`d0 / d1`. Near the solution `search` is rounding noise, and `d1` with it, so that the derivative of the quotient,
`d0 / d1^2`, leaves the range of float32: 0 times infinity. There alpha is of no interest. At the minimum of the
quadratic cost with Hessian H the implicit function theorem asks for the derivative of a full Newton step with alpha = 1
held fixed: `dqacc + dsearch`, with `search = -H^-1 grad`.
"""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import jax

from gippo_jax.envs.base import PyTree


@contextlib.contextmanager
def finite_line_search() -> Iterator[None]:
  """While a step of MJX is traced: values as they are, bit for bit, derivatives those of a full Newton step.

  Without MJX, or where a version of it has no such function, nothing is changed.
  """
  try:
    solver: Any = importlib.import_module("mujoco.mjx._src.solver")
    search, newton = solver._linesearch, solver.SolverType.NEWTON
  except (ImportError, AttributeError):
    yield
    return

  def held(model: PyTree, data: PyTree, context: PyTree) -> PyTree:
    if model.opt.solver != newton:
      return search(model, data, context)
    return full_step(search, solver.support.mul_m, model, data, context)

  solver._linesearch = held
  try:
    yield
  finally:
    solver._linesearch = search


def full_step(search: Any, mul_m: Any, model: PyTree, data: PyTree, context: PyTree) -> PyTree:
  """The line search's step, with the derivative of `alpha = 1`.

  Args:
    search: MJX's function of the other arguments.
    mul_m: MJX's product of the mass matrix with a vector.
    model, data, context: MJX's.

  Returns:
    The context after the step: `qacc`, `M qacc` and `J qacc - aref` are moved.
  """
  found = search(model, *jax.lax.stop_gradient((data, context)))
  along = context.search
  moved = {"qacc": along, "Ma": mul_m(model, data, along), "Jaref": data._impl.efc_J @ along}
  return context.replace(
    **{
      name: jax.lax.stop_gradient(getattr(found, name)) + _only_derivative(getattr(context, name) + direction)
      for name, direction in moved.items()
    }
  )


def _only_derivative(x: jax.Array) -> jax.Array:
  """Zero, with the derivative of the identity."""
  return x - jax.lax.stop_gradient(x)
