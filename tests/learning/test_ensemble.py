"""Several critics: each its own, and what is made of them."""

import types

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.learning.agents import actor_in_order, values_of
from gippo_jax.learning.critic import fit_critic
from gippo_jax.learning.ensemble import Ensemble, make_ensemble, with_critics
from gippo_jax.learning.optimization import make_optimizer
from gippo_jax.learning.rollout import collect, revalue
from tests.algorithms.settings import config_of, setting


def test_critics_are_drawn_apart_and_the_least_or_the_mean_counts():
  setup, _, _ = setting(config_of("shac"))
  pessimistic = make_ensemble(setup.networks, 2, True)
  actor, critic = jax.jit(pessimistic.init)(jax.random.key(0), setup.config.actor)
  obs = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)))
  values = np.stack([setup.networks.value(one, obs) for one in critic])
  assert np.all(np.abs(values[0] - values[1]) > 1e-6)
  np.testing.assert_allclose(values_of(pessimistic, critic, obs), values)
  np.testing.assert_allclose(pessimistic.value(critic, obs), values.min(axis=0))
  np.testing.assert_allclose(Ensemble(setup.networks, 2, False).value(critic, obs), values.mean(axis=0))
  for ours, theirs in zip(pessimistic.policy(actor, obs), setup.networks.policy(actor, obs), strict=True):
    np.testing.assert_array_equal(ours, theirs)
  np.testing.assert_array_equal(actor_in_order(pessimistic, actor), actor_in_order(setup.networks, actor))
  assert hash(pessimistic) == hash(make_ensemble(setup.networks, 2, True))


def test_one_critic_is_no_ensemble():
  setup, _, _ = setting(config_of("shac"))
  assert make_ensemble(setup.networks, 1, True) is setup.networks
  np.testing.assert_array_equal(values_of(setup.networks, *_critic_and_obs(setup))[0], _plain(setup))


def _critic_and_obs(setup):
  _, state, _ = setting(config_of("shac"))
  return state.critic, jnp.ones((3, 4))


def _plain(setup):
  return setup.networks.value(*_critic_and_obs(setup))


def test_each_critic_regresses_as_if_it_were_alone():
  """Without the clip by global norm, which is over both; so two stay two."""
  setup, state, _ = setting(config_of("shac"))
  other = jax.tree.map(lambda leaf: leaf * 1.5, state.critic)
  obs = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4, 4)))
  window = types.SimpleNamespace(observation=obs, target=obs[..., 0])

  def fit(setup, critic):
    moments = make_optimizer(setup.config, 0.7, 0.95).init(critic)
    before = state.replace(critic=critic, target_critic=critic, critic_moments=moments)
    return fit_critic(setup, before, window, 1e-2)[:2]

  @jax.jit
  def all_three():
    return fit(with_critics(setup, 2, True, 0.0), (state.critic, other)), fit(setup, state.critic), fit(setup, other)

  (critics, targets), *alone = all_three()
  for found, (expected, _) in zip(critics, alone, strict=True):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), found, expected)
  jax.tree.map(np.testing.assert_array_equal, targets, critics)
  assert np.any(critics[0]["value"]["kernel"] != critics[1]["value"]["kernel"])


def test_targets_follow_the_least_of_the_values():
  setup, state, draws = setting(config_of("shac"))
  moved = jax.tree.map(lambda leaf: leaf * 1.5, state.target_critic)
  moved["value"]["bias"] = moved["value"]["bias"] - 1.9
  state = state.replace(target_critic=(state.target_critic, moved))
  both = with_critics(setup, 2, True, 0.0)
  assert both.config.critic.target_decay == 0.0

  @jax.jit
  def windows(noise):
    mean = with_critics(setup, 2, False, 0.0)
    _, window = collect(mean, state, state.actor, noise)
    alone = [state.replace(target_critic=one) for one in state.target_critic]
    return (
      window,
      revalue(mean, state, window, window.reward),
      revalue(both, state, window, window.reward),
      [revalue(setup, one, window, window.reward) for one in alone],
    )

  window, again, least, alone = windows(draws.noise)
  for name in ("value", "next_value", "advantage", "target"):
    np.testing.assert_allclose(getattr(again, name), getattr(window, name), rtol=1e-9, atol=1e-12)
  for name in ("value", "next_value"):
    first, second = (np.asarray(getattr(each, name)) for each in alone)
    np.testing.assert_allclose(getattr(least, name), np.minimum(first, second))
    np.testing.assert_allclose(getattr(window, name), (first + second) / 2)
    assert 0 < np.sum(first > second) < first.size
