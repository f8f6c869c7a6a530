"""Episodes of a trained policy, kept state by state."""

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.base import Environment, Trajectory
from gippo_jax.envs.wrappers import TimeLimit, undo_failure
from gippo_jax.learning.policies import Policy


def play(policy: Policy, env: Environment, key: jax.Array, explore: bool = False) -> Trajectory:
  """Runs one episode to its end.

  Args:
    policy: acts.
    env: unbatched environment, without wrappers.
    key: draws the start, and the noise with `explore`.
    explore: draw actions from the policy instead of taking its mean.

  Returns:
    The episode, as NumPy arrays; the environment's own states, without the wrapper's.
  """
  timed = TimeLimit(env)

  @jax.jit
  def episode(policy, key):
    start_key, noise_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, (env.episode_length, env.action_size)) * float(explore)

    def step(current, eps):
      action = policy.act(current.obs, eps)
      reached, _ = undo_failure(current, timed.step(current, action))
      return reached, (reached, action)

    start = timed.reset(start_key)
    _, (reached, actions) = jax.lax.scan(step, start, noise)
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), start, reached), actions

  states, actions = jax.device_get(episode(policy, key))
  ended = np.flatnonzero(np.maximum(states.terminated, states.truncated)[1:] > 0)
  length = int(ended[0]) + 1 if ended.size else env.episode_length
  states = states.replace(physics=states.physics.inner)
  states = jax.tree.map(lambda leaf: leaf[: length + 1], states)
  return Trajectory(states=states, actions=actions[:length], rewards=states.reward[1:])
