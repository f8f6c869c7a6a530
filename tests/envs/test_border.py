"""What an environment may return: everything unambiguous is cast, the rest is refused in one line."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.algorithms.base import Draws
from gippo_jax.config import Config, traced
from gippo_jax.envs import State, vectorize
from gippo_jax.envs.border import check
from gippo_jax.envs.wrappers import AutoReset, TimeLimit
from gippo_jax.learning.rollout import collect_with_advantage_gradient
from gippo_jax.learning.setup import make_setup
from gippo_jax.programs.epochs import make_epochs


class Inner(NamedTuple):
  half: Any
  empty: Any


class Anything(NamedTuple):
  """A state that is none of ours, and no dataclass."""

  physics: Any
  obs: Any
  reward: Any
  terminated: Any
  truncated: Any


@dataclasses.dataclass(frozen=True)
class Strange:
  """Moves a point; its state holds nearly every kind of thing."""

  observation_size = 1
  action_size = 1
  episode_length = 3
  differentiable = True

  def reset(self, key):
    physics = {
      "place": jnp.zeros((), jnp.float32),
      "deep": {"inner": Inner(jnp.ones((), jnp.float16), jnp.zeros((0, 3)))},
      "none": None,
      "count": 0,
      "flag": False,
      "key": key,
      "bfloat": jnp.ones((2,), jnp.bfloat16),
    }
    return Anything(physics, jnp.zeros((1,), jnp.float16), 0, False, jnp.zeros((1,), jnp.int32))

  def step(self, state, action):
    physics = dict(state.physics)
    key, noise_key = jax.random.split(physics["key"])
    moved = physics["place"] + 0.5 * action[0].astype(jnp.float32)
    inner = Inner(physics["deep"]["inner"].half * jnp.float16(0.5), physics["deep"]["inner"].empty)
    physics |= {"place": moved, "deep": {"inner": inner}, "count": physics["count"] + 1, "flag": True, "key": key}
    noise = 0.0 * jax.random.normal(noise_key, (), jnp.float32)
    reward = (-(moved**2) + noise - inner.half.astype(jnp.float32))[None]
    return Anything(physics, moved[None], reward, moved > 10.0, 0)


def test_a_strange_state_is_batched_reset_and_differentiated():
  batch = vectorize(Strange(), 2)
  state = jax.jit(batch.reset)(jax.random.key(0))
  actions = jnp.full((7, 2, 1), 0.25)

  @jax.jit
  def total(actions):
    def step(state, action):
      state = batch.step(state, action)
      return state, (state.current, state.final_obs)

    reached = jax.lax.scan(step, state, actions)[1]
    return jnp.sum(reached[0].reward), reached

  (_, (states, final_obs)), gradient = jax.value_and_grad(total, has_aux=True)(actions)
  assert states.obs.dtype == states.reward.dtype == states.terminated.dtype == states.truncated.dtype == jnp.float64
  assert states.physics.inner["deep"]["inner"].half.dtype == jnp.float16
  assert states.physics.inner["deep"]["inner"].empty.shape == (7, 2, 0, 3)
  np.testing.assert_array_equal(states.truncated[:, 0], [0, 0, 1, 0, 0, 1, 0])
  np.testing.assert_allclose(final_obs[:, 0, 0], 0.125 * np.array([1, 2, 3, 1, 2, 3, 1]))
  np.testing.assert_array_equal(states.physics.inner["count"][:, 0], [1, 2, 0, 1, 2, 0, 1])
  # By the first action: -2 x dx/da of the three steps that it moves.
  np.testing.assert_allclose(gradient[0, :, 0], -2.0 * 0.5 * 0.125 * (1 + 2 + 3), rtol=1e-6)
  keys = jax.random.key_data(states.physics.inner["key"])
  assert len({tuple(key) for key in np.asarray(keys).reshape(-1, 2)}) == 14


def test_the_advantage_gradient_passes_floats_of_any_width():
  config = traced(Config(algorithm="gippo", num_envs=2, horizon=4, ppo={"minibatch_size": 8}, critic={"units": (4,)}))
  setup = make_setup(Strange(), config)
  state = jax.jit(make_epochs(Strange(), config).init)(jax.random.key(0), config)
  noise = jax.random.normal(jax.random.key(1), (4, 2, 1))
  draws = Draws(noise, jax.random.key(2))
  _, window, gradient = jax.jit(lambda: collect_with_advantage_gradient(setup, state, draws.noise))()
  assert gradient.dtype == window.reward.dtype == jnp.float64
  assert np.all(np.abs(gradient) > 1e-6)


@dataclasses.dataclass(frozen=True)
class Altered:
  """A good environment but for one thing."""

  change: str = ""

  observation_size = 2
  action_size = 1
  differentiable = True

  @property
  def episode_length(self):
    return {"no length": 0, "half a length": 2.5}.get(self.change, 5)

  def reset(self, key):
    del key
    return self._state(jnp.zeros((2,)), first=True)

  def step(self, state, action):
    return self._state(state.physics["x"] + jnp.sum(action), first=False)

  def _state(self, x, first):
    zero = jnp.zeros(())
    physics = {"x": x}
    if self.change == "other type" and not first:
      physics["x"] = x.astype(jnp.float32)
    if self.change == "one more" and not first:
      physics["y"] = x
    obs = {"size": x[:1], "rank": x[None], "dict": {"a": x}, "none": None}.get(self.change, x)
    reward = x if self.change == "reward" else zero
    terminated = x if self.change == "flag" else 2.0 * jnp.ones(()) if self.change == "two" else zero
    if self.change == "no state":
      return (physics, obs, reward)
    return State(physics, obs, reward, terminated, zero)


REFUSED = {
  "no length": "episode_length of Altered is 0; allowed: an integer from 1",
  "half a length": "episode_length of Altered is 2.5",
  "size": r"the obs of reset of Altered has shape \(1,\); allowed: \(2,\), its observation_size",
  "rank": r"the obs of reset of Altered has shape \(1, 2\)",
  "dict": "the obs of reset of Altered is a dict; allowed: a vector",
  "none": "the obs of reset of Altered is a NoneType",
  "reward": r"the reward of reset of Altered is of shape \(2,\) and type float64; allowed: one number",
  "flag": r"the terminated of reset of Altered is of shape \(2,\)",
  "other type": r"physics\['x'\] of Altered is float64\[2\] after reset and float32\[2\] after step",
  "one more": r"reset and step of Altered return physics of different structure, which differ in \['y'\]",
  "no state": "reset of Altered returned tuple, which has no physics, obs, reward, terminated, truncated",
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_is_ambiguous_is_refused_in_one_line(change):
  with pytest.raises(ValueError, match=REFUSED[change]) as caught:
    vectorize(Altered(change), 2)
  assert "\n" not in str(caught.value)
  check(Altered())


def test_missing_members_are_named():
  class Nothing:
    observation_size = 1

  with pytest.raises(ValueError, match="has no action_size, episode_length, differentiable, reset, step"):
    check(Nothing())


def test_what_the_environments_own_code_raises_passes_through():
  class Raises(Altered):
    def step(self, state, action):
      raise KeyError("my own mistake")

  with pytest.raises(KeyError, match="my own mistake"):
    check(Raises())


def test_a_flag_is_raised_or_not():
  """`terminated=2.0` is no weight of two."""
  env = AutoReset(TimeLimit(Altered("two")))
  state = jax.jit(lambda: env.step(env.reset(jax.random.key(0)), jnp.zeros((1,))))()
  assert state.current.terminated == 1.0


def test_an_environment_is_looked_at_once():
  class Counted(Altered):
    looked = 0

    def reset(self, key):
      Counted.looked += 1
      return super().reset(key)

  env = Counted()
  for _ in range(3):
    check(env)
  assert Counted.looked == 1


@dataclasses.dataclass(frozen=True)
class OneAStep:
  """Pays 1 a step; ends at its fifth step, which is also the last one allowed."""

  ends: bool

  observation_size = 1
  action_size = 1
  episode_length = 5
  differentiable = False

  def reset(self, key):
    del key
    return State(jnp.zeros(()), jnp.zeros((1,)), 0.0, False, False)

  def step(self, state, action):
    count = state.physics + 1.0
    return State(count, count[None], 1.0, self.ends & (count >= 5.0), False)


@pytest.mark.parametrize("ends", [True, False])
def test_an_end_at_the_time_limit_is_worth_nothing_afterwards(ends):
  """The start is worth the five rewards to come, discounted: 4.90; bootstrapped it would be 100."""
  config = Config(
    algorithm="ppo",
    num_envs=8,
    horizon=10,
    num_epochs=300,
    gae_lambda=1.0,
    actor={"units": (8,)},
    critic={"units": (32, 32), "learning_rate": 3e-3, "num_iterations": 4},
    ppo={"minibatch_size": 80, "num_passes": 1, "learning_rate": 0.0},
  )
  env = OneAStep(ends)
  epochs = make_epochs(env, config)
  setup = make_setup(env, traced(config))

  @jax.jit
  def train(key):
    state = epochs.init(key, traced(config))
    return jax.lax.scan(lambda state, _: epochs.update(state, traced(config)), state, None, length=300)[0]

  state = train(jax.random.key(0))
  obs = state.observation_statistics.normalize(jnp.zeros((1,)))
  value = state.value_statistics.denormalize(setup.networks.value(state.critic, obs))
  worth = sum(0.99**k for k in range(5))
  if ends:
    assert value == pytest.approx(worth, rel=0.05)
  else:
    assert value > 3.0 * worth
