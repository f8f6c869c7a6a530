"""LR, RP and LR+RP against closed forms, finite differences and each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gippo_jax import envs
from gippo_jax.algorithms import ALGORITHMS, Draws
from gippo_jax.algorithms.base import networks_of
from gippo_jax.algorithms.lr import lr_loss
from gippo_jax.algorithms.lrp import (
  Estimator,
  estimate_lr,
  estimate_rp,
  leading_entries,
  likelihood_ratio_weight,
  total_variance,
)
from gippo_jax.algorithms.rp import (
  bootstrapped_returns,
  collect_with_return_gradient,
  reparameterized_loss,
  rp_loss,
)
from gippo_jax.config import Config, traced
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.learning import rollout

BASE = Config()


def config_of(algorithm="rp", **options):
  fields = {
    "algorithm": algorithm,
    "num_envs": 3,
    "horizon": 8,
    "discount": 0.95,
    "gae_lambda": 0.9,
    "actor_gae_lambda": 0.8,
    "actor": BASE.actor.replace(units=(8,)),
    "critic": BASE.critic.replace(units=(8,), num_iterations=1),
  }
  return traced(BASE.replace(**(fields | options)))


def setting(probe, config):
  """Batch, networks, state with a critic that is not that of the start, and noise."""
  env = envs.vectorize(probe, config.num_envs)
  state = jax.jit(ALGORITHMS[config.algorithm](env).init)(jax.random.key(3), config)
  moved = jax.tree.map(lambda leaf: leaf + 0.2 * np.random.default_rng(0).normal(size=leaf.shape), state.critic)
  noise = jax.random.normal(jax.random.key(4), (config.horizon, config.num_envs, probe.action_size))
  return env, networks_of(env, config), state.replace(target_critic=moved), noise


PROBES = [LinearQuadratic(start_noise=0.3, episode_length=5), envs.make("point_mass", dimension=2, episode_length=5)]


@pytest.mark.parametrize("probe", PROBES, ids=["linear-quadratic", "point mass"])
def test_the_rp_gradient_is_that_of_the_return(probe):
  """Central differences of the loss by the actor's parameters, over windows with several episodes."""
  config = config_of()
  env, networks, state, noise = setting(probe, config)
  flat, unravel = ravel_pytree(state.actor)

  @jax.jit
  def loss(flat):
    return rp_loss(config, rollout.collect(env, networks, config, state, unravel(flat), noise)[1])

  @jax.jit
  def estimate(actor):
    _, window, return_gradient, _ = collect_with_return_gradient(env, networks, config, state, noise)
    arguments = (window.observation, window.noise, return_gradient)
    gradient = jax.grad(lambda actor: reparameterized_loss(networks, actor, *arguments))(actor)
    return ravel_pytree(gradient)[0] / jnp.sum(window.segment_start)

  gradient = estimate(state.actor)
  chosen = np.random.default_rng(1).choice(flat.size, 12, replace=False)
  step = 1e-6
  differences = [(loss(flat.at[i].add(step)) - loss(flat.at[i].add(-step))) / (2 * step) for i in chosen]
  assert np.max(np.abs(gradient)) > 1e-3
  np.testing.assert_allclose(gradient[chosen], differences, rtol=1e-6, atol=1e-7)


def test_at_lambda_one_rp_scores_the_discounted_return_of_each_segment():
  """SHAC's objective: discounted rewards to the segment's end, then the bootstrapped value."""
  config = config_of(actor_gae_lambda=1.0)
  env, networks, state, noise = setting(PROBES[0], config)
  _, window = rollout.collect(env, networks, config, state, state.actor, noise)
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
  np.testing.assert_allclose(rp_loss(config, window), -np.mean(returns), rtol=1e-10)


