"""The rate that follows the divergence of the policy's steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from gippo_jax import envs
from gippo_jax.algorithms.clipped_surrogate import adapted_rate
from gippo_jax.config import Config, traced
from gippo_jax.learning import gaussian as policy
from gippo_jax.programs.epochs import make_epochs


def test_the_divergence_is_the_integral_of_the_log_ratio():
  mean, std, other_mean, other_std = 0.3, 0.7, -0.4, 1.1
  here, there = norm(mean, std), norm(other_mean, other_std)
  expected = quad(lambda x: here.pdf(x) * (here.logpdf(x) - there.logpdf(x)), -8, 8)[0]
  arguments = [jnp.asarray([value, value]) for value in (mean, np.log(std), other_mean, np.log(other_std))]
  np.testing.assert_allclose(policy.kl_divergence(*arguments), 2 * expected, rtol=1e-8)
  np.testing.assert_allclose(policy.kl_divergence(*arguments[:2], *arguments[:2]), 0.0, atol=1e-15)


@pytest.mark.parametrize(
  ("divergence", "rate", "expected"),
  [
    (0.0, 3e-4, 4.5e-4),
    (0.0039, 3e-4, 4.5e-4),
    (0.0041, 3e-4, 3e-4),
    (0.0159, 3e-4, 3e-4),
    (0.0161, 3e-4, 2e-4),
    (0.0, 9e-3, 1e-2),
    (1.0, 1.2e-6, 1e-6),
  ],
)
def test_the_rate_moves_by_half_within_its_limits(divergence, rate, expected):
  np.testing.assert_allclose(adapted_rate(jnp.asarray(rate), jnp.asarray(divergence), 0.008), expected, rtol=1e-12)


def _config(**ppo):
  return Config(
    algorithm="ppo",
    num_envs=4,
    horizon=4,
    num_epochs=4,
    actor={"units": (8,)},
    critic={"units": (8,), "num_iterations": 1},
    ppo={"minibatch_size": 8, "num_passes": 3} | ppo,
  )


def _epoch_three(**ppo):
  config = _config(**ppo)
  algorithm = make_epochs(envs.make("point_mass"), config)
  state = jax.jit(algorithm.init)(jax.random.key(0), traced(config)).replace(epoch=jnp.asarray(2, jnp.int32))
  return jax.jit(algorithm.update)(state, traced(config))[0].actor


def test_a_linear_rate_falls_to_zero_with_the_training():
  """The third epoch of four runs at a quarter of the rate."""
  annealed = _epoch_three(learning_rate=4e-3, rate_schedule="linear")
  constant = _epoch_three(learning_rate=1e-3)
  for one, other in zip(jax.tree.leaves(annealed), jax.tree.leaves(constant), strict=True):
    np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def epoch():
  """One epoch of PPO: three passes over two minibatches. The rate it ends with, by threshold."""
  config = _config(learning_rate=3e-4, rate_schedule="adaptive_kl")
  algorithm = make_epochs(envs.make("point_mass"), config)
  state = jax.jit(algorithm.init)(jax.random.key(0), traced(config))
  update = jax.jit(algorithm.update)

  def rate_after(threshold):
    after, metrics = update(state, traced(config.replace(ppo=config.ppo.replace(kl_threshold=threshold))))
    assert metrics["ppo_attempts"] == 1
    assert metrics["ppo_learning_rate"] == after.algorithm.rate
    return float(metrics["ppo_learning_rate"])

  return rate_after


def test_short_steps_raise_the_rate_after_every_minibatch(epoch):
  assert epoch(1e6) == pytest.approx(3e-4 * 1.5**6)


def test_long_steps_lower_it_from_the_second_minibatch_on(epoch):
  """At the first one the policy still is what it is compared with."""
  assert epoch(1e-12) == pytest.approx(3e-4 * 1.5 / 1.5**5)
