"""The window, its bootstrap values, and the advantage gradient against differentiating each advantage by itself."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gippo_jax import envs
from gippo_jax.algorithms.base import end_epoch, init_state
from gippo_jax.config import Config, traced
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.learning import gaussian as policy
from gippo_jax.learning import rollout
from gippo_jax.learning.advantages import generalized_advantages
from gippo_jax.learning.normalization import RunningStatistics
from gippo_jax.learning.setup import make_setup

HORIZON, NUM_ENVS = 8, 3
DISCOUNT, GAE_LAMBDA = 0.95, 0.9


def config_of(**options):
  fields = {
    "num_envs": NUM_ENVS,
    "horizon": HORIZON,
    "discount": DISCOUNT,
    "gae_lambda": GAE_LAMBDA,
    "actor": {"units": (8,)},
    "critic": {"units": (8,), "num_iterations": 1, "num_minibatches": 1},
    "ppo": {"minibatch_size": 1},
  }
  return traced(Config(**(fields | options)))


def shaken(params, seed):
  """Moved parameters, so that no bias is 0."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda leaf: leaf + 0.3 * rng.normal(size=leaf.shape), params)


def real(x):
  """A scalar of one and the same type, so that no value compiles anew."""
  return jnp.asarray(x, jnp.float64)


class Case(types.SimpleNamespace):
  """An environment, networks and a training state in the midst of training."""

  def __init__(self, probe, **options):
    config = config_of(**options)
    self.setup = make_setup(probe, config)
    env, networks = self.setup.env, self.setup.networks
    init = jax.jit(lambda key, config: init_state(self.setup._replace(config=config), key, lambda actor: ()))
    state = init(jax.random.key(0), config)
    size = probe.observation_size
    state = state.replace(
      target_critic=shaken(state.critic, 1),
      observation_statistics=RunningStatistics(
        jnp.linspace(-0.2, 0.5, size), jnp.linspace(0.3, 1.4, size), jnp.asarray(50.0)
      ),
      value_statistics=RunningStatistics(jnp.asarray(0.7), jnp.asarray(2.5), jnp.asarray(50.0)),
    )
    super().__init__(probe=probe, env=env, networks=networks, config=config, state=state)
    self.policy, self.value = jax.jit(networks.policy), jax.jit(networks.value)
    self.collect, self.gradient = jax.jit(self._collect), jax.jit(self._gradient)
    self.brute_force = jax.jit(self._brute_force)

  def noise(self, seed):
    shape = (self.config.horizon, self.config.num_envs, self.probe.action_size)
    return jax.random.normal(jax.random.key(seed), shape)

  def _collect(self, state, noise, config, perturbation=None):
    return rollout.collect(self.setup._replace(config=config), state, state.actor, noise, perturbation)

  def _gradient(self, state, noise, config):
    return rollout.collect_with_advantage_gradient(self.setup._replace(config=config), state, noise)

  def _brute_force(self, state, noise, config):
    """Differentiates every advantage by every action, and keeps each advantage by its own action, `[T, N, A]`."""

    def advantage(perturbation):
      return self._collect(state, noise, config, perturbation)[1].advantage

    jacobian = jax.jacrev(advantage)(jnp.zeros_like(noise))  # [T, N, T, N, A]
    return jnp.einsum("tntna->tna", jacobian)

  def replay(self, state, window):
    """Steps the environments by the window's actions, in a plain loop; the states reached."""
    step = jax.jit(self.env.step)
    reached, environment = [], state.environment
    for action in window.action:
      environment = step(environment, policy.squash(action))
      reached.append(environment)
    return reached


@pytest.fixture(scope="module")
def case():
  """Point masses of episode length 5 whose window begins in the middle of an episode."""
  case = Case(envs.make("point_mass", dimension=2, episode_length=5))
  environment, window = case.collect(case.state, case.noise(100), case.config)
  case.state = case.state.replace(environment=environment, episode_start=window.done[-1])
  return case


@pytest.fixture(scope="module")
def window(case):
  """A window with early ends, time limits and a start in mid-episode."""
  window = case.collect(case.state, case.noise(SEED), case.config)[1]
  reached = case.replay(case.state, window)
  assert np.any([step.current.terminated for step in reached])
  assert np.any([step.current.truncated for step in reached])
  assert np.any(np.asarray(case.state.episode_start) == 0.0)
  return window


SEED = 1


def value_by_hand(case, raw):
  statistics = case.state.observation_statistics
  obs = (raw - statistics.mean[None]) / np.sqrt(statistics.variance[None] + 1e-5)
  return case.value(case.state.target_critic, obs) * np.sqrt(2.5 + 1e-5) + 0.7


