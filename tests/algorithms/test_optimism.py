"""Optimism of the actor's step: its equations, what happens without it, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.algorithms import clipped_surrogate
from gippo_jax.algorithms.optimism import OptimismState, go_on, init_optimism
from gippo_jax.config import Config, traced
from gippo_jax.errors import UserError
from gippo_jax.parsing import parse
from gippo_jax.programs.epochs import make_epochs
from tests.commands import SMALL, call, check_error

BEFORE = {"a": jnp.asarray([1.0, 2.0]), "b": jnp.asarray(3.0)}
AFTER = {"a": jnp.asarray([1.5, 2.0]), "b": jnp.asarray(2.0)}  # D_t = (0.5, 0, -1)
EARLIER = jnp.asarray([0.25, 1.0, -1.0])  # D_(t-1)
PREDICTION = jnp.asarray([0.25, -1.0, 0.0])  # D_t - D_(t-1)


def config_of(algorithm="ppo", **optimism):
  return Config(
    algorithm=algorithm,
    num_envs=4,
    horizon=4,
    num_epochs=4,
    actor={"units": (8,)},
    critic={"units": (8,), "num_iterations": 1},
    ppo={"minibatch_size": 8, "num_passes": 2},
    optimism=optimism,
  )


def state_of(strength=0.5, prediction=(0.0, 0.0, -2.0)):
  return OptimismState(EARLIER, jnp.asarray(prediction), jnp.asarray(strength))


def go(config, state, epoch=3, succeeded=True):
  return go_on(config, state, jnp.asarray(epoch), BEFORE, AFTER, jnp.asarray(succeeded))


def flat(params):
  return np.concatenate([params["a"], params["b"][None]])


def test_a_lazy_step_goes_on_by_the_change_of_the_update():
  params, state, metrics = go(config_of(kind="lazy"), state_of())
  np.testing.assert_allclose(flat(params), flat(AFTER) + 0.5 * PREDICTION)
  np.testing.assert_allclose(state.update, [0.5, 0.0, -1.0])
  np.testing.assert_allclose(state.prediction, PREDICTION)
  np.testing.assert_allclose(metrics["optimism_step"], 0.5 * np.linalg.norm(PREDICTION))
  assert state.strength == metrics["optimism_strength"] == 0.5


@pytest.mark.parametrize("what", [{"epoch": 0}, {"succeeded": False}])
def test_the_first_update_and_a_failed_one_go_no_further(what):
  params, state, _ = go(config_of(kind="lazy"), state_of(), **what)
  np.testing.assert_array_equal(flat(params), flat(AFTER))
  np.testing.assert_array_equal(state.prediction, np.zeros(3))


def test_the_strength_is_learned_in_hindsight():
  """Its step is along the derivative of the next update's progress by it, of unit vectors."""
  earlier, update = np.array([0.0, 0.0, -2.0]), np.array([0.5, 0.0, -1.0])

  def progress(strength):
    reached = strength * earlier / np.linalg.norm(earlier)
    return reached @ update / np.linalg.norm(update)

  slope = (progress(0.51) - progress(0.49)) / 0.02
  config = config_of(kind="meta", meta_rate=0.2)
  params, state, _ = go(config, state_of())
  np.testing.assert_allclose(state.strength, 0.5 + 0.2 * slope, rtol=1e-9)
  np.testing.assert_allclose(flat(params), flat(AFTER) + state.strength * PREDICTION)
  assert go(config, state_of(prediction=(0.0, 0.0, 0.0)))[1].strength == 0.5
  assert go(config, state_of(strength=1.0))[1].strength == 1.0
  assert go(config, state_of(strength=-1.0, prediction=(0.0, 0.0, 2.0)))[1].strength == -1.0


def test_the_strength_begins_where_it_should():
  assert init_optimism(config_of(kind="lazy", strength=0.3), BEFORE).strength == 0.3
  assert init_optimism(config_of(kind="meta"), BEFORE).strength == 0.0


@pytest.mark.parametrize("algorithm", ["ppo", "gippo"])
def test_without_optimism_nothing_is_kept_and_nothing_computed(algorithm, monkeypatch):
  """The program is the same whatever the numbers of optimism, and holds nothing of it."""

  def never(*_):
    raise AssertionError

  monkeypatch.setattr(clipped_surrogate, "go_on", never)
  programs = []
  for optimism in ({}, {"strength": 0.3, "meta_rate": 0.7}):
    config = config_of(algorithm, **optimism)
    epochs = make_epochs(envs.make("point_mass"), config)
    state = jax.eval_shape(epochs.init, jax.random.key(0), traced(config))
    own = state.algorithm if algorithm == "ppo" else state.algorithm.surrogate
    assert own.optimism is None
    programs.append(jax.jit(epochs.update).lower(state, traced(config)).as_text())
  assert programs[0] == programs[1]
  assert "optimism" not in programs[0]


def test_the_update_is_the_whole_epochs(monkeypatch):
  """Of GI-PPO, too: from `pi_old`, not from `pi_alpha`."""
  config, seen = config_of("gippo", kind="lazy"), []

  def spy(config, state, epoch, before, after, succeeded):
    seen.append(before)
    return after, state, {}

  monkeypatch.setattr(clipped_surrogate, "go_on", spy)
  epochs = make_epochs(envs.make("point_mass"), config)

  def update(state):
    after = epochs.update(state, traced(config))
    (before,) = seen
    for ours, theirs in zip(jax.tree.leaves(before), jax.tree.leaves(state.actor), strict=True):
      assert ours is theirs
    return after

  jax.eval_shape(update, jax.eval_shape(epochs.init, jax.random.key(0), traced(config)))


def test_the_safe_rule_goes_no_further():
  with pytest.raises(UserError, match=r"config.optimism.kind: 'lazy' is not allowed with alpha.rule = 'safe'"):
    parse({"alpha": {"rule": "safe"}, "optimism": {"kind": "lazy"}})


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--config.optimism.kind=eager", "config.optimism.kind: 'eager' is not allowed; allowed: one of none, lazy, meta"),
    ("--config.optimism.strength=0.5", "does nothing with config.optimism.kind = 'none'; allowed: lazy"),
  ],
)
def test_errors_end_in_one_line(argument, message, tmp_path):
  train = ("train", "--config=functions:dejong1", *SMALL, argument, f"--workdir={tmp_path / 'run'}")
  check_error(call("gippo_jax", *train), message)
