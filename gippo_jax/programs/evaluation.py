"""Evaluation of a policy by its mean action, without exploration noise."""

from typing import Any

import jax
import jax.numpy as jnp

from gippo_jax.config import Config
from gippo_jax.envs.wrappers import TimeLimit, undo_failure
from gippo_jax.learning import gaussian as policy
from gippo_jax.learning.networks import make_networks
from gippo_jax.learning.state import PolicyState


def evaluate(env: Any, config: Config, policy_state: PolicyState, key: jax.Array, num_episodes: int) -> jax.Array:
  """Undiscounted returns of complete episodes under the mean action.

  Args:
    env, config, policy_state, key, num_episodes: as for `run_episodes`.

  Returns:
    Returns, `[num_episodes]`; NaN for an episode in which a step failed.
  """
  return run_episodes(env, config, policy_state, key, num_episodes)[0]


def run_episodes(
  env: Any, config: Config, policy_state: PolicyState, key: jax.Array, num_episodes: int
) -> tuple[jax.Array, jax.Array]:
  """Returns and last observations of complete episodes under the mean action.

  Args:
    env: unbatched environment, without wrappers.
    config: hyper-parameters of the run.
    policy_state: the policy.
    key: draws the starts of the episodes.
    num_episodes: number of episodes, run side by side.

  Returns:
    Undiscounted returns, `[num_episodes]`, NaN for an episode in which a step failed; and the observations in which the
    episodes ended, `[num_episodes, O]`.
  """
  networks = make_networks(config, env.action_size)
  timed = TimeLimit(env)

  def episode(start_key):
    def step(carry, _):
      current, alive, total, last_obs = carry
      obs = current.obs
      if config.normalize_observations:
        obs = policy_state.observation_statistics.normalize(obs)
      mean, _ = networks.policy(policy_state.actor, obs)
      reached, failed = undo_failure(current, timed.step(current, policy.squash(mean)))
      total = total + jnp.where(alive, jnp.where(failed, jnp.nan, reached.reward), 0.0)
      last_obs = jnp.where(alive, reached.obs, last_obs)
      alive = alive & (jnp.maximum(reached.terminated, reached.truncated) == 0)
      return (reached, alive, total, last_obs), None

    start = timed.reset(start_key)
    carry = (start, jnp.asarray(True), jnp.zeros_like(start.reward), start.obs)
    (_, _, total, last_obs), _ = jax.lax.scan(step, carry, None, length=env.episode_length)
    return total, last_obs

  return jax.vmap(episode)(jax.random.split(key, num_episodes))
