"""What an epoch simulates and differentiates, counted by the environment itself; and what a rate is measured from."""

import collections
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.algorithms.base import Draws, collect
from gippo_jax.config import traced
from gippo_jax.envs import make
from gippo_jax.experiments.tables.rivals import BACKWARD_PASSES
from gippo_jax.learning import gaussian
from gippo_jax.learning.setup import make_setup
from gippo_jax.programs.epochs import make_epochs
from tests.configs import config_of

COUNTS = collections.Counter()


@jax.custom_vjp
def counted(number):
  """The number itself; every evaluation and every derivative is counted."""
  jax.debug.callback(lambda _: COUNTS.update(["forward"]), number)  # what it is given makes it one for each environment
  return number


def _forward(number):
  return counted(number), None


def _backward(_, cotangent):
  jax.debug.callback(lambda _: COUNTS.update(["backward"]), cotangent)
  return (cotangent,)


counted.defvjp(_forward, _backward)


@dataclasses.dataclass(frozen=True)
class Counting:
  """A point mass that counts its steps."""

  inner = make("point_mass", dimension=1, episode_length=5)
  observation_size, action_size, episode_length, differentiable = 2, 1, 5, True

  def reset(self, key):
    return self.inner.reset(key)

  def step(self, state, action):
    position = state.physics.position
    counted_position = position + 0.0 * counted(position[0])
    return self.inner.step(state.replace(physics=state.physics._replace(position=counted_position)), action)


SIZES = {"num_envs": 4, "horizon": 6, "actor": {"units": (4,)}, "critic": {"units": (4,), "num_iterations": 1}}
# Each step alone is differentiated once more for its stiffness.
TWICE = {"ahac"}


@pytest.mark.parametrize(
  "column", [pytest.param(name, marks=() if name == "ddcg" else pytest.mark.slow) for name in BACKWARD_PASSES]
)
def test_the_steps_that_are_counted_are_those_that_are_simulated(column):
  """Broken by perturbed copies that no counter knows, and by a second backward pass."""
  own = {"ppo": {"minibatch_size": 24, "num_passes": 2}}
  if column == "gippo_safe":
    own["alpha"] = {"rule": "safe"}
  config = traced(config_of(column.removesuffix("_safe"), **SIZES, **own))
  epochs = make_epochs(Counting(), config)
  state = jax.jit(epochs.init)(jax.random.key(0), config)
  COUNTS.clear()
  jax.block_until_ready(jax.jit(lambda state: epochs.update(state, config)[0])(state))
  jax.effects_barrier()
  window = config.num_envs * config.horizon
  assert COUNTS["forward"] == window * (2 if column in TWICE else 1)
  assert COUNTS["backward"] == window * BACKWARD_PASSES[column]


def test_a_density_has_the_integral_one():
  grid = jnp.linspace(-12.0, 12.0, 40_001)[:, None]
  density = jnp.exp(gaussian.log_prob(jnp.full_like(grid, 0.3), jnp.full_like(grid, np.log(0.7)), grid))
  np.testing.assert_allclose(jnp.trapezoid(density, grid[:, 0]), 1.0, rtol=1e-9)
  squashed = jnp.exp(gaussian.squashed_log_prob(jnp.full_like(grid, 0.3), jnp.full_like(grid, np.log(0.7)), grid))
  np.testing.assert_allclose(jnp.trapezoid(squashed, jnp.tanh(grid[:, 0])), 1.0, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "gippo"])
def test_ratios_are_one_before_the_first_step(algorithm):
  """Then the surrogate is minus the mean advantage; GI-PPO's alpha-policy stays where it is. RPO's: `test_rpo.py`."""
  still = {"alpha": {"learning_rate": 0.0}, "ppo": {"learning_rate": 0.0, "minibatch_size": 24, "num_passes": 1}}
  config = traced(config_of(algorithm, **SIZES, **still, normalize_advantages=False))
  env = make("point_mass", dimension=1)
  epochs = make_epochs(env, config)
  state = jax.jit(epochs.init)(jax.random.key(0), config)
  draws = Draws(jax.random.normal(jax.random.key(1), (6, 4, 1)), jax.random.key(2))
  _, metrics = jax.jit(lambda state: epochs.update(state, config, draws))(state)
  _, window = jax.jit(lambda state: collect(make_setup(env, config), state, draws.noise))(state)
  assert abs(jnp.mean(window.advantage)) > 0.01
  np.testing.assert_allclose(metrics["ppo_first_loss"], -jnp.mean(window.advantage), rtol=1e-12)


@pytest.mark.slow
def test_the_step_of_alpha_does_not_brake_ppo():
  """PPO's rate follows the divergence from the policy after the step of alpha; from the one before it falls."""

  def config_at(alpha_rate):
    options = {
      **{"alpha": {"initial": 10.0, "maximum": 10.0, "learning_rate": alpha_rate, "num_steps": 16}},
      **{"ppo": {"rate_schedule": "adaptive_kl", "kl_threshold": 0.008, "learning_rate": 1e-6, "minibatch_size": 24}},
    }
    return traced(config_of("gippo", **SIZES, **options))

  epochs = make_epochs(make("point_mass", dimension=1), config_at(0.0))

  @jax.jit
  def rate_after(config):
    state, metrics = epochs.update(epochs.init(jax.random.key(0), config), config)
    return state.algorithm.surrogate.rate, metrics

  still, _ = rate_after(config_at(0.0))
  moved, metrics = rate_after(config_at(0.05))
  assert metrics["alpha_out_of_range_ratio"] > 0.5
  assert moved == pytest.approx(float(still))
