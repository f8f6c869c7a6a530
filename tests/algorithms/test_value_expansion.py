"""RP-DP and RP-DR: an epoch from end to end, what its steps work on, and what is refused."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gippo_jax
from gippo_jax.algorithms.value_expansion import Epoch, Learners, step_actor, step_critics
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.envs.point_mass import PointMass
from gippo_jax.errors import UserError
from gippo_jax.experiments.configs import learned_model
from gippo_jax.learning import world_model
from gippo_jax.learning.action_value import with_action_critics
from gippo_jax.learning.normalization import init_statistics
from gippo_jax.learning.optimization import make_optimizer
from gippo_jax.learning.policies import policy_of
from gippo_jax.learning.setup import make_setup
from gippo_jax.learning.temperature import init_temperature
from gippo_jax.learning.value_expansion import segments_of
from gippo_jax.parsing import parse
from gippo_jax.programs.epochs import train
from tests.algorithms.settings import config_of, setting

PROBE = LinearQuadratic(start_noise=0.5, episode_length=5)
SMALL = {
  "actor": {"units": (8, 8), "layer_norm": False},
  "critic": {"units": (8,)},
  "model": {"units": (16,), "num_steps": 4, "minibatch_size": 16, "capacity": 64},
  "expansion": {"num_steps": 3, "minibatch_size": 8, "horizon": 3},
}


def small(algorithm, **options):
  return config_of(algorithm, **{name: SMALL.get(name, {}) | options.get(name, {}) for name in SMALL | options})


@pytest.mark.parametrize("algorithm", ["rp_dp", pytest.param("rp_dr", marks=pytest.mark.slow)])
def test_two_epochs_move_everything(algorithm):
  """With spectral normalisation of policy and model; windows of six steps hold ends of episodes of five."""
  config = small(algorithm, actor={"spectral_norm": True}, model={"spectral_norm": True})
  run = jax.jit(lambda key, config: train(PROBE, config, key, 2))
  state, metrics = run(jax.random.key(0), config)
  assert np.all(np.isfinite([metrics[name] for name in ("actor_loss", "critic_loss", "model_loss")]))
  np.testing.assert_array_equal(metrics["model_transitions"], [24, 48])  # ends of episodes among them
  np.testing.assert_array_equal(metrics["model_nonfinite_predictions"] + metrics["model_empty_buffer"], 0.0)
  assert np.all(np.diff(metrics["expansion_temperature"]) != 0.0)
  before, after = state.best_policy.actor, state.actor
  for name in ("network", "directions"):
    changes = jax.tree.map(lambda one, two: np.max(np.abs(one - two)), before[name], after[name])
    assert max(jax.tree.leaves(changes)) > 1e-5
  for critic, target in zip(jax.tree.leaves(state.critic), jax.tree.leaves(state.target_critic), strict=True):
    assert 0.0 < np.max(np.abs(critic - target)) < 0.1
  assert len(state.critic) == 2
  assert state.value_statistics.count == 48


def learners_and_epoch():
  """Steps on a hand-made epoch: random critics and policy, an untrained model whose buffer holds some steps."""
  config = small("rp_dp")
  setup, networks = with_action_critics(make_setup(PROBE, config), 2)
  keys = jax.random.split(jax.random.key(0), 4)
  actor, critic = networks.init(keys[0], config.actor)
  optimizer = make_optimizer(config, 0.7, 0.95)
  model = world_model.init_model(keys[1], 1, 1, config.model)
  obs, action = jax.random.normal(keys[2], (2, 16, 1))
  batch = world_model.Transition(obs, jnp.tanh(action), 0.1 * action, -(obs[:, 0] ** 2), jnp.zeros(16))
  model = world_model.remember(model, batch, jnp.ones(16, bool))
  _, state, _ = setting(config_of("shac"), PROBE)
  epoch = Epoch(
    setup=setup,
    networks=networks,
    optimizer=optimizer,
    acting=policy_of(setup, state.policy),
    statistics=init_statistics().update(jnp.asarray([3.0, 7.5])),
    model=model,
    draw=lambda key: (model.buffer.draw(key, (8,)).obs, None),
    rate=jnp.asarray(1e-2),
    critic_rate=jnp.asarray(1e-2),
    target_entropy=jnp.asarray(-1.0),
  )
  learners = Learners(
    actor, optimizer.init(actor), critic, critic, optimizer.init(critic), init_temperature(0.1, optimizer)
  )
  return learners, epoch


def test_a_step_climbs_the_expansion_and_the_critics_come_nearer_to_their_targets():
  """The same draw before and behind a step; predictions that are not finite are counted, and nothing moves."""
  learners, epoch = learners_and_epoch()
  key = jax.random.key(7)

  @jax.jit
  def of_actor(learners, model):
    return step_actor(epoch._replace(model=model), learners, key)

  climbed, before = of_actor(learners, epoch.model)
  _, after = of_actor(climbed._replace(temperature=learners.temperature), epoch.model)
  assert after["actor_loss"] < before["actor_loss"]
  assert before["model_nonfinite_predictions"] == before["actor_skipped_share"] == 0.0
  broken = epoch.model.replace(layers=jax.tree.map(lambda leaf: leaf * jnp.nan, epoch.model.layers))
  stayed, counted = of_actor(learners, broken)
  assert counted["model_nonfinite_predictions"] == counted["actor_skipped_share"] == 1.0
  jax.tree.map(np.testing.assert_array_equal, stayed.actor, learners.actor)

  of_critics = jax.jit(lambda learners: step_critics(epoch, learners, key))
  moved, before = of_critics(learners)
  _, after = of_critics(moved._replace(target_critic=learners.critic))
  assert after["critic_loss"] < before["critic_loss"]
  targets = jax.tree.map(lambda old, new: 0.995 * old + 0.005 * new, learners.critic, moved.critic)
  jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-9), targets, moved.target_critic)


def test_stretches_are_those_of_one_environment_in_their_order():
  place = 10.0 * jnp.arange(6.0)[:, None] + jnp.arange(3.0)[None]
  wide = place[..., None]
  window = types.SimpleNamespace(
    raw_observation=wide,
    noise=wide + 0.3,
    action=wide + 0.1,
    reward=place,
    done=0.0 * place,
    worthless=0.0 * place,
  )
  start, recorded = jax.jit(lambda key: segments_of(window, wide + 0.2, 4, 200, key))(jax.random.key(0))
  assert set(np.unique(start)) == {10.0 * t + n for t in range(3) for n in range(3)}
  for step in range(4):
    np.testing.assert_allclose(recorded.action[step], start + 10.0 * step + 0.1)
    np.testing.assert_allclose(recorded.noise[step], start + 10.0 * step + 0.3)
    np.testing.assert_allclose(recorded.reached[step], start + 10.0 * step + 0.2)
    np.testing.assert_allclose(recorded.reward[step], start[:, 0] + 10.0 * step)


@pytest.mark.parametrize("algorithm", ["rp_dp", "rp_dr"])
@pytest.mark.parametrize(
  ("values", "words"),
  [
    ({"expansion": {"horizon": 0}}, r"config\.expansion\.horizon: 0 is not allowed; allowed: an integer >= 1"),
    ({"expansion": {"horizon": 9}}, r"config\.expansion\.horizon: 9 is not allowed; allowed: 1 to horizon = 8"),
    ({"model": {"capacity": 10}}, r"config\.model\.capacity: 10 is not allowed; allowed: at least 512"),
  ],
)
def test_bad_settings_are_one_line(algorithm, values, words):
  with pytest.raises(UserError, match=words):
    gippo_jax.Config(algorithm=algorithm, num_envs=64, horizon=8, **values)


def test_a_buffer_that_stays_empty_is_counted():
  config = small("rp_dp").model
  fit = jax.jit(lambda model: world_model.fit(model, config)[1])
  assert fit(world_model.init_model(jax.random.key(0), 1, 1, config))["model_empty_buffer"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["rp_dp", "rp_dr"])
def test_they_learn_and_stay(algorithm):
  """Broken by values in units of their own targets: the critics' errors grow 10,000-fold in 80 epochs.

  And, for RP-DR, by noises that are inferred anew in each step: the policy's deviation has gone to 0 by epoch 60.
  """
  config = parse(learned_model.get_config(f"point_mass,{algorithm}")).config
  members = jax.jit(jax.vmap(lambda key: train(PointMass(), config, key, config.num_epochs)[1]["return"]))
  returns = members(jax.random.split(jax.random.key(0), 2))
  assert np.all(returns[:, -1] > 20.0)