def test_lr_and_rp_estimate_the_same_gradient():
  """One-step problem without a critic: both estimators have the expectation of the policy gradient."""
  config = config_of(num_envs=100_000, horizon=1, discount=1e-9, actor=BASE.actor.replace(units=(4,)))
  env, networks, state, noise = setting(LinearQuadratic(episode_length=1), config)

  @jax.jit
  def both(actor):
    def rp(actor):
      window = rollout.collect(env, networks, config, state, actor, noise)[1]
      return rp_loss(config, window), window

    (_, window), by_rp = jax.value_and_grad(rp, has_aux=True)(actor)
    centred = window.advantage - jnp.mean(window.advantage)
    by_lr = jax.grad(lambda actor: lr_loss(networks, actor, window.observation, window.action, centred))(actor)
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
  config = BASE.replace(actor=BASE.actor.replace(units=(2,)))
  np.testing.assert_array_equal(leading_entries(config, actor), np.arange(24.0))
  few = config.replace(lrp=config.lrp.replace(max_gradient_entries=5))
  np.testing.assert_array_equal(leading_entries(few, actor), np.arange(5.0))
  vector = {**actor, "log_std": jnp.array([-2.0, -1.0])}
  fixed = config.replace(actor=config.actor.replace(fixed_std=True))
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
  env, networks, state, noise = setting(probe, config)

  @jax.jit
  def estimate(state, noise):
    _, window, return_gradient, _ = collect_with_return_gradient(env, networks, config, state, noise)
    return window, estimate_rp(networks, config, state.actor, window, return_gradient)

  window, rp = estimate(state, noise)

  def loss(actor):
    return rp_loss(config, rollout.collect(env, networks, config, state, actor, noise)[1])

  value, gradient = jax.jit(jax.value_and_grad(loss))(state.actor)
  np.testing.assert_allclose(rp.loss, value, rtol=1e-10)
  np.testing.assert_allclose(rp.gradient, ravel_pytree(gradient)[0], rtol=1e-8, atol=1e-10)

  # By hand: each segment alone, each sample alone.
  def segment_loss(actor, t, n):
    window = rollout.collect(env, networks, config, state, actor, noise)[1]
    only = jnp.zeros_like(window.episode_start).at[t, n].set(1.0)
    return -jnp.sum(only * bootstrapped_returns(config, window))

  gradient_of = jax.jit(jax.grad(segment_loss))
  starts = np.argwhere(np.asarray(window.segment_start) > 0)
  assert len(starts) == 6
  samples = np.stack([leading_entries(config, gradient_of(state.actor, t, n)) for t, n in starts])
  np.testing.assert_allclose(rp.variance, np.trace(np.cov(samples, rowvar=False)), rtol=1e-8)

  permutation = jax.random.permutation(jax.random.key(0), 24)
  lr = estimate_lr(networks, config, state.actor, window, permutation)
  advantage = (window.advantage - jnp.mean(window.advantage)) / (jnp.std(window.advantage, ddof=1) + 1e-8)

  @jax.jit
  def sample_gradient(t, n):
    sample = (window.observation[t, n], window.action[t, n], advantage[t, n])
    return leading_entries(config, jax.grad(lambda actor: lr_loss(networks, actor, *sample))(state.actor))

  chosen = [divmod(int(index), config.horizon) for index in permutation[:16]]  # environment-major
  samples = [sample_gradient(t, n) for n, t in chosen]
  np.testing.assert_allclose(lr.variance, np.trace(np.cov(np.stack(samples), rowvar=False)), rtol=1e-8)


def test_the_weight_favours_the_quieter_estimator():
  def estimator(variance):
    return Estimator(jnp.zeros(()), jnp.zeros(3), jnp.asarray(variance))

  assert likelihood_ratio_weight(estimator(3.0), estimator(1.0)) == pytest.approx(0.25)
  assert likelihood_ratio_weight(estimator(0.0), estimator(5.0)) == pytest.approx(1.0)
  assert likelihood_ratio_weight(estimator(1.0), estimator(jnp.nan)) == 0.5  # a single segment has no variance


def test_an_lr_gradient_that_is_not_finite_moves_nothing_and_is_counted():
  config = config_of("lr")
  env, _, state, noise = setting(PROBES[1], config)
  draws = Draws(noise.at[2, 1].set(jnp.inf), jax.random.key(0))
  after, metrics = jax.jit(ALGORITHMS["lr"](env).update)(state, config, draws)
  assert metrics["actor_skipped_steps"] == 1
  for before, now in zip(jax.tree.leaves(state.actor), jax.tree.leaves(after.actor), strict=True):
    np.testing.assert_array_equal(before, now)


def test_samples_whose_gradient_is_not_finite_are_dropped_and_counted():
  """One environment in a bad state, which its reset ends: the others' gradient stands as if nothing had been."""
  config = config_of("rp")
  env, networks, state, noise = setting(LinearQuadratic(episode_length=20), config)
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
    _, window, return_gradient, health = collect_with_return_gradient(env, networks, config, state, noise)
    arguments = (window.observation, window.noise, return_gradient)
    gradient = jax.grad(lambda actor: reparameterized_loss(networks, actor, *arguments))(state.actor)
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
