"""LR, RP and LR+RP against closed forms, finite differences and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax import envs
from gippo_jax.algorithms import Draws
from gippo_jax.algorithms.lr import lr_loss
from gippo_jax.algorithms.lrp import (
  estimate_lr,
  estimate_rp,
  leading_entries,
)
from gippo_jax.algorithms.rp import (
  bootstrapped_returns,
  collect_with_return_gradient,
  reparameterized_loss,
  rp_loss,
)
from gippo_jax.config import traced
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.learning import rollout
from gippo_jax.learning.mixers import inverse_variance_weight, total_variance
from gippo_jax.learning.setup import make_setup
from gippo_jax.programs.epochs import make_epochs
from tests import configs

SMALL = {
  "num_envs": 3,
  "horizon": 8,
  "discount": 0.95,
  "gae_lambda": 0.9,
  "rp": {"gae_lambda": 0.8},
  "lrp": {"gae_lambda": 0.8},
  "actor": {"units": (8,)},
  "critic": {"units": (8,), "num_iterations": 1},
}


def config_of(algorithm="rp", **options):
  if "horizon" in options:
    options["critic"] = {"units": (8,), "num_iterations": 1, "num_minibatches": 1}
  return traced(configs.config_of(algorithm, **(SMALL | options)))


def setting(probe, config):
  """Setup, state with a critic that is not that of the start, and noise."""
  setup = make_setup(probe, config)
  state = jax.jit(make_epochs(probe, config).init)(jax.random.key(3), config)
  moved = jax.tree.map(lambda leaf: leaf + 0.2 * np.random.default_rng(0).normal(size=leaf.shape), state.critic)
  noise = jax.random.normal(jax.random.key(4), (config.horizon, config.num_envs, probe.action_size))
  return setup, state.replace(target_critic=moved), noise


def loss_of(setup, window):
  return rp_loss(window, setup.config.discount, lambda_of(setup))


def lambda_of(setup):
  return setup.config.own[setup.config.algorithm].gae_lambda


PROBES = [LinearQuadratic(start_noise=0.3, episode_length=5), envs.make("point_mass", dimension=2, episode_length=5)]


@pytest.mark.parametrize("probe", PROBES, ids=["linear-quadratic", "point mass"])
def test_the_rp_gradient_is_that_of_the_return(probe):
  """Central differences of the loss by the actor's parameters, over windows with several episodes."""
  config = config_of()
  setup, state, noise = setting(probe, config)
  flat, unravel = ravel_pytree(state.actor)

  @jax.jit
  def loss(flat):
    return loss_of(setup, rollout.collect(setup, state, unravel(flat), noise)[1])

  @jax.jit
  def estimate(actor):
    _, window, return_gradient, _ = collect_with_return_gradient(setup, state, noise, lambda_of(setup))
    arguments = (window.observation, window.noise, return_gradient)
    gradient = jax.grad(lambda actor: reparameterized_loss(setup.networks, actor, *arguments))(actor)
    return ravel_pytree(gradient)[0] / jnp.sum(window.segment_start)

  gradient = estimate(state.actor)
  chosen = np.random.default_rng(1).choice(flat.size, 12, replace=False)
  step = 1e-6
  differences = [(loss(flat.at[i].add(step)) - loss(flat.at[i].add(-step))) / (2 * step) for i in chosen]
  assert np.max(np.abs(gradient)) > 1e-3
  np.testing.assert_allclose(gradient[chosen], differences, rtol=1e-6, atol=1e-7)


def test_at_lambda_one_rp_scores_the_discounted_return_of_each_segment():
  """SHAC's objective: discounted rewards to the segment's end, then the bootstrapped value."""
  config = config_of(rp={"gae_lambda": 1.0})
  setup, state, noise = setting(PROBES[0], config)
  window = jax.jit(lambda: rollout.collect(setup, state, state.actor, noise)[1])()
  reward, next_value, done = (np.asarray(x) for x in (window.reward, window.next_value, window.done))
  returns = []
  for n in range(config.num_envs):
    factor, total = 1.0, 0.0
    for t in range(config.horizon):
      total += factor * reward[t, n]
      factor *= float(config.discount)
      if done[t, n] or t == config.horizon - 1:
        returns.append(total + factor * next_value[t, n])
        factor, total = 1.0, 0.0
  assert len(returns) == 6  # episodes of five steps in windows of eight
  np.testing.assert_allclose(loss_of(setup, window), -np.mean(returns), rtol=1e-10)


