"""Members side by side equal members alone, whatever they differ in and however they are arranged."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.algorithms.gradient_step import RateConfig
from gippo_jax.config import Config, CriticConfig, common_fields, traced
from gippo_jax.fields import allowed_of
from gippo_jax.programs.epochs import make_epochs, train
from gippo_jax.programs.members import make_members
from tests import configs
from tests.configs import ALGORITHMS

ENV = envs.make("point_mass", dimension=2, episode_length=5)
EPOCHS = 4


def config_of(algorithm):
  return configs.config_of(
    algorithm,
    num_envs=4,
    horizon=4,
    num_epochs=EPOCHS,
    actor={"units": (8,)},
    critic={"units": (8,), "num_iterations": 2, "num_minibatches": 2},
    alpha={"initial": 1e-2, "num_steps": 4},
    ppo={"minibatch_size": 8, "learning_rate": 1e-3, "num_passes": 2},
    ddcg={"copies": 2},
  )


# GI-PPO has every part that could tell members apart; `make test-slow` has the other algorithms.
NAMES = ["gippo", *(pytest.param(name, marks=pytest.mark.slow) for name in ALGORITHMS if name != "gippo")]


@pytest.fixture(scope="module", params=NAMES)
def case(request):
  """A configuration, and the function that trains one member alone."""
  config = config_of(request.param)
  return config, jax.jit(lambda key, config: train(ENV, config, key, EPOCHS))


def assert_equal(actual, expected):
  actual, expected = (
    [np.asarray(leaf) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.number)]
    for tree in (actual, expected)
  )
  assert len(actual) == len(expected) > 10
  for a, b in zip(actual, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_vmap_over_keys_and_real_numbers(case):
  """Every real-valued field is a leaf; here all of them vary at once."""
  config, alone = case
  keys = jax.random.split(jax.random.key(5), 3)
  factors = jnp.asarray([1.0, 0.9, 0.97])
  stacked = jax.tree.map(lambda leaf: leaf * factors, traced(config))
  together, metrics = jax.jit(jax.vmap(lambda key, config: train(ENV, config, key, EPOCHS)))(keys, stacked)
  for member in range(3):
    single, single_metrics = alone(keys[member], jax.tree.map(lambda leaf, i=member: leaf[i], stacked))
    assert_equal(jax.tree.map(lambda leaf, i=member: leaf[i], (together, metrics)), (single, single_metrics))
  assert not np.allclose(metrics["critic_loss"][0], metrics["critic_loss"][1])


def test_members_equal_members_alone(case):
  """Three members on two devices, in chunks, against each one trained alone in one scan."""
  config, alone = case
  rates = jnp.asarray([1e-3, 2e-3, 5e-3])
  varied = config.replace(critic=config.critic.replace(learning_rate=rates))
  members = make_members(ENV, varied, 3, EPOCHS)
  states = members.init([7, 8, 9])
  members.compile(states)
  states, first = members.launch(states, 1)
  first = members.fetch(first)
  states, second = members.launch(states, EPOCHS - 1)
  second = members.fetch(second)
  metrics = {name: np.concatenate([first[name], second[name]], axis=1) for name in first}
  states = members.gather(states)
  for member, seed in enumerate([7, 8, 9]):
    single_config = config.replace(critic=config.critic.replace(learning_rate=float(rates[member])))
    single, single_metrics = alone(jax.random.key(seed), traced(single_config))
    assert_equal(jax.tree.map(lambda leaf, i=member: leaf[i], states), single)
    assert_equal({name: values[member] for name, values in metrics.items()}, single_metrics)


def test_every_real_number_is_a_leaf():
  """A number that became part of the compile key could not be swept."""
  for algorithm in ALGORITHMS:
    config = Config(algorithm=algorithm, horizon=4)
    groups = [config.actor, config.critic, config.adam, *config.own.values()]
    fields = [*common_fields().values(), *(field for group in groups for field in dataclasses.fields(group))]
    kinds = [allowed_of(field).kind for field in fields if allowed_of(field) is not None]
    assert kinds.count("real") + 1 == len(jax.tree.leaves(config))  # and the number of epochs
  assert hash(jax.tree.structure(config)) is not None


def test_training_does_not_depend_on_the_evaluation(case):
  config, _ = case
  members = make_members(ENV, config, 1, EPOCHS)
  states = members.init([1])
  members.compile(states)
  before = np.asarray(jax.random.key_data(states.key))
  returns = members.evaluate(states, 6)
  assert returns.shape == (1, 6)
  assert np.all(returns == returns[0, 0])  # all episodes of this environment start alike, and there is no noise
  np.testing.assert_array_equal(np.asarray(jax.random.key_data(states.key)), before)


def test_gippo_learns():
  """The test of the whole, not of a part: 150 epochs on De Jong's function end a thousand times nearer."""
  env = envs.make("dejong", dimension=2)
  config = config_of("gippo").replace(num_envs=32, horizon=1, num_epochs=150)
  config = config.replace(
    ppo=config.ppo.replace(minibatch_size=32), alpha=config.alpha.replace(initial=1e-4, num_steps=16)
  )
  _, metrics = jax.jit(lambda key: train(env, config, key, 150))(jax.random.key(0))
  returns = np.asarray(metrics["return"])
  assert returns[0] < -1.0
  assert returns[-1] > 1e-3 * returns[0]


