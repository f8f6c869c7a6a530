"""The safe rule's step: what it promises, whatever the rewards' unit and whichever samples are lost."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax import envs
from gippo_jax.algorithms.safe_alpha import limit_displacement, mixed_gradient, natural_step
from gippo_jax.algorithms.safe_config import remaining_share
from gippo_jax.config import Config, traced
from gippo_jax.envs.base import State
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.errors import UserError
from gippo_jax.learning import gaussian
from gippo_jax.learning.agreement import init_agreement
from gippo_jax.learning.held import divergence_at, hold, remember
from gippo_jax.learning.policies import policy_of
from gippo_jax.learning.rollout import collect_with_advantage_gradient
from gippo_jax.learning.setup import make_setup
from gippo_jax.programs.epochs import make_epochs

SMALL = {
  "alpha": {"rule": "safe"},
  "num_envs": 32,
  "horizon": 4,
  "num_epochs": 100,
  "actor": {"units": (8,)},
  "ppo": {"minibatch_size": 32},
}


def config_of(**changes):
  return traced(Config(**(SMALL | changes)))


@pytest.fixture(scope="module")
def case():
  """Setup, state, window and gradient of a linear-quadratic problem."""
  config = config_of()
  probe = LinearQuadratic()
  setup = make_setup(probe, config)
  state = jax.jit(make_epochs(probe, config).init)(jax.random.key(0), config)
  noise = jax.random.normal(jax.random.key(1), (4, 32, setup.action_size))
  _, window, gradient = jax.jit(lambda: collect_with_advantage_gradient(setup, state, noise))()
  return setup, state, window, gradient


def held_of(case, window, memory=None):
  """Where the policy is held; in the window alone without a memory."""
  setup, state, *_ = case
  return hold(setup, state, window, window.raw_observation[:, 16:] if memory is None else memory)


def nothing_known(state):
  return init_agreement(ravel_pytree(state.actor)[0])


@pytest.fixture(scope="module")
def step_of(case):
  """The step in a window, with a gradient, where a share of the divergence is left; the case's own by default."""
  setup, state, own_window, own_gradient = case

  @jax.jit
  def step(window, gradient, share):
    held = held_of(case, window)
    return natural_step(setup, state.actor, window, gradient, nothing_known(state), held, share, jax.random.key(2))

  return lambda window=own_window, gradient=own_gradient, share=1.0: step(window, gradient, jnp.asarray(share))


@pytest.mark.parametrize("share", [1.0, 1e-4])
def test_the_step_has_the_divergence_asked_for(case, step_of, share):
  """Broken by leaving the measured divergence out: the quadratic estimate misses by far for long steps."""
  setup, _, window, _ = case
  actor, policy, _, metrics = step_of(share=share)
  limit = setup.config.safe.divergence * share
  weight = setup.config.safe.log_std_weight
  measured = jnp.mean(
    gaussian.weighted_divergence(*setup.networks.policy(actor, window.observation), window.mean, window.log_std, weight)
  )
  np.testing.assert_allclose(metrics["alpha_divergence"], measured, rtol=1e-6)
  assert 0.3 * limit < measured <= limit
  np.testing.assert_allclose(policy.mean, setup.networks.policy(actor, window.observation)[0], atol=1e-12)


def test_the_step_climbs(case, step_of):
  """The surrogate of the mixed gradient grows along it."""
  setup, state, window, gradient = case
  actor, *_ = step_of()
  along = jnp.zeros((*window.action.shape[:2], 2 * setup.action_size))
  mix = jax.jit(lambda: mixed_gradient(setup.config, window, gradient, nothing_known(state), along)[:2])
  mixed, weight = mix()
  mean, log_std = setup.networks.policy(actor, window.observation)
  moved = jnp.concatenate([(mean - window.mean) * jnp.exp(-window.log_std), log_std - window.log_std], axis=-1)
  assert jnp.sum(mixed * moved) > 0.0
  assert np.all((np.asarray(weight) >= 0.0) & (np.asarray(weight) <= 1.0))
  assert jnp.mean(weight) > 0.5  # a smooth problem's own gradients are the better ones