def test_values_that_nobody_asks_for_cost_nothing(case):
  """SHAC needs those of what was reached alone. Broken by evaluating both kinds together."""

  def operations(*names):
    def values(state, noise, config):
      window = case._collect(state, noise, config)[1]
      return [getattr(window, name) for name in names]

    program = jax.jit(values).lower(case.state, case.noise(0), case.config).compile()
    return program.cost_analysis()["flops"]

  products = 2 * HORIZON * NUM_ENVS * (case.probe.observation_size * 8 + 8)
  assert operations("value", "next_value") - operations("next_value") >= products


def test_window_against_a_plain_loop(case, window):
  """Every field, from stepping the environments by the recorded actions."""
  environment, start = case.state.environment, case.state.episode_start
  statistics = case.state.observation_statistics
  for t, reached in enumerate(case.replay(case.state, window)):
    raw = np.asarray(environment.current.obs)
    np.testing.assert_allclose(window.raw_observation[t], raw, rtol=1e-12)
    obs = (raw - np.asarray(statistics.mean)) / np.sqrt(np.asarray(statistics.variance) + 1e-5)
    np.testing.assert_allclose(window.observation[t], obs, rtol=1e-12, atol=1e-14)
    mean, log_std = case.policy(case.state.actor, jnp.asarray(obs))
    np.testing.assert_allclose(window.mean[t], mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(window.log_std[t], log_std, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(window.action[t], mean + np.exp(log_std) * case.noise(SEED)[t], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(window.value[t], value_by_hand(case, jnp.asarray(raw)), rtol=1e-10)
    alive = 1.0 - np.asarray(reached.current.terminated)
    np.testing.assert_allclose(window.next_value[t], alive * value_by_hand(case, reached.final_obs), rtol=1e-10)
    np.testing.assert_allclose(window.reward[t], reached.current.reward, rtol=1e-12)
    np.testing.assert_array_equal(window.done[t], reached.done)
    np.testing.assert_array_equal(window.episode_start[t], start)
    environment, start = reached, reached.done
  np.testing.assert_array_equal(window.noise, case.noise(SEED))


def test_ends_by_time_keep_their_value_and_early_ends_have_none(case, window):
  reached = case.replay(case.state, window)
  terminated = np.array([step.current.terminated for step in reached]) > 0
  truncated = np.array([step.current.truncated for step in reached]) > 0
  assert np.all(window.next_value[terminated] == 0.0)
  assert np.all(np.abs(window.next_value[truncated]) > 1e-3)


def test_the_value_of_what_was_reached_is_not_that_of_the_next_start(case, window):
  """At a time limit the critic sees the observation before the reset; elsewhere it sees the next one."""
  continued = np.asarray(window.done[:-1]) == 0.0
  np.testing.assert_allclose(window.next_value[:-1][continued], window.value[1:][continued], rtol=1e-12)
  reset_with_value = ~continued & (np.asarray(window.next_value[:-1]) != 0.0)
  assert np.any(reset_with_value)
  assert np.all(np.abs(window.next_value[:-1] - window.value[1:])[reset_with_value] > 1e-3)


def test_advantages_are_the_windows_own(case, window):
  expected = generalized_advantages(window.reward, window.value, window.next_value, window.done, DISCOUNT, GAE_LAMBDA)
  np.testing.assert_allclose(window.advantage, expected, rtol=1e-12, atol=1e-12)
  np.testing.assert_array_equal(window.segment_start[0], np.ones(NUM_ENVS))
  np.testing.assert_array_equal(window.segment_start[1:], window.done[:-1])


def test_two_windows_continue_one_another(case):
  """Two windows in a row see what one window of twice the length would, for the environments never notice."""
  noise = jnp.concatenate([case.noise(1), case.noise(2)])
  environment, first = case.collect(case.state, noise[:HORIZON], case.config)
  middle = case.state.replace(environment=environment, episode_start=first.done[-1])
  _, second = case.collect(middle, noise[HORIZON:], case.config)
  _, both = case.collect(case.state, noise, case.config)
  for name in ("raw_observation", "action", "reward", "done", "value", "next_value", "episode_start"):
    parts = jnp.concatenate([getattr(first, name), getattr(second, name)])
    np.testing.assert_allclose(getattr(both, name), parts, rtol=1e-9, atol=1e-10)


def test_statistics_are_frozen_in_the_window_and_updated_after_it(case, window):
  statistics = case.state.observation_statistics
  expected = (window.raw_observation - statistics.mean[None, None]) / jnp.sqrt(statistics.variance + 1e-5)[None, None]
  np.testing.assert_allclose(window.observation, expected, rtol=1e-12, atol=1e-14)

  @jax.jit
  def finish(state, window):
    following, _ = end_epoch(
      case.setup,
      state,
      key=state.key,
      environment=state.environment,
      window=window,
      actor=state.actor,
      algorithm=(),
      critic_rate=real(1e-3),
    )
    return following.observation_statistics, following.episode_start

  updated, episode_start = finish(case.state, window)
  seen = np.asarray(window.raw_observation).reshape(-1, 4)
  count = 50.0 + seen.shape[0]
  mean = (50.0 * statistics.mean + np.sum(seen, axis=0)) / count
  np.testing.assert_allclose(updated.mean, mean, rtol=1e-12)
  np.testing.assert_allclose(updated.count, count, rtol=1e-14)
  assert np.all(updated.mean != statistics.mean)
  np.testing.assert_array_equal(episode_start, window.done[-1])


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), discount=st.floats(0.5, 1.0), gae_lambda=st.floats(0.1, 1.0))
def test_advantage_gradient_equals_brute_force(case, seed, discount, gae_lambda):
  config = case.config.replace(discount=real(discount), gae_lambda=real(gae_lambda))
  noise = case.noise(seed)
  _, window, gradient = case.gradient(case.state, noise, config)
  expected = case.brute_force(case.state, noise, config)
  assert np.any(np.asarray(window.done) == 1.0)
  assert np.all(np.abs(expected) > 1e-9)  # a zero gradient would equal anything that forgot a path
  np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-10)


