"""Evaluation of a policy by its mean action, without exploration noise."""

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import Environment
from gippo_jax.envs.wrappers import TimeLimit, undo_failure
from gippo_jax.learning.policies import Policy


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
  timed = TimeLimit(env)

  def episode(start_key):
    def step(carry, _):
      current, alive, total, last_obs = carry
      reached, failed = undo_failure(current, timed.step(current, policy(current.obs)))
      total = total + jnp.where(alive, jnp.where(failed, jnp.nan, reached.reward), 0.0)
      last_obs = jnp.where(alive, reached.obs, last_obs)
      alive = alive & (jnp.maximum(reached.terminated, reached.truncated) == 0)
      return (reached, alive, total, last_obs), None

    start = timed.reset(start_key)
    carry = (start, jnp.asarray(True), jnp.zeros_like(start.reward), start.obs)
    (_, _, total, last_obs), _ = jax.lax.scan(step, carry, None, length=env.episode_length)
    return total, last_obs

  return jax.vmap(episode)(jax.random.split(key, num_episodes))
