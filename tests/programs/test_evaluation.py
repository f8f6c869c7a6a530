"""Episodes by the mean action: each counts until its own end."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax import envs
from gippo_jax.config import Config, traced
from gippo_jax.learning.policies import policy_of
from gippo_jax.learning.setup import make_setup
from gippo_jax.programs.epochs import make_epochs
from gippo_jax.programs.evaluation import run_episodes


@dataclasses.dataclass(frozen=True)
class EndsAtItsOwnTime:
  """Pays 1 for each step until a number of steps, 1 to 8, drawn at the start; observes the steps."""

  observation_size = 1
  action_size = 1
  episode_length = 6
  differentiable = False

  def reset(self, key):
    zero = jnp.zeros(())
    steps = jax.random.randint(key, (), 1, 9).astype(float)
    return envs.State(physics=(zero, steps), obs=zero[None], reward=zero, terminated=zero, truncated=zero)

  def step(self, state, action):
    del action
    count, steps = state.physics
    count = count + 1.0
    return state.replace(
      physics=(count, steps), obs=count[None], reward=jnp.ones(()), terminated=(count >= steps).astype(float)
    )


def test_returns_and_last_observations_stop_where_each_episode_ends():
  config = traced(Config(algorithm="lr", actor={"units": (4,)}, critic={"units": (4,)}))
  env, key = EndsAtItsOwnTime(), jax.random.key(1)
  state = jax.jit(make_epochs(env, config).init)(jax.random.key(0), config)
  policy = policy_of(make_setup(env, config), state.policy)
  returns, observations = jax.jit(lambda policy: run_episodes(policy, env, key, 32))(policy)
  assert set(np.asarray(returns)) == {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}  # 6: the time limit
  np.testing.assert_array_equal(observations[:, 0], returns)
