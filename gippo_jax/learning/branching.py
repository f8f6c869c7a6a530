"""Environments that share their start: groups of them begin a window in one state, and go apart by their noise."""

import jax
import jax.numpy as jnp

from gippo_jax.learning.state import TrainingState


def branch(state: TrainingState, copies: int) -> TrainingState:
  """The state in which every group of `copies` neighbouring environments is where the first of them is.

  Their episodes have one past and several futures, each a draw of the policy's: returns stay those of whole episodes,
  and no step is simulated that is not counted. What the others had begun is given up. Keys of later resets are split.

  Args:
    state: before a window; the number of environments is a multiple of `copies`.
    copies: environments of a group.
  """

  def spread_leader(leaf: jax.Array) -> jax.Array:
    return jnp.repeat(leaf[::copies], copies, axis=0)

  leaders = jax.tree.map(lambda leaf: leaf[::copies], state.environment.key)
  keys = jax.vmap(lambda key: jax.random.split(key, copies))(leaders).reshape(-1)
  environment = jax.tree.map(spread_leader, state.environment.replace(key=None)).replace(key=keys)
  return state.replace(
    environment=environment,
    episode_start=spread_leader(state.episode_start),
    returns=state.returns.replace(running=spread_leader(state.returns.running)),
  )


def within_groups(samples: jax.Array, copies: int) -> tuple[jax.Array, jax.Array]:
  """Mean over the groups of the samples' variance and of the squared mean, both unbiased, summed over the entries.

  Args:
    samples: `[N, d]`, groups of neighbours.
    copies: samples of a group, at least 2.

  Returns:
    Trace of the covariance within a group, and `|E g|^2`, which the squared mean of few samples overestimates.
  """
  groups = samples.reshape(-1, copies, samples.shape[-1])
  mean = jnp.mean(groups, axis=1, keepdims=True)
  variance = jnp.mean(jnp.sum((groups - mean) ** 2, axis=(1, 2))) / (copies - 1.0)
  return variance, jnp.mean(jnp.sum(mean**2, axis=(1, 2))) - variance / copies