@pytest.mark.parametrize("unit", [1e-12, 1e-3, 1e3])
def test_the_reward_s_unit_does_not_matter(case, step_of, unit):
  """Broken by comparing variances against a number of their unit.

  Conjugate gradients that have converged amplify rounding, hence a part in a hundred of the step.
  """
  _, state, window, gradient = case
  flat, other = (
    ravel_pytree(step[0])[0]
    for step in (step_of(), step_of(window.replace(advantage=unit * window.advantage), unit * gradient))
  )
  length = jnp.linalg.norm(flat - ravel_pytree(state.actor)[0])
  assert jnp.linalg.norm(flat - other) < 0.01 * length


def test_lost_and_huge_samples_do_no_harm(case, step_of):
  _, state, _, gradient = case
  spoiled = gradient.at[1, 3].set(jnp.nan).at[2, 5].set(1e12).at[0].set(jnp.inf)
  actor, _, _, metrics = step_of(gradient=spoiled)
  assert np.all(np.isfinite(np.asarray(ravel_pytree(actor)[0])))
  assert metrics["sample_gradient_dropped"] == pytest.approx(33 / 128)
  assert metrics["alpha_skipped_share"] == 0.0
  whole = step_of()
  displacements = [ravel_pytree(step)[0] - ravel_pytree(state.actor)[0] for step in (actor, whole[0])]
  cosine = jnp.dot(*displacements) / jnp.prod(jnp.asarray([jnp.linalg.norm(x) for x in displacements]))
  assert cosine > 0.5
  assert metrics["alpha_reparameterized_weight"] < whole.metrics["alpha_reparameterized_weight"]


def test_no_gradient_at_all_is_no_step(case, step_of):
  _, state, window, gradient = case
  actor, _, _, metrics = step_of(window.replace(advantage=0.0 * window.advantage), 0.0 * gradient)
  np.testing.assert_array_equal(ravel_pytree(actor)[0], ravel_pytree(state.actor)[0])
  assert metrics["alpha_skipped_share"] == 0.0  # nothing failed


def test_displacements_are_limited(case):
  setup, state, window, _ = case
  far = jax.tree.map(lambda leaf: leaf + 0.5, state.actor)
  held = held_of(case, window)
  kept, metrics = limit_displacement(setup, state.actor, far, held, jnp.asarray(1e-3))
  assert 5e-4 < metrics["ppo_divergence"] <= 1e-3
  assert 0.0 < metrics["ppo_kept_share"] < 1.0
  same, _ = limit_displacement(setup, state.actor, far, held, jnp.asarray(0.0))
  np.testing.assert_array_equal(ravel_pytree(same)[0], ravel_pytree(state.actor)[0])
  assert not np.array_equal(ravel_pytree(kept)[0], ravel_pytree(state.actor)[0])


def test_the_policy_is_held_at_what_is_remembered(case):
  """Broken by leaving the memory out: nothing limits what the step does elsewhere."""
  setup, state, window, gradient = case
  elsewhere = 5.0 + window.raw_observation[:, 16:]
  only_there = hold(setup, state, window.replace(observation=window.observation[:, :0]), elsewhere)

  @jax.jit
  def moved_there(memory):
    held = held_of(case, window, memory)
    share = jnp.asarray(1.0)
    step = natural_step(setup, state.actor, window, gradient, nothing_known(state), held, share, jax.random.key(2))
    return divergence_at(setup, step.actor, only_there)

  moved = [float(moved_there(memory)) for memory in (elsewhere, window.raw_observation[:, 16:])]
  assert moved[0] <= 0.2  # half of the samples, whose mean with the others is at most 0.1
  assert moved[1] > 2.0 * moved[0]


def test_a_share_of_the_memory_is_renewed(case):
  _, state, window, _ = case
  memory = jnp.full_like(window.raw_observation[:, 16:], 7.0)
  later = state.replace(epoch=jnp.asarray(3, jnp.int32))
  first = remember(state, memory, window, jnp.asarray(0.25), jax.random.key(0))
  np.testing.assert_array_equal(first, window.raw_observation[:, 16:])
  renewed = np.any(np.asarray(remember(later, memory, window, jnp.asarray(0.25), jax.random.key(0))) != 7.0, axis=-1)
  assert 0.1 < renewed.mean() < 0.4
  spoiled = window.replace(raw_observation=window.raw_observation.at[2].set(jnp.nan))
  assert np.all(np.isfinite(remember(later, memory, spoiled, jnp.asarray(1.0), jax.random.key(0))))