@dataclasses.dataclass(frozen=True)
class BreaksOnce:
  """A point mass of which a few episodes, drawn at their start, end in their first step and in NaN."""

  inner = envs.make("point_mass", dimension=2, episode_length=5)
  observation_size = 4
  action_size = 2
  episode_length = 5
  differentiable = True

  def reset(self, key):
    state = self.inner.reset(key)
    return state.replace(physics=(state.physics, jnp.zeros((), jnp.int32), jax.random.bernoulli(key, 0.02)))

  def step(self, state, action):
    physics, steps, breaks = state.physics
    state = self.inner.step(state.replace(physics=physics), action)
    broken = breaks & (steps == 0)
    return state.replace(
      physics=(state.physics, steps + 1, breaks),
      obs=jnp.where(broken, jnp.nan, state.obs),
      reward=jnp.where(broken, jnp.nan, state.reward),
      terminated=jnp.where(broken, 1.0, state.terminated),
    )


@pytest.mark.parametrize("algorithm", NAMES)
def test_training_recovers_from_an_episode_that_ends_in_nan(algorithm):
  config = config_of(algorithm).replace(num_epochs=40, num_envs=8)
  state, metrics = jax.jit(lambda key: train(BreaksOnce(), config, key, 40))(jax.random.key(1))
  broken = np.flatnonzero(metrics["episodes_nonfinite"])
  assert 0 < len(broken) < 20
  np.testing.assert_array_equal(np.flatnonzero(metrics["fault_share"]), broken)  # counted where it happened
  assert np.all(np.isfinite(metrics["critic_loss"]))
  assert np.all(np.isfinite(metrics["return"][broken[-1] :]))
  for leaf in jax.tree.leaves((state.actor, state.critic, state.observation_statistics, state.value_statistics)):
    assert np.all(np.isfinite(leaf))


def test_devices_never_wait_for_each_other():
  """A device that waits for another one, busy with something else, is given up by XLA after a while."""
  members = make_members(ENV, config_of("lr"), 3, EPOCHS)
  assert len(members.program.devices) == 2
  states = members.init([1, 2, 3])
  members.compile(states)
  episodes = members.program.begin_episodes.eval_shape(states.key, 4)
  place = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=members.program.sharding)  # noqa: E731
  episodes = jax.tree.map(place, episodes)
  evaluation = members.program.continue_episodes.lower(states.policy, members.config, episodes).compile()
  for program in (members.program.advance, evaluation):
    text = program.as_text()
    assert not [word for word in ("all-gather", "all-reduce", "all-to-all", "collective-permute") if word in text]
  gathered = members.gather(states)
  assert {leaf.shape[0] for leaf in jax.tree.leaves(gathered)} == {3}
  assert all(len(leaf.devices()) == 1 for leaf in jax.tree.leaves(gathered))
  assert members.evaluate(states, 4).shape == (3, 4)


