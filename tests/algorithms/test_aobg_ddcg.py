"""AoBG and DDCG as trainers on windows: their parts, their limits, and environments that share a start."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax.algorithms.aobg import by_environment
from gippo_jax.algorithms.ivw_h import estimates_of_outputs
from gippo_jax.algorithms.rp import collect_with_return_gradient
from gippo_jax.envs.base import State
from gippo_jax.errors import UserError
from gippo_jax.learning.branching import branch, within_groups
from gippo_jax.learning.output_pull_back import gradient_of_outputs
from gippo_jax.learning.rollout import collect
from gippo_jax.programs.epochs import make_epochs
from tests import configs
from tests.algorithms.settings import SMALL, config_of, program, setting


def test_the_environments_gradients_average_to_the_whole_and_show_their_spread():
  config = config_of("aobg")
  setup, state, draws = setting(config)

  @jax.jit
  def both(noise):
    _, window, return_gradient, _ = collect_with_return_gradient(setup, state, noise, 1.0)
    messages = estimates_of_outputs(window, return_gradient, config.discount, 1.0)[1]

    def alone(i):
      part = jax.tree.map(lambda leaf: leaf[:, i : i + 1], (window, messages))
      return gradient_of_outputs(setup.networks, state.actor, *part) / 6

    return by_environment(setup.networks, state.actor, window, messages), jnp.stack([alone(i) for i in range(4)])

  (mean, variance, largest), each = both(draws.noise)
  each = np.asarray(each)
  assert np.max(np.abs(mean)) > 1e-3
  np.testing.assert_allclose(mean, each.mean(axis=0), rtol=1e-8, atol=1e-12)
  np.testing.assert_allclose(variance, np.trace(np.cov(each, rowvar=False)), rtol=1e-8)
  np.testing.assert_allclose(largest, np.linalg.norm(each, axis=1).max(), rtol=1e-8)


def test_aobg_uses_derivatives_within_the_tolerance_alone():
  run = program(config_of("aobg"))
  (_, loose), (_, tight) = (run(config_of("aobg", aobg={"tolerance": tolerance})) for tolerance in (1e9, 0.0))
  assert 0.0 < loose["aobg_weight"] <= 1.0
  assert tight["aobg_weight"] == 0.0
  assert loose["aobg_radius"] == pytest.approx(float(tight["aobg_radius"]))
  assert loose["actor_gradient_norm"] != pytest.approx(float(tight["actor_gradient_norm"]), rel=1e-3)


def test_a_group_begins_where_its_first_environment_is_and_goes_apart():
  config = config_of("ddcg", ddcg={"copies": 2})
  setup, state, draws = setting(config)

  @jax.jit
  def go(noise):
    environment, _ = collect(setup, state, state.actor, noise)
    before = state.replace(
      environment=environment,
      returns=state.returns.replace(running=jnp.arange(4.0)),
      episode_start=jnp.array([0.0, 1.0, 1.0, 0.0]),
    )
    after = branch(before, 2)
    _, window = collect(setup, after, after.actor, noise)
    return before, after, window

  before, after, window = go(draws.noise)
  start = np.asarray(before.environment.current.obs)
  assert not np.allclose(start[0], start[1])
  np.testing.assert_array_equal(after.environment.current.obs, start[[0, 0, 2, 2]])
  steps = np.asarray(before.environment.current.physics.steps)
  np.testing.assert_array_equal(after.environment.current.physics.steps, steps[[0, 0, 2, 2]])
  np.testing.assert_array_equal(after.returns.running, [0.0, 0.0, 2.0, 2.0])
  np.testing.assert_array_equal(after.episode_start, [0.0, 0.0, 1.0, 1.0])
  keys = np.asarray(jax.random.key_data(after.environment.key))
  assert len(np.unique(keys, axis=0)) == 4  # starts behind an end differ
  np.testing.assert_array_equal(window.raw_observation[0, 0], window.raw_observation[0, 1])
  assert np.all(window.raw_observation[1, 0] != window.raw_observation[1, 1])


def test_variance_and_squared_mean_within_groups_are_unbiased():
  """Groups of 3 with means of their own: the spread of the means is in neither."""
  keys = jax.random.split(jax.random.key(0), 2)
  means = 5.0 * jax.random.normal(keys[0], (40_000, 1, 2))
  samples = means + 2.0 * jax.random.normal(keys[1], (40_000, 3, 2))
  variance, squared = within_groups(samples.reshape(-1, 2), 3)
  np.testing.assert_allclose(variance, 8.0, rtol=0.02)
  np.testing.assert_allclose(squared, jnp.mean(jnp.sum(means**2, axis=(1, 2))), rtol=0.02)


@dataclasses.dataclass(frozen=True)
class Slope:
  """Starts all over a line, and a reward that is linear in the action or jumps with it."""

  jumps: bool

  observation_size, action_size, episode_length, differentiable = 1, 1, 50, True

  def reset(self, key):
    zero, start = jnp.zeros(()), jax.random.normal(key, (1,))
    return State(physics=start, obs=start, reward=zero, terminated=zero, truncated=zero)

  def step(self, state, action):
    pushed = state.physics + action
    reward = jnp.sum(jnp.sign(pushed) + 0.01 * pushed if self.jumps else pushed)
    return state.replace(physics=pushed, obs=pushed, reward=reward)


@pytest.mark.parametrize("jumps", [False, True])
def test_ddcg_takes_the_derivatives_unless_the_reward_jumps(jumps):
  """Broken by variances over all environments: starts that differ would look like jumps."""
  config = config_of("ddcg", num_envs=128, horizon=3)
  found, metrics = program(config, Slope(jumps))(config)
  assert metrics["ddcg_smooth"] == (0.0 if jumps else 1.0)
  assert metrics["ddcg_weight"] == 0.0 if jumps else metrics["ddcg_weight"] > 0.5
  assert np.all(np.isfinite(ravel_pytree(found.actor)[0]))


class Constant:
  """A reward of 1 in each of 7 steps."""

  observation_size, action_size, episode_length, differentiable = 1, 1, 7, True

  def reset(self, key):
    zero = jnp.zeros(())
    return State(physics=zero, obs=jax.random.normal(key, (1,)), reward=zero, terminated=zero, truncated=zero)

  def step(self, state, action):
    return state.replace(obs=state.obs + action, reward=state.reward + 1.0)


def test_returns_of_branched_episodes_are_those_of_whole_ones():
  """Windows of 6 in episodes of 7: summed within windows, as others did, a return would be 6 or less, or 0."""
  config = config_of("ddcg", ddcg={"copies": 2})
  epochs = make_epochs(Constant(), config)
  run = jax.jit(lambda state: epochs.update(state, config))
  state = jax.jit(epochs.init)(jax.random.key(0), config)
  returns = []
  for _ in range(4):
    state, metrics = run(state)
    returns.append(float(metrics["return"]))
  assert returns == [0.0, 7.0, 7.0, 7.0]
  assert state.returns.finished == 3 * 4


def test_environments_that_cannot_be_shared_out_are_refused():
  with pytest.raises(UserError, match=r"config\.ddcg\.copies: 3 is not allowed; allowed: a divisor of num_envs = 4"):
    configs.config_of("ddcg", **SMALL, ddcg={"copies": 3})
  with pytest.raises(UserError, match=r"config\.num_envs: 5 is not allowed with the algorithm 'aobg'"):
    configs.config_of("aobg", **(SMALL | {"num_envs": 5}))