def test_advantage_gradient_of_lambda_zero(case):
  """Dividing by powers of `discount * lambda` would give 0/0 here."""
  config = case.config.replace(gae_lambda=real(0.0))
  _, _, gradient = case.gradient(case.state, case.noise(SEED), config)
  assert np.all(np.isfinite(gradient))
  assert np.all(np.abs(gradient) > 1e-9)
  np.testing.assert_allclose(gradient, case.brute_force(case.state, case.noise(SEED), config), rtol=1e-8, atol=1e-11)


def test_advantage_gradient_of_a_tiny_lambda_does_not_underflow(case):
  config = case.config.replace(gae_lambda=real(1e-60))
  _, _, gradient = case.gradient(case.state, case.noise(SEED), config)
  np.testing.assert_allclose(gradient, case.brute_force(case.state, case.noise(SEED), config), rtol=1e-8, atol=1e-11)


def test_advantage_gradient_of_a_single_step(case):
  noise = case.noise(SEED)[:1]
  _, single, gradient = case.gradient(case.state, noise, case.config)
  assert gradient.shape == (1, NUM_ENVS, 2)
  expected = case.brute_force(case.state, noise, case.config)
  assert np.all(np.abs(expected) > 1e-9)
  np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
  assert single.advantage.shape == (1, NUM_ENVS)


def test_advantage_gradient_is_a_total_derivative(case):
  """Central differences of each advantage by its own action, the noise held fixed and the policy reacting."""
  noise = case.noise(SEED)
  _, _, gradient = case.gradient(case.state, noise, case.config)
  step = 1e-5
  for t in range(HORIZON):
    for a in range(2):
      # Environments do not touch each other, so that one shift can move all of them.
      shift = jnp.zeros_like(noise).at[t, :, a].set(step)
      _, above = case.collect(case.state, noise, case.config, shift)
      _, below = case.collect(case.state, noise, case.config, -shift)
      np.testing.assert_array_equal(above.done, below.done)  # else the difference would jump
      differences = (above.advantage[t] - below.advantage[t]) / (2.0 * step)
      np.testing.assert_allclose(gradient[t, :, a], differences, rtol=1e-5, atol=1e-8)


def test_the_window_does_not_depend_on_who_collects_it(case, window):
  environment, differentiated, _ = case.gradient(case.state, case.noise(SEED), case.config)
  plain_environment, _ = case.collect(case.state, case.noise(SEED), case.config)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), differentiated, window)
  np.testing.assert_allclose(environment.current.obs, plain_environment.current.obs, rtol=1e-10)


def test_rematerialisation_changes_nothing(case):
  noise = case.noise(SEED)
  _, once, gradient = case.gradient(case.state, noise, case.config)
  _, again, gradient_again = case.gradient(case.state, noise, case.config.replace(rematerialize=True))
  np.testing.assert_allclose(gradient_again, gradient, rtol=1e-10, atol=1e-12)
  np.testing.assert_allclose(again.advantage, once.advantage, rtol=1e-10, atol=1e-12)


