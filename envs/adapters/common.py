"""What all adapters share: steady types, the import of an optional package, checks."""

import importlib
from collections.abc import Iterable
from types import ModuleType

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import PyTree


def settle(tree: PyTree, like: PyTree = None) -> PyTree:
  """Gives a simulator's state the same types after every step, as loops over it need.

  Python numbers become arrays, weak types strong, and a flag that was a float stays one. A float that was an integer
  is left to fail in the loop: rounding a state in silence would be worse.

  Args:
    tree: state after a reset or a step.
    like: the state before the step; None after a reset.
  """

  def settled(leaf, reference):
    leaf, reference = jnp.asarray(leaf), jnp.asarray(reference)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):  # random keys
      return leaf
    keeps_value = reference.dtype.kind in ("f", leaf.dtype.kind)
    return jnp.asarray(leaf, reference.dtype if keeps_value else leaf.dtype)

  return jax.tree.map(settled, tree, tree if like is None else like)


def to_scalar(value: object) -> jax.Array:
  """A reward or flag as a scalar of the default float type."""
  return jnp.reshape(jnp.asarray(value, float), ())


def import_package(name: str, module: str, extra: str) -> ModuleType:
  """Imports an optional package.

  Args:
    name: the environment that needs it, for the message.
    module: module to import.
    extra: the extra of gippo_jax that installs it.

  Raises:
    ValueError: with the command that installs it.
  """
  try:
    return importlib.import_module(module)
  except ModuleNotFoundError as error:
    missing = (error.name or module).partition(".")[0]
    raise ValueError(
      f'env.name: {name!r} needs the package {missing}, which is not installed; pip install "gippo_jax[{extra}]"'
    ) from None


def require_known_name(name: str, suite: str, known: Iterable[str]) -> None:
  """Checks the part of `env.name` after the colon.

  Raises:
    ValueError: listing the known names.
  """
  known = list(known)
  if name not in known:
    raise ValueError(f"env.name: '{suite}:{name}' is unknown; known: {', '.join(f'{suite}:{each}' for each in known)}")


def require_known_parameters(name: str, parameters: Iterable[str], known: Iterable[str]) -> None:
  """Checks the names of parameters.

  Raises:
    ValueError: listing the known parameters.
  """
  known = list(known)
  for parameter in parameters:
    if parameter not in known:
      raise ValueError(f"env.{parameter}: {name} has no such parameter; known: {', '.join(known)}")