def test_lr_and_rp_estimate_the_same_gradient():
  """One-step problem without a critic: both estimators have the expectation of the policy gradient."""
  config = config_of(num_envs=100_000, horizon=1, discount=1e-9, actor={"units": (4,)})
  setup, state, noise = setting(LinearQuadratic(episode_length=1), config)

  @jax.jit
  def both(actor):
    def rp(actor):
      window = rollout.collect(setup, state, actor, noise)[1]
      return loss_of(setup, window), window

    (_, window), by_rp = jax.value_and_grad(rp, has_aux=True)(actor)
    centred = window.advantage - jnp.mean(window.advantage)
    by_lr = jax.grad(lambda actor: lr_loss(setup.networks, actor, window.observation, window.action, centred))(actor)
    return ravel_pytree(by_rp)[0], ravel_pytree(by_lr)[0]

  by_rp, by_lr = (np.asarray(x) for x in both(state.actor))
  assert np.linalg.norm(by_rp) > 0.1
  cosine = by_rp @ by_lr / (np.linalg.norm(by_rp) * np.linalg.norm(by_lr))
  assert cosine > 0.999
  assert np.linalg.norm(by_lr) == pytest.approx(np.linalg.norm(by_rp), rel=0.03)


def test_the_entries_of_a_gradient_come_in_the_authors_order():
  def dense(offset, inputs, outputs):
    return {
      "kernel": offset + jnp.arange(inputs * outputs, dtype=float).reshape(outputs, inputs).T,
      "bias": offset + inputs * outputs + jnp.arange(outputs, dtype=float),
    }

  actor = {
    "dense_0": dense(0, 3, 2),
    "norm_0": {"scale": jnp.array([8.0, 9.0]), "bias": jnp.array([10.0, 11.0])},
    "mean": dense(12, 2, 2),
    "log_std": dense(18, 2, 2),
  }

  def setup_of(**lrp):
    return make_setup(PROBES[0], config_of("lrp", actor={"units": (2,)}, lrp=lrp))

  np.testing.assert_array_equal(leading_entries(setup_of(), actor), np.arange(24.0))
  np.testing.assert_array_equal(leading_entries(setup_of(max_gradient_entries=5), actor), np.arange(5.0))
  vector = {**actor, "log_std": jnp.array([-2.0, -1.0])}
  fixed = make_setup(PROBES[0], config_of("lrp", actor={"units": (2,), "fixed_std": True}))
  np.testing.assert_array_equal(leading_entries(fixed, vector), [-2.0, -1.0, *np.arange(18.0)])


def test_the_total_variance_is_the_trace_of_the_covariance():
  samples = np.random.default_rng(0).normal(size=(6, 4))
  used = np.array([1, 1, 0, 1, 1, 0], bool)
  expected = np.trace(np.cov(samples[used], rowvar=False))
  np.testing.assert_allclose(total_variance(jnp.asarray(samples), jnp.asarray(used)), expected)
  assert np.isnan(total_variance(jnp.asarray(samples), jnp.arange(6) == 2))


