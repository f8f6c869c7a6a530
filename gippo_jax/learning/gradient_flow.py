"""Identities that change the derivatives which pass through them."""

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import PyTree
from gippo_jax.fields import Real


@jax.custom_jvp
def _scale_gradient(x: jax.Array, scale: Real) -> jax.Array:
  """Identity whose derivative is multiplied by `scale`."""
  del scale
  return x


@_scale_gradient.defjvp
def _scale_gradient_jvp(primals, tangents):
  x, scale = primals
  # In the leaf's own type: a state may hold floats of any width.
  return x, tangents[0] * jnp.asarray(scale, x.dtype)


def cut_gradient(tree: PyTree, cut: jax.Array) -> PyTree:
  """`tree`, through which no derivative passes where `cut`, a scalar, is true; not even one that is no number."""

  def cut_leaf(leaf):
    is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
    return jnp.where(cut, jax.lax.stop_gradient(leaf), leaf) if is_float else leaf

  return jax.tree.map(cut_leaf, tree)


def scale_gradient(tree: PyTree, scale: Real) -> PyTree:
  """`tree`, every derivative through it multiplied by `scale`."""

  def scale_leaf(leaf):
    return _scale_gradient(leaf, scale) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

  return jax.tree.map(scale_leaf, tree)