@pytest.mark.parametrize("arrangement", ["map", "vmap"])
def test_devices_do_not_wait_in_their_thread_pool(arrangement):
  """A batched QR factorisation does, and two devices can wait for each other so."""
  members = make_members(ENV, config_of("lr"), 8, EPOCHS, arrangement)
  text = members.program.init.lower(jax.random.split(jax.random.key(0), 8), members.config).as_text()
  calls = [line for line in text.splitlines() if "geqrf" in line]
  assert calls
  assert all(re.search(r"\(tensor<\d+x\d+xf64>", line) for line in calls)


def test_the_best_policy_is_kept():
  """Twenty epochs down De Jong's bowl, twenty up: kept is what the epoch with the best mean return started from."""
  down = traced(config_of("shac").replace(num_envs=32, num_epochs=40, shac=RateConfig(learning_rate=0.02)))
  up = down.replace(shac=down.shac.replace(learning_rate=-down.shac.learning_rate))
  algorithm = make_epochs(envs.make("dejong", dimension=1), down)
  state, update = algorithm.init(jax.random.key(0), down), jax.jit(algorithm.update)
  policies, means = [], []
  for config in [down] * 20 + [up] * 20:
    policies.append(state.policy)
    state, metrics = update(state, config)
    means.append(float(metrics["return"]))
  best = int(np.nanargmax(means))
  assert 15 < best < 39
  assert state.returns.best == means[best]
  assert_equal(state.best_policy, policies[best])


def run_under(setting, num_epochs, num_episodes):
  """Trains and evaluates a small member under one of JAX's settings."""
  config = config_of("lr").replace(horizon=2, critic=CriticConfig(units=(4,), num_iterations=1, num_minibatches=1))
  jax.config.update(setting, True)
  try:
    members = make_members(ENV, config, 1, 4)
    states = members.init([1])
    members.compile(states)
    states, pending = members.launch(states, num_epochs)
    return members.fetch(pending), members.evaluate(states, num_episodes)
  finally:
    jax.config.update(setting, False)


def test_the_search_for_nan_finds_none_in_a_healthy_run():
  """Neither before an episode has finished nor after."""
  metrics, returns = run_under("jax_debug_nans", 3, 2)
  assert metrics["episodes"][0, 0] == 0 < metrics["episodes"][0, -1]
  assert np.all(np.isfinite(metrics["return"]))
  assert np.all(np.isfinite(returns))


@pytest.mark.slow
def test_it_runs_as_plain_python():
  metrics, returns = run_under("jax_disable_jit", 1, 1)
  assert np.all(np.isfinite(metrics["critic_loss"]))
  assert np.all(np.isfinite(returns))


class Hollow:
  """A point mass with an array of no entries in its physics, as simulators have of what a model lacks."""

  inner = envs.make("point_mass", dimension=1, episode_length=5)
  observation_size = 2
  action_size = 1
  episode_length = 5
  differentiable = True

  def reset(self, key):
    state = self.inner.reset(key)
    return state.replace(physics=(state.physics, jnp.zeros((0, 3))))

  def step(self, state, action):
    physics, hollow = state.physics
    state = self.inner.step(state.replace(physics=physics), action)
    return state.replace(physics=(state.physics, hollow))


def test_states_may_hold_arrays_without_entries():
  """JAX gives such an array back without a place; three members lie on two devices, one row filled up."""
  config = config_of("rp")
  members = make_members(Hollow(), config, 3)
  members.compile(members.abstract_states())
  states = members.init([1, 2, 3])
  for _ in range(2):
    states, pending = members.launch(states, 1)
  assert np.all(np.isfinite(members.fetch(pending)["actor_loss"]))