def test_single_sample_gradients_average_to_the_whole_and_show_its_variance():
  config = config_of("lrp")
  probe = PROBES[0]
  setup, state, noise = setting(probe, config)

  @jax.jit
  def estimate(state, noise):
    _, window, return_gradient, _ = collect_with_return_gradient(setup, state, noise, lambda_of(setup))
    return window, estimate_rp(setup, state.actor, window, return_gradient)

  window, rp = estimate(state, noise)

  def loss(actor):
    return loss_of(setup, rollout.collect(setup, state, actor, noise)[1])

  value, gradient = jax.jit(jax.value_and_grad(loss))(state.actor)
  np.testing.assert_allclose(rp.loss, value, rtol=1e-10)
  np.testing.assert_allclose(rp.gradient, ravel_pytree(gradient)[0], rtol=1e-8, atol=1e-10)

  # By hand: each segment alone, each sample alone.
  def segment_loss(actor, t, n):
    window = rollout.collect(setup, state, actor, noise)[1]
    only = jnp.zeros_like(window.episode_start).at[t, n].set(1.0)
    return -jnp.sum(only * bootstrapped_returns(window, config.discount, config.lrp.gae_lambda))

  gradient_of = jax.jit(lambda t, n: leading_entries(setup, jax.grad(segment_loss)(state.actor, t, n)))
  starts = np.argwhere(np.asarray(window.segment_start) > 0)
  assert len(starts) == 6
  samples = np.stack([gradient_of(t, n) for t, n in starts])
  np.testing.assert_allclose(rp.variance, np.trace(np.cov(samples, rowvar=False)), rtol=1e-8)

  permutation = jax.random.permutation(jax.random.key(0), 24)
  lr = jax.jit(lambda window, permutation: estimate_lr(setup, state.actor, window, permutation))(window, permutation)
  advantage = (window.advantage - jnp.mean(window.advantage)) / (jnp.std(window.advantage, ddof=1) + 1e-8)

  @jax.jit
  def sample_gradient(t, n):
    sample = (window.observation[t, n], window.action[t, n], advantage[t, n])
    return leading_entries(setup, jax.grad(lambda actor: lr_loss(setup.networks, actor, *sample))(state.actor))

  chosen = [divmod(int(index), config.horizon) for index in permutation[:16]]  # environment-major
  samples = [sample_gradient(t, n) for n, t in chosen]
  np.testing.assert_allclose(lr.variance, np.trace(np.cov(np.stack(samples), rowvar=False)), rtol=1e-8)


def test_the_weight_favours_the_quieter_estimator():
  weights = inverse_variance_weight(jnp.asarray([3.0, 0.0, 1.0]), jnp.asarray([1.0, 5.0, jnp.nan]))
  np.testing.assert_allclose(weights, [0.25, 1.0, 0.5], atol=1e-7)  # a single segment has no variance


def test_an_lr_gradient_that_is_not_finite_moves_nothing_and_is_counted():
  config = config_of("lr")
  _, state, noise = setting(PROBES[1], config)
  draws = Draws(noise.at[2, 1].set(jnp.inf), jax.random.key(0))
  after, metrics = jax.jit(make_epochs(PROBES[1], config).update)(state, config, draws)
  assert metrics["actor_skipped_share"] == 1
  for before, now in zip(jax.tree.leaves(state.actor), jax.tree.leaves(after.actor), strict=True):
    np.testing.assert_array_equal(before, now)


def test_samples_whose_gradient_is_not_finite_are_dropped_and_counted():
  """One environment in a bad state, which its reset ends: the others' gradient stands as if nothing had been."""
  config = config_of("rp")
  setup, state, noise = setting(LinearQuadratic(episode_length=20), config)
  current = state.environment.current
  bad = state.replace(
    environment=state.environment.replace(
      current=current.replace(
        physics=current.physics.replace(inner=current.physics.inner.at[1].set(jnp.nan)),
        obs=current.obs.at[1].set(jnp.nan),
      )
    )
  )

  @jax.jit
  def gradient_of(state):
    _, window, return_gradient, health = collect_with_return_gradient(setup, state, noise, lambda_of(setup))
    arguments = (window.observation, window.noise, return_gradient)
    gradient = jax.grad(lambda actor: reparameterized_loss(setup.networks, actor, *arguments))(state.actor)
    return ravel_pytree(gradient)[0], return_gradient, health["sample_gradient_dropped"]

  gradient, return_gradient, dropped = gradient_of(bad)
  _, whole, none_dropped = gradient_of(state)
  assert none_dropped == 0.0
  np.testing.assert_allclose(dropped, 1.0 / (config.horizon * config.num_envs), rtol=1e-12)
  assert np.all(np.isfinite(gradient))
  assert np.max(np.abs(gradient)) > 1e-3
  np.testing.assert_allclose(return_gradient[:, [0, 2]], whole[:, [0, 2]], rtol=1e-12)
  np.testing.assert_array_equal(return_gradient[0, 1], 0.0)
  assert np.all(return_gradient[1:, 1] != 0.0)
