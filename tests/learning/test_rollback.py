"""Going back to the best policy: what counts as a loss, and what is taken back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.config import Config, traced
from gippo_jax.learning.rollback import Snapshot, has_collapsed, init_snapshot, roll_back
from gippo_jax.learning.state import init_return_tracker
from gippo_jax.programs.epochs import make_epochs

collapsed, jitted_roll_back = jax.jit(has_collapsed), jax.jit(roll_back)
NUM_ENVS = 4
SMALL = {"num_envs": NUM_ENVS, "horizon": 4, "actor": {"units": (4,)}, "critic": {"units": (4,)}}


@pytest.fixture(scope="module")
def start():
  config = traced(Config(algorithm="ppo", ppo={"minibatch_size": 16}, **SMALL))
  return jax.jit(make_epochs(envs.make("point_mass"), config).init)(jax.random.key(0), config)


def tracker(mean, deviation=1.0, best=100.0, finished=500):
  returns = init_return_tracker(NUM_ENVS)
  recent = mean + deviation * jnp.where(jnp.arange(100) % 2 == 0, 1.0, -1.0)
  return returns.replace(recent=recent, mean=jnp.mean(recent), best=jnp.asarray(best), finished=jnp.asarray(finished))


def snapshot_of(start, first=0.0, patience=0):
  snapshot = init_snapshot(start)
  return Snapshot(snapshot.learnt, jnp.asarray(first), jnp.asarray(patience, jnp.int32), snapshot.count)


@pytest.mark.parametrize(
  ("returns", "first", "patience", "expected"),
  [
    (tracker(-5.0), 0.0, 0, True),
    (tracker(10.0), 0.0, 0, False),  # something is left
    (tracker(-5.0, deviation=20.0), 0.0, 0, False),  # noise: two and a half standard errors below the first
    (tracker(-30.0, deviation=20.0), 0.0, 0, True),
    (tracker(-5.0, finished=99), 0.0, 0, False),
    (tracker(-5.0), 0.0, 501, False),
    (tracker(-5.0), -np.inf, 0, False),
    (tracker(-16000.0, best=-565.0), -1800.0, 0, True),
  ],
)
def test_what_is_a_loss(start, returns, first, patience, expected):
  assert bool(collapsed(returns, snapshot_of(start, first, patience), jnp.asarray(0.0))) == expected


def test_at_the_end_little_may_be_lost(start):
  """Broken by the same share throughout: a training that ends with 90 after 100."""
  lost = [
    [bool(collapsed(tracker(mean), snapshot_of(start), jnp.asarray(done))) for mean in (-5.0, 20.0, 90.0, 96.0)]
    for done in (0.0, 0.5, 1.0)
  ]
  assert lost == [[True, False, False, False], [True, True, False, False], [True, True, True, False]]


def changed(state, value):
  return state.replace(actor=jax.tree.map(lambda leaf: jnp.full_like(leaf, value), state.actor))


def actor_value(learner):
  return float(np.asarray(jax.tree.leaves(learner)[0]).ravel()[0])


def test_what_was_learnt_is_taken_back_and_nothing_else(start):
  """Up to the best epoch, down, back; and then the episodes of the policy that was left have to end first."""
  state, snapshot = start, init_snapshot(start)

  def epoch(state, snapshot, value, mean, best, finished):
    after = changed(state, value).replace(returns=tracker(mean, best=best, finished=finished), epoch=state.epoch + 1)
    return jitted_roll_back(state, after, snapshot, jnp.asarray(0.1))

  state, snapshot = epoch(state, snapshot, 1.0, 0.0, 0.0, 100)
  assert snapshot.first == 0.0
  state, snapshot = epoch(state, snapshot, 2.0, 100.0, 100.0, 200)  # the policy that acted, 1.0, was the best one
  assert actor_value(snapshot.learnt["actor"]) == 1.0
  state, snapshot = epoch(state, snapshot, 3.0, 80.0, 100.0, 300)
  assert actor_value(state.actor) == 3.0
  state, snapshot = epoch(state, snapshot, 4.0, -10.0, 100.0, 400)
  assert actor_value(state.actor) == 1.0
  assert (int(snapshot.count), int(snapshot.patience), int(state.epoch)) == (1, 504, 4)
  assert float(state.returns.mean) == -10.0
  state, snapshot = epoch(state, snapshot, 5.0, -10.0, 100.0, 503)
  assert actor_value(state.actor) == 5.0
  state, snapshot = epoch(state, snapshot, 6.0, -10.0, 100.0, 504)
  assert actor_value(state.actor) == 1.0
  assert (int(snapshot.count), int(snapshot.patience)) == (2, 504 + 208)  # twice as patient


def test_a_spoiled_policy_is_replaced_in_training():
  """A policy that is driven into the ground in mid-training ends as well as one that is not."""
  config = traced(
    Config(
      alpha={"rule": "safe"}, num_envs=16, horizon=4, num_epochs=120, actor={"units": (16,)}, ppo={"minibatch_size": 64}
    )
  )
  epochs = make_epochs(envs.make("dejong", dimension=2), config)
  update, state = jax.jit(epochs.update), jax.jit(epochs.init)(jax.random.key(0), config)
  for number in range(120):
    state, metrics = update(state, config)
    if number == 60:
      spoiled = jax.tree.map(lambda leaf: leaf + 8.0, state.actor)
      state = state.replace(actor=spoiled)
  assert int(metrics["rollbacks"]) >= 1
  assert float(metrics["return"]) > -1.0