def test_without_normalisation_the_values_pass_unchanged(case):
  config = case.config.replace(normalize_observations=False, normalize_values=False)
  _, window = case.collect(case.state, case.noise(SEED), config)
  np.testing.assert_array_equal(window.observation, window.raw_observation)
  value = case.value(case.state.target_critic, window.raw_observation)
  np.testing.assert_allclose(window.value, value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("gain", "keeps_value"), [(0.5, True), (1e9, False)])
def test_the_end_of_a_linear_chain_by_hand(gain, keeps_value):
  """A last step that the time limit cuts: every derivative fits on a line.

  The time limit alone would bootstrap; an observation above 1e6 forbids it, and takes the critic's slope away.
  """
  probe = LinearQuadratic(gain=gain, episode_length=2)
  case = Case(probe, horizon=2, normalize_observations=False, normalize_values=False)
  _, chain, gradient = case.gradient(case.state, case.noise(4), case.config)
  np.testing.assert_array_equal(chain.done, [[0.0] * NUM_ENVS, [1.0] * NUM_ENVS])
  assert np.all((chain.next_value[1] != 0.0) == keeps_value)
  assert np.all(chain.next_value[0] != 0.0)  # not done: the critic is asked whatever the size
  assert np.all(np.isfinite(gradient))

  applied = np.tanh(np.asarray(chain.action[1, :, 0]))
  reached = probe.decay * np.asarray(chain.observation[1, :, 0]) + probe.gain * applied
  slope_of = jax.jit(jax.vmap(jax.grad(lambda x: case.value(case.state.target_critic, x[None]))))
  slope = slope_of(jnp.asarray(reached)) if keeps_value else 0.0
  by_applied = -2.0 * reached * probe.gain - 2.0 * probe.action_cost * applied + DISCOUNT * slope * probe.gain
  np.testing.assert_allclose(gradient[1, :, 0], by_applied * (1.0 - applied**2), rtol=1e-9)


# Rows of the table below: what each observation reached is, and how its step ended.
CONTINUED, TRUNCATED, TERMINATED, NOT_A_NUMBER, HUGE, INFINITE, HUGE_CONTINUED, LARGEST = range(8)
WORTHLESS = [TERMINATED, NOT_A_NUMBER, HUGE, INFINITE]
KEPT = [CONTINUED, TRUNCATED, HUGE_CONTINUED, LARGEST]


def test_what_reached_observations_are_worth(case):
  """Which ends are worth nothing, and that the derivative stays finite whatever was reached."""
  obs = jnp.asarray(np.random.default_rng(0).normal(size=(8, 1, 4)))
  reached = np.random.default_rng(1).normal(size=(8, 1, 4))
  reached[NOT_A_NUMBER, 0, 2] = np.nan
  reached[HUGE, 0, 1] = -2e6
  reached[INFINITE, 0, 0] = np.inf
  reached[HUGE_CONTINUED, 0, 1] = 2e6
  reached[LARGEST, 0, 3] = 1e6
  terminated = jnp.zeros((8, 1)).at[TERMINATED].set(1.0)
  done = jnp.ones((8, 1)).at[jnp.array([CONTINUED, HUGE_CONTINUED])].set(0.0)

  def values(reached):
    usable, worthless = rollout._usable(reached, terminated, done)
    value, next_value = rollout._values(case.setup, case.state, obs, usable, worthless.astype(float))
    return jnp.sum(next_value), (value, next_value)

  gradient, (value, next_value) = jax.jit(jax.grad(values, has_aux=True))(jnp.asarray(reached))

  def worth(observation):
    return case.value(case.state.target_critic, jnp.asarray(observation)) * np.sqrt(2.5 + 1e-5) + 0.7

  np.testing.assert_allclose(value, worth(obs), rtol=1e-12)
  np.testing.assert_array_equal(next_value[np.array(WORTHLESS)], np.zeros((4, 1)))
  np.testing.assert_allclose(next_value[np.array(KEPT)], worth(reached[KEPT]), rtol=1e-12)
  assert np.all(next_value[np.array(KEPT)] != 0.0)

  assert np.all(np.isfinite(gradient))
  np.testing.assert_array_equal(gradient[np.array(WORTHLESS)], np.zeros((4, 1, 4)))
  assert np.all(gradient[np.array([CONTINUED, TRUNCATED])] != 0.0)
