"""The gradient report on environments whose expected gradient is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.experiments.measurements.gradient_quality import measure_quality


@dataclasses.dataclass(frozen=True)
class Cliff:
  """Pays `-a^2`, and 5 more above `a = 0.1`: a jump that no derivative shows."""

  observation_size = 1
  action_size = 1
  episode_length = 8
  differentiable = True

  def reset(self, key):
    del key
    zero = jnp.zeros(())
    return envs.State(physics=(), obs=jnp.ones((1,)), reward=zero, terminated=zero, truncated=zero)

  def step(self, state, action):
    return state.replace(reward=-jnp.sum(action**2) + jnp.where(action[0] > 0.1, 5.0, 0.0))


def quality_of(env, base):
  states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), base.shape[0]))
  return measure_quality(env, states, base, jax.random.key(1), num_draws=2000)


def test_a_smooth_environment_has_no_bias():
  quality = quality_of(LinearQuadratic(), 0.3 * jnp.ones((2, 8, 1)))
  assert quality.cosine > 0.9999
  assert quality.norm_ratio == pytest.approx(1.0, abs=1e-3)
  assert quality.noise_cosine > 0.99
  assert quality.nonfinite == pytest.approx(0.0, abs=1e-12)
  assert quality.finished == 0.0


def test_a_jump_is_seen_as_bias():
  """Below the cliff the derivative points down, the expected return up."""
  quality = quality_of(Cliff(), 0.02 * jnp.ones((1, 4, 1)))
  assert quality.cosine < 0.0
  assert quality.norm_ratio < 0.1
  # d/dm E[5 1(m + 0.2 eps > 0.1)] is 5 N(0.1; m, 0.2^2); the differences see it to a few per cent.
  density = 5.0 * np.exp(-0.5 * (0.08 / 0.2) ** 2) / (0.2 * np.sqrt(2.0 * np.pi))
  assert 2 * 0.02 / (density - 2 * 0.02) == pytest.approx(quality.norm_ratio, rel=0.2)
