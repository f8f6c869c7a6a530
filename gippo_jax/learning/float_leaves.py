"""The part of a pytree that has derivatives: a simulator's state also holds counters, flags and random keys."""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import PyTree


def float_leaves(tree: PyTree) -> tuple[list[jax.Array], Callable[[Iterable[jax.Array]], PyTree]]:
  """The leaves that have derivatives, and the way to put others in their place."""
  leaves, structure = jax.tree.flatten(tree)
  is_float = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]

  def join(floats):
    floats = iter(floats)
    chosen = [next(floats) if flag else leaf for leaf, flag in zip(leaves, is_float, strict=True)]
    return jax.tree.unflatten(structure, chosen)

  return [leaf for leaf, flag in zip(leaves, is_float, strict=True) if flag], join