def test_the_divergence_that_is_left():
  config = config_of()
  shares = [float(remaining_share(config, jnp.asarray(epoch))) for epoch in (0, 50, 99, 100, 150)]
  np.testing.assert_allclose(shares, [1.0, 0.25, 1e-4, 0.0, 0.0], atol=1e-12)
  assert remaining_share(config_of(safe={"anneal": False}), jnp.asarray(99)) == 1.0


def test_one_environment_has_no_variance():
  with pytest.raises(
    UserError, match=r"config\.num_envs: 1 is not allowed with alpha\.rule = 'safe'; allowed: at least"
  ):
    Config(alpha={"rule": "safe"}, num_envs=1, horizon=64)


def test_it_learns():
  """The mean action of De Jong in 2 dimensions comes to the minimum, in 60 epochs."""
  env = envs.make("dejong", dimension=2)
  config = config_of(horizon=1, num_epochs=60)
  epochs = make_epochs(env, config)
  state, update = jax.jit(epochs.init)(jax.random.key(0), config), jax.jit(epochs.update)
  policy = policy_of(make_setup(env, config), state.policy)
  first = jnp.sum(policy(env.reset(jax.random.key(1)).obs) ** 2)
  for _ in range(60):
    state, metrics = update(state, config)
  policy = policy_of(make_setup(env, config), state.policy)
  assert jnp.sum(policy(env.reset(jax.random.key(1)).obs) ** 2) < 1e-4 * first
  assert float(metrics["alpha_reparameterized_weight"]) > 0.5


@dataclasses.dataclass(frozen=True)
class Misleading:
  """One step, `reward = -|a - 0.5|^2`; its derivative is multiplied."""

  slope: float

  observation_size = 2
  action_size = 4
  episode_length = 1
  differentiable = True

  def reset(self, key):
    zero = jnp.zeros(())
    return State(physics=zero, obs=jnp.ones(2), reward=zero, terminated=zero, truncated=zero)

  def step(self, state, action):
    reward = -jnp.sum((action - 0.5) ** 2)
    fixed = jax.lax.stop_gradient(reward)
    return state.replace(reward=fixed + self.slope * (reward - fixed), terminated=jnp.ones(()))


@pytest.fixture(scope="module")
def misled():
  """Trains for 150 epochs on a `Misleading` and ends with metrics and the mean action's distance; compiled once."""
  config = config_of(
    num_envs=64,
    num_epochs=150,
    actor={"units": (16,)},
    critic={"units": (8,), "num_iterations": 4},
    ppo={"minibatch_size": 256},
  )

  @jax.jit
  def train(slope, deviations):
    own = config.replace(safe=config.safe.replace(trust_deviations=deviations))
    env = Misleading(slope)
    epochs = make_epochs(env, own)
    start = epochs.init(jax.random.key(0), own)
    state, metrics = jax.lax.scan(lambda state, _: epochs.update(state, own), start, None, length=150)
    action = policy_of(make_setup(env, own), state.policy)(jnp.ones(2))
    return jax.tree.map(lambda x: x[-1], metrics), jnp.linalg.norm(action - 0.5)

  return train


@pytest.mark.parametrize(
  ("slope", "deviations", "trust", "arrives"),
  [
    (1.0, 3.0, 1.0, True),
    (-1.0, 3.0, 0.0, True),
    (-1.0, 1e9, 1.0, False),
    (0.3, 3.0, 1.0, True),
    (0.0, 3.0, 0.0, True),
  ],
)
def test_derivatives_that_mislead_are_not_followed(misled, slope, deviations, trust, arrives):
  """Reversed ones lead away from the optimum unless they are found out; a factor is no harm; zeros say nothing."""
  metrics, distance = misled(slope, deviations)
  assert metrics["alpha_trust"] == trust
  assert metrics["alpha_agreement"] * (1.0 if slope > 0.0 else -1.0) > 3.0
  assert distance < 0.1 if arrives else distance > 0.2  # the way back keeps it from the far end
