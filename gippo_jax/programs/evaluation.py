"""Evaluation of a policy by its mean action, without exploration noise.

Episodes of any length can be run in slices, between which the host may look at them and stop.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from gippo_jax.envs.base import Environment, State
from gippo_jax.envs.wrappers import TimeLimit, undo_failure
from gippo_jax.learning.policies import Policy

# Steps between two looks of the host.
SLICE = 200


class Episodes(struct.PyTreeNode):
  """Episodes side by side, on their way to their ends.

  Attributes:
    state: of the timed environment, `[E]`.
    alive: which have not ended, `[E]`.
    total: undiscounted return so far, `[E]`; NaN where a step failed.
    last_obs: last observation, `[E, O]`.
  """

  state: State
  alive: jax.Array
  total: jax.Array
  last_obs: jax.Array


def evaluate(policy: Policy, env: Environment, key: jax.Array, num_episodes: int) -> jax.Array:
  """Undiscounted returns of complete episodes under the mean action.

  Args:
    policy, env, key, num_episodes: as for `run_episodes`.

  Returns:
    Returns, `[num_episodes]`; NaN for an episode in which a step failed.
  """
  return run_episodes(policy, env, key, num_episodes)[0]


def run_episodes(policy: Policy, env: Environment, key: jax.Array, num_episodes: int) -> tuple[jax.Array, jax.Array]:
  """Returns and last observations of complete episodes under the mean action.

  Args:
    policy: acts.
    env: unbatched environment, without wrappers.
    key: draws the starts of the episodes.
    num_episodes: number of episodes, run side by side.

  Returns:
    Undiscounted returns, `[num_episodes]`, NaN for an episode in which a step failed; and the observations in which the
    episodes ended, `[num_episodes, O]`.
  """
  episodes = continue_episodes(policy, env, begin_episodes(env, key, num_episodes), env.episode_length)
  return episodes.total, episodes.last_obs


def begin_episodes(env: Environment, key: jax.Array, num_episodes: int) -> Episodes:
  """Episodes before their first step; arguments as for `run_episodes`."""
  start = jax.vmap(TimeLimit(env).reset)(jax.random.split(key, num_episodes))
  alive = jnp.ones((num_episodes,), bool)
  return Episodes(start, alive, jnp.zeros_like(start.reward), start.obs)


def continue_episodes(policy: Policy, env: Environment, episodes: Episodes, num_steps: int | jax.Array) -> Episodes:
  """Up to `num_steps` more steps of the episodes that have not ended; none when all have.

  Args:
    policy, env: as for `run_episodes`.
    episodes: from `begin_episodes`, or from here.
    num_steps: may be traced.
  """
  timed = TimeLimit(env)

  def step(episode: Episodes) -> Episodes:
    reached, failed = undo_failure(episode.state, timed.step(episode.state, policy(episode.state.obs)))
    gain = jnp.where(episode.alive, jnp.where(failed, jnp.nan, reached.reward), 0.0)
    return Episodes(
      state=reached,
      alive=episode.alive & (jnp.maximum(reached.terminated, reached.truncated) == 0),
      total=episode.total + gain,
      last_obs=jnp.where(episode.alive, reached.obs, episode.last_obs),
    )

  def go_on(carry):
    index, episodes = carry
    return (index < num_steps) & jnp.any(episodes.alive)

  def advance(carry):
    index, episodes = carry
    return index + 1, jax.vmap(step)(episodes)

  return jax.lax.while_loop(go_on, advance, (jnp.zeros((), jnp.int32), episodes))[1]


def run_to_end(
  advance: Callable[[Episodes], Episodes], episodes: Episodes, stop: Callable[[], bool] = lambda: False
) -> Episodes | None:
  """Advances episodes slice by slice until all have ended.

  Args:
    advance: runs a slice of `SLICE` steps.
    episodes: with any leading axes.
    stop: asked after every slice; whether to give up.

  Returns:
    The episodes; `None` when they were given up.
  """
  while np.any(np.asarray(episodes.alive)):
    episodes = advance(episodes)
    if stop():
      return None
  return episodes
