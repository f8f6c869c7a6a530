"""Shares, places and operations of derivatives that are not finite, on environments whose culprit is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.config import Config
from gippo_jax.envs import State
from gippo_jax.errors import UserError
from gippo_jax.programs.culprits import culprits_of
from gippo_jax.programs.gradients import count, thinned

NUM_ENVS = 6
CONFIG = Config(algorithm="shac", num_envs=NUM_ENVS, horizon=2)


@dataclasses.dataclass(frozen=True)
class Trap:
  """Sums its actions; at step 3 what `kind` says happens, in episodes whose `luck` is above a half."""

  kind: str = "root"
  differentiable: bool = True
  gradient_advice: str = "env.kind=root"
  name: str = "trap"

  observation_size = 1
  action_size = 1
  episode_length = 100

  def reset(self, key):
    zero = jnp.zeros(())
    physics = {"place": zero, "luck": jax.random.uniform(key), "time": jnp.zeros((), int)}
    return State(physics, zero[None], zero, zero, zero)

  def step(self, state, action):
    place, luck, time = (state.physics[name] for name in ("place", "luck", "time"))
    place = place + action[0]
    struck = (time == 3) & (luck > 0.5)
    if self.kind == "endless":
      place = jax.lax.while_loop(lambda x: x > 2.0, lambda x: x / 2.0, place)
    reward = {"root": self.root, "fails": self.fails}.get(self.kind, lambda place, struck: place)(place, struck)
    physics = {"place": place, "luck": luck, "time": time + 1}
    return State(physics, place[None], reward, jnp.zeros(()), jnp.zeros(()))

  def root(self, place, struck):
    return jnp.sqrt(jnp.where(struck, 0.0, 1.0) * (1.0 + place**2))

  def fails(self, place, struck):
    return jnp.where(struck, jnp.log(-1.0 - place**2), place)


@pytest.fixture(scope="module")
def found():
  return count(Trap(), CONFIG, jax.random.key(0), NUM_ENVS, 3)


@pytest.fixture(scope="module")
def struck():
  """The environments that are, from the starts that `count` draws."""
  start_key = jax.random.split(jax.random.key(0), 4)[0]
  luck = envs.vectorize(Trap(), NUM_ENVS).reset(start_key).current.physics.inner["luck"]
  (where,) = np.nonzero(np.asarray(luck) > 0.5)
  assert 0 < len(where) < NUM_ENVS
  return where


def test_what_is_counted(found, struck):
  counts = found.counts
  assert (counts.samples, counts.failed, counts.broken) == (36, 0, len(struck))
  assert (counts.lost, counts.unexplained) == (2 * len(struck), 0)  # at steps 2 and 3, the second window
  assert counts.leaves == {"physics['place']": len(struck), "action": len(struck)}
  assert np.isfinite([counts.largest_step, counts.largest_window, *counts.norm_by_age]).all()
  assert len(counts.norm_by_age) == 2


def test_where_it_is(found, struck):
  assert [(sample.step, sample.environment) for sample in found.samples] == [(3, where) for where in struck]


def test_what_it_is(found, struck):
  (culprit,) = culprits_of(found.step, found.samples)
  assert (culprit.operation.primitive, culprit.operation.operands[0].value) == ("sqrt", 0.0)
  assert culprit.operation.lines[0].function == "Trap.root"
  assert (culprit.step, culprit.environment, culprit.samples) == (3, struck[0], len(struck))
  text = "\n".join(culprit.lines(len(found.samples)))
  for words in ("sqrt of (0)", f"in {len(struck)} of {len(struck)} steps", "in Trap.root", "hint: the square root"):
    assert words in text


def test_a_policy_s_gradient_runs_through_it(struck):
  def act(obs, noise):
    return 0.1 * obs + noise

  policy = type("Acting", (), {"act": staticmethod(act)})()
  counts = count(Trap(), CONFIG, jax.random.key(0), NUM_ENVS, 2, policy, explore=False).counts
  assert (counts.broken, counts.lost) == (len(struck), 2 * len(struck))


def test_a_value_that_is_not_finite_is_counted_apart(struck):
  findings = count(Trap("fails"), CONFIG, jax.random.key(0), NUM_ENVS, 2)
  assert (findings.counts.failed, findings.counts.broken) == (len(struck), 0)
  assert findings.samples == []
  assert findings.counts.unexplained == 0


def test_nothing_is_found_where_nothing_is():
  findings = count(envs.make("linear_quadratic"), CONFIG, jax.random.key(0), 2, 1)
  counts = findings.counts
  assert (counts.failed, counts.broken, counts.lost, counts.leaves, findings.samples) == (0, 0, 0, {}, [])
  assert counts.largest_step > 0


@pytest.mark.parametrize(
  ("env", "words"),
  [
    (Trap(differentiable=False), "trap says that it is not differentiable; allowed: an environment with a derivative"),
    (Trap("endless"), r"differentiating trap failed: Reverse-mode .*; try env.kind=root; allowed"),
  ],
)
def test_environments_without_a_derivative_are_refused(env, words):
  with pytest.raises(UserError, match=words):
    count(env, CONFIG, jax.random.key(0), 2, 1)


def test_thinning_keeps_the_first_and_spreads():
  assert thinned(list(range(9)), 3) == [0, 4, 8]
  assert thinned(list(range(2)), 3) == [0, 1]
  assert thinned([], 3) == []
