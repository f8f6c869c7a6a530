"""Episodes of a trained policy, kept state by state."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.base import Trajectory
from gippo_jax.envs.wrappers import TimeLimit, undo_failure
from gippo_jax.learning import gaussian as policy
from gippo_jax.config import Config
from gippo_jax.learning.networks import make_networks
from gippo_jax.learning.state import PolicyState


def play(env: Any, config: Config, policy_state: PolicyState, key: jax.Array, explore: bool = False) -> Trajectory:
  """Runs one episode to its end.

  Args:
    env: unbatched environment, without wrappers.
    config: hyper-parameters of the run.
    policy_state: the policy.
    key: draws the start, and the noise with `explore`.
    explore: draw actions from the policy instead of taking its mean.

  Returns:
    The episode, as NumPy arrays; the environment's own states, without the wrapper's.
  """
  networks = make_networks(config, env.action_size)
  timed = TimeLimit(env)

  @jax.jit
  def episode(policy_state, key):
    start_key, noise_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, (env.episode_length, env.action_size)) * float(explore)

    def step(current, eps):
      obs = current.obs
      if config.normalize_observations:
        obs = policy_state.observation_statistics.normalize(obs)
      mean, log_std = networks.policy(policy_state.actor, obs)
      action = policy.squash(policy.sample(mean, log_std, eps))
      reached, _ = undo_failure(current, timed.step(current, action))
      return reached, (reached, action)

    start = timed.reset(start_key)
    _, (reached, actions) = jax.lax.scan(step, start, noise)
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), start, reached), actions

  states, actions = jax.device_get(episode(policy_state, key))
  ended = np.flatnonzero(np.maximum(states.terminated, states.truncated)[1:] > 0)
  length = int(ended[0]) + 1 if ended.size else env.episode_length
  states = states.replace(physics=states.physics.inner)
  states = jax.tree.map(lambda leaf: leaf[: length + 1], states)
  return Trajectory(states=states, actions=actions[:length], rewards=states.reward[1:])
