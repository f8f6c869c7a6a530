"""RPO: its first pass is SHAC's step, and every later one differentiates PPO's objective."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.special import ndtri

from gippo_jax.algorithms.rpo import RPOConfig, cache, make_passes, surrogate
from gippo_jax.learning import gaussian
from gippo_jax.learning.optimization import make_optimizer
from gippo_jax.learning.setup import make_setup
from tests.algorithms.settings import PROBE, assert_same_epoch, config_of, epoch, shac_epoch

UNBOUNDED = RPOConfig(clip_below=1.0, clip_above=1e9, kl_weight=0.0)


class Constant:
  """A policy without observations: mean and log standard deviation are its parameters."""

  def policy(self, actor, obs):
    return tuple(jnp.broadcast_to(actor[name], (*obs.shape[:-1], 1)) for name in ("mean", "log_std"))


def samples(action, return_gradient):
  """Samples of N(0, 1), `[S]` each."""
  zero = jnp.zeros((len(action), 1))
  window = types.SimpleNamespace(observation=zero, action=jnp.asarray(action)[:, None], mean=zero, log_std=zero)
  return cache(window, jnp.asarray(return_gradient)[:, None])


def policy(mean=0.0, std=1.0):
  return {"mean": jnp.asarray(mean), "log_std": jnp.log(jnp.asarray(std))}


@jax.jit
def gradient_of(actor, cached, config):
  return jax.grad(lambda actor: surrogate(Constant(), actor, cached, config)[0])(actor)


def test_one_pass_without_entropy_is_shac():
  """Whatever weighs the divergence: it is zero there, and flat."""
  found = epoch("rpo", rpo={"num_passes": 1, "learning_rate": 0.01})
  assert_same_epoch(found, shac_epoch())
  assert found[1]["rpo_effective_share"] == 1.0
  np.testing.assert_allclose(found[1]["rpo_largest_ratio"], 1.0)
  np.testing.assert_allclose(found[1]["rpo_divergence"], 0.0, atol=1e-12)


def test_every_pass_is_a_step_of_adam_from_the_same_derivatives():
  rng = np.random.default_rng(0)
  cached = samples(rng.normal(size=50), 1.0 + rng.normal(size=50))
  config = config_of("rpo", rpo={"num_passes": 3})
  setup = make_setup(PROBE, config)._replace(networks=Constant())
  optimizer = make_optimizer(config, config.adam.beta1, config.adam.beta2)
  actor = policy()
  moments = optimizer.init(actor)
  found, after, reuse, _ = jax.jit(lambda actor: make_passes(setup, actor, moments, cached, 0.1))(actor)

  @jax.jit
  def pass_by_hand(actor, moments):
    flat, unravel = ravel_pytree(actor)
    flat, moments, _ = optimizer.step(flat, moments, ravel_pytree(gradient_of(actor, cached, config.rpo))[0], 0.1)
    return unravel(flat), moments, surrogate(Constant(), actor, cached, config.rpo)[1].divergence

  for _ in range(3):
    actor, moments, distance = pass_by_hand(actor, moments)
  jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-9), found, actor)
  assert after.count == 3
  assert distance > 1e-3
  np.testing.assert_allclose(reuse.divergence, distance, rtol=1e-9)


def test_the_gradient_of_an_old_sample_is_that_of_its_action_under_fixed_noise():
  """`w q (1, e sigma)`: a stored action that is no function of the parameters would give 0."""
  rng = np.random.default_rng(0)
  action, q = rng.normal(size=50), rng.normal(size=50)
  mean, std = 0.4, 0.7
  found = gradient_of(policy(mean, std), samples(action, q), UNBOUNDED)
  noise = (action - mean) / std
  ratio = np.exp(-0.5 * noise**2 - np.log(std) + 0.5 * action**2)
  np.testing.assert_allclose(found["mean"], -np.mean(ratio * q), rtol=1e-12)
  np.testing.assert_allclose(found["log_std"], -np.mean(ratio * q * noise * std), rtol=1e-12)


def test_without_bounds_it_has_the_mean_of_the_policy_gradient_and_of_ppos():
  """Samples of N(0, 1), Q = sin 2a + 0.3 a^2 under N(0.3, 0.8^2): all sums by quadrature, the truth in closed form."""
  nodes, weights = np.polynomial.hermite_e.hermegauss(120)
  weights = weights / weights.sum()
  count = len(nodes)

  def slope(a):
    return 2 * np.cos(2 * a) + 0.6 * a

  mean, std = 0.3, 0.8
  damping = np.exp(-2 * std**2)
  truth = [
    2 * np.cos(2 * mean) * damping + 0.6 * mean,
    std**2 * (0.6 - 4 * np.sin(2 * mean) * damping),
  ]

  found = gradient_of(policy(mean, std), samples(nodes, count * weights * slope(nodes)), UNBOUNDED)
  np.testing.assert_allclose([-found["mean"], -found["log_std"]], truth, rtol=1e-7)

  def ppo(actor):
    a = jnp.asarray(nodes)[:, None]
    ratio = jnp.exp(
      gaussian.log_prob(*Constant().policy(actor, a), a) - gaussian.log_prob(jnp.zeros_like(a), jnp.zeros_like(a), a)
    )
    return jnp.sum(jnp.asarray(weights) * ratio * jnp.asarray(np.sin(2 * nodes) + 0.3 * nodes**2))

  by_ppo = jax.jit(jax.grad(ppo))(policy(mean, std))
  np.testing.assert_allclose([by_ppo["mean"], by_ppo["log_std"]], truth, rtol=1e-7)


@pytest.mark.parametrize(("shift", "share"), [(0.25, 0.998), (0.5, 0.95), (1.0, 0.75), (2.0, 0.33)])
def test_the_bounds_act_where_the_policy_has_moved_far(shift, share):
  """Share of the samples inside [0.2, 2] behind a shift of so many deviations, and the divergence shift^2 / 2."""
  action = ndtri((np.arange(20_000) + 0.5) / 20_000)
  loss, reuse = surrogate(Constant(), policy(shift), samples(action, np.ones_like(action)), RPOConfig())
  assert float(reuse.effective_share) == pytest.approx(share, abs=6e-3)
  np.testing.assert_allclose(reuse.divergence, shift**2 / 2, rtol=1e-12)
  ratio = np.exp(shift * action - shift**2 / 2)
  kept = np.where((ratio >= 0.2) & (ratio <= 2.0), ratio, 0.0)
  np.testing.assert_allclose(loss, -np.mean(kept * action) + 0.25 * shift**2 / 2, rtol=1e-10)
  np.testing.assert_allclose(reuse.largest_ratio, ratio.max(), rtol=1e-10)


def test_a_sample_outside_counts_nothing_whatever_the_sign():
  cached = samples(np.array([3.0, -3.0]), np.array([5.0, -5.0]))
  found = gradient_of(policy(1.0), cached, RPOConfig(kl_weight=0.0))
  assert found["mean"] == found["log_std"] == 0.0


def test_entropy_and_divergence_have_their_own_gradients():
  cached = samples(np.zeros(3), np.zeros(3))
  config = RPOConfig(kl_weight=2.0, entropy_weight=0.5)
  found = gradient_of(policy(0.3, 1.5), cached, config)
  # KL(N(0, 1) || N(m, s^2)) = log s + (1 + m^2) / (2 s^2) - 1/2
  np.testing.assert_allclose(found["mean"], 2.0 * 0.3 / 1.5**2)
  np.testing.assert_allclose(found["log_std"], 2.0 * (1.0 - (1.0 + 0.3**2) / 1.5**2) - 0.5)
  _, reuse = surrogate(Constant(), policy(0.3, 1.5), cached, config)
  np.testing.assert_allclose(reuse.entropy, 0.5 * np.log(2 * np.pi * np.e) + np.log(1.5))


def test_a_sample_that_is_no_number_reaches_nothing():
  action = np.array([0.1, np.nan, -0.3])
  found = gradient_of(policy(0.1), samples(action, np.array([1.0, 0.0, 2.0])), RPOConfig(entropy_weight=0.1))
  assert all(np.isfinite(leaf) for leaf in found.values())
  expected = gradient_of(policy(0.1), samples(action[[0, 2]], np.array([1.0, 2.0])), RPOConfig(entropy_weight=0.1))
  np.testing.assert_allclose(found["mean"], expected["mean"] * 2 / 3)
