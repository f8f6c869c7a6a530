"""The environment axis over devices: where XLA is told to keep it, inside programs that are otherwise unaware of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from gippo_jax.envs.base import PyTree

if TYPE_CHECKING:
  from jaxlib._jax import Device  # `jax.Device`, which is a variable to a type checker
else:
  from jax import Device

ENVIRONMENT = "environment"


def environment_mesh(devices: list[Device]) -> Mesh:
  """A mesh with the one axis `ENVIRONMENT`."""
  return Mesh(np.asarray(devices), (ENVIRONMENT,))


def spread(tree: PyTree, axis: int) -> PyTree:
  """Asks that `axis` of every leaf lie over the devices of the mesh in force; changes no number.

  Args:
    tree: arrays whose `axis` counts environments or samples.
    axis: the axis; a leaf where the number of devices does not divide it is left to every device whole.

  Returns:
    `tree`; where no mesh with an environment axis is in force (`jax.set_mesh`), untouched.
  """
  num_devices = _num_devices()
  if num_devices is None:
    return tree

  def constrain(leaf):
    divisible = leaf.shape[axis] % num_devices == 0
    spec = PartitionSpec(*[None] * axis, ENVIRONMENT) if divisible else PartitionSpec()
    return jax.lax.with_sharding_constraint(leaf, spec)

  return jax.tree.map(constrain, tree)


def apply_by_environment(function: Callable[[jax.Array], PyTree], x: jax.Array, axis: int) -> PyTree:
  """`function(x)`, where `function` treats all axes but the last as one; no device needs another's environments.

  Args:
    function: maps `[..., O]` to arrays whose leading axes are those of its argument.
    x: `[..., O]`.
    axis: the axis of `x` that counts environments.
  """
  if _num_devices() is None:
    return function(x)
  # Flattened with the environment axis first, every device's rows stay side by side and so on the device.
  return jax.tree.map(lambda y: jnp.moveaxis(y, 0, axis), function(jnp.moveaxis(x, axis, 0)))


def _num_devices() -> int | None:
  mesh = jax.sharding.get_abstract_mesh()
  return mesh.shape[ENVIRONMENT] if ENVIRONMENT in mesh.axis_names else None
