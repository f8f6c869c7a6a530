"""What an equation of a JAX program is made of, in all versions of JAX that are supported."""

from collections.abc import Sequence

import jax
from jax.extend.core import JaxprEqn


def bind(equation: JaxprEqn, arrays: Sequence[jax.Array], **changes: object) -> Sequence[jax.Array]:
  """An equation's results for other inputs, with some parameters changed."""
  bound = equation.primitive.get_bind_params(equation.params)
  subfunctions, parameters = ((), bound) if isinstance(bound, dict) else bound  # as JAX 0.10 has it, as before
  made = equation.primitive.bind(*subfunctions, *arrays, **{**parameters, **changes})
  return made if equation.primitive.multiple_results else [made]


def scan_sizes(equation: JaxprEqn) -> tuple[int, int]:
  """How many of a scan's inputs are constants, and how many it carries."""
  params = equation.params
  if "num_consts" in params:
    return params["num_consts"], params["num_carry"]
  consts, carry, _ = params["ft_in"].unpack()  # as JAX has it since 0.11
  return len(list(consts.vals)), len(list(carry.vals))
