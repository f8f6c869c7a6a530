"""How stiff a simulator is along a window: the norm of the Jacobian of each of its steps."""

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import State
from gippo_jax.envs.wrappers import Batch, EpisodeState
from gippo_jax.learning.float_leaves import float_leaves


def squared_jacobian_norm(env: Batch, states: EpisodeState, action: jax.Array, key: jax.Array) -> jax.Array:
  """Estimates `|df|_F^2` of every step, `f` from the physics before and the action to the physics after; `[T, N]`.

  One product with the transposed Jacobian: `|J^T u|^2` has the squared Frobenius norm as its mean over `u ~ N(0, I)`
  (Hutchinson). The reset behind the end of an episode is no part of the step.

  Args:
    env: the batch of environments.
    states: before each step, `[T, N, ...]`.
    action: as the environment receives it, `[T, N, A]`.
    key: for `u`.
  """
  keys = jax.random.split(key, action.shape[:2])

  simulator = env.env.env  # within the automatic reset, whose keys the window has used

  def of_step(state: State, action: jax.Array, key: jax.Array) -> jax.Array:
    floats, join = float_leaves(state.physics)

    def forward(floats: list[jax.Array], action: jax.Array) -> list[jax.Array]:
      return float_leaves(simulator.step(state.replace(physics=join(floats)), action).physics)[0]

    reached, pull_back = jax.vjp(forward, floats, action)
    leaf_keys = jax.random.split(key, len(reached))
    random = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(leaf_keys, reached, strict=True)]
    squares = [jnp.sum(leaf.astype(action.dtype) ** 2) for leaf in jax.tree.leaves(pull_back(random))]
    return jnp.sum(jnp.stack(squares))

  return jax.vmap(jax.vmap(of_step))(states.current, action, keys)


def mean_norm(squares: jax.Array) -> jax.Array:
  """Root of the mean of squared norms, of those that are finite; a scalar, 0 where none is."""
  finite = jnp.isfinite(squares)
  total = jnp.sum(jnp.where(finite, squares, 0.0))
  return jnp.sqrt(total / jnp.maximum(jnp.sum(finite.astype(squares.dtype)), 1.0))
