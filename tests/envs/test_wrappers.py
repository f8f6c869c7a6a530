"""Time limit, automatic reset and batch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gippo_jax import envs
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.envs.point_mass import PointMass
from gippo_jax.envs.wrappers import AutoReset, TimeLimit, vectorize


@dataclasses.dataclass(frozen=True)
class Scripted:
  """The action says whether the step terminates and whether it truncates; the observation counts the steps."""

  episode_length: int = 4

  observation_size = 1
  action_size = 2
  differentiable = False

  def reset(self, key):
    del key
    zero = jnp.zeros(())
    return envs.State(physics=zero, obs=jnp.zeros((1,)), reward=zero, terminated=zero, truncated=zero)

  def step(self, state, action):
    count = state.physics + 1.0
    return state.replace(
      physics=count, obs=count[None], reward=count, terminated=jnp.round(action[0]), truncated=jnp.round(action[1])
    )


@dataclasses.dataclass(frozen=True)
class RaisesOnce:
  """Writes `field` in its first step only; at other steps it leaves reward and flags as they come."""

  field: str
  episode_length: int = 100

  observation_size = 1
  action_size = 1
  differentiable = False

  def reset(self, key):
    del key
    zero = jnp.zeros(())
    return envs.State(physics=0, obs=jnp.zeros((1,)), reward=zero, terminated=zero, truncated=zero)

  def step(self, state, action):
    del action
    if state.physics == 0:
      state = state.replace(**{self.field: jnp.ones(())})
    return state.replace(physics=state.physics + 1)


def run_traced(env, state, actions):
  """States after every action, stacked."""

  def step(state, action):
    state = env.step(state, action)
    return state, state

  return jax.lax.scan(step, state, actions)[1]


run = jax.jit(run_traced, static_argnums=0)


SCRIPT_LENGTH = 12


@pytest.mark.parametrize("field", ["terminated", "truncated", "reward"])
def test_what_a_step_wrote_is_cleared_for_the_next(field):
  env = TimeLimit(RaisesOnce(field))
  first = env.step(env.reset(jax.random.key(0)), jnp.zeros((1,)))
  second = env.step(first, jnp.zeros((1,)))
  assert getattr(first, field) == 1.0
  assert (second.reward, second.terminated, second.truncated) == (0.0, 0.0, 0.0)


def test_an_environment_without_flags_ends_by_the_time_limit_only():
  env = AutoReset(TimeLimit(LinearQuadratic(episode_length=3)))
  states = run(env, env.reset(jax.random.key(0)), jnp.full((8, 1), 0.1))
  np.testing.assert_array_equal(states.done, [0, 0, 1, 0, 0, 1, 0, 0])
  np.testing.assert_array_equal(states.current.truncated, states.done)
  np.testing.assert_array_equal(states.current.terminated, np.zeros(8))


@pytest.mark.parametrize(
  ("steps_before", "terminates", "terminated", "truncated"),
  [(0, 1.0, 1.0, 0.0), (2, 1.0, 1.0, 0.0), (3, 1.0, 1.0, 0.0), (3, 0.0, 0.0, 1.0), (2, 0.0, 0.0, 0.0)],
)
def test_at_the_limit_the_environments_word_counts(steps_before, terminates, terminated, truncated):
  env = TimeLimit(Scripted(episode_length=4))
  state = env.reset(jax.random.key(0))
  for _ in range(steps_before):
    state = env.step(state, jnp.zeros((2,)))
  state = env.step(state, jnp.array([terminates, 0.0]))
  assert (state.terminated, state.truncated) == (terminated, truncated)


def test_an_environment_that_says_both_is_terminated():
  env = TimeLimit(Scripted())
  state = env.step(env.reset(jax.random.key(0)), jnp.array([1.0, 1.0]))
  assert (state.terminated, state.truncated) == (1.0, 0.0)


@settings(max_examples=25, deadline=None)
@given(script=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=SCRIPT_LENGTH, max_size=SCRIPT_LENGTH))
def test_any_script_ends_where_plain_python_says(script):
  """Flags, counts and observations of random mixes of both kinds of ends, against a loop with plain numbers."""
  episode_length = Scripted().episode_length
  env = AutoReset(TimeLimit(Scripted()))
  states = run(env, env.reset(jax.random.key(0)), jnp.asarray(script, jnp.float64))
  states = jax.tree.map(np.asarray, states.replace(key=()))
  count = 0
  for t, (terminates, truncates) in enumerate(script):
    count += 1
    terminated = terminates
    truncated = (truncates or count == episode_length) and not terminated
    assert states.current.truncated[t] == truncated
    assert states.current.terminated[t] == terminated
    assert float(states.done[t]) == (truncated or terminated)
    assert states.current.reward[t] == count
    assert states.final_obs[t, 0] == count
    count = 0 if truncated or terminated else count
    assert states.current.obs[t, 0] == count
    assert states.current.physics.steps[t] == count


def test_the_observation_before_the_reset_is_kept():
  probe = LinearQuadratic(start_noise=1.0, episode_length=3)
  env = AutoReset(TimeLimit(probe))
  state = env.reset(jax.random.key(5))
  np.testing.assert_array_equal(state.final_obs, state.current.obs)
  for t in range(7):
    action = jnp.asarray([0.2 * t - 0.5])
    expected = probe.decay * state.current.obs + probe.gain * action
    state = env.step(state, action)
    np.testing.assert_allclose(state.final_obs, expected, rtol=1e-15)
    np.testing.assert_allclose(state.current.reward, -jnp.sum(expected**2) - 0.1 * jnp.sum(action**2), rtol=1e-14)
    if t % 3 == 2:
      assert state.current.obs != state.final_obs
    else:
      np.testing.assert_array_equal(state.current.obs, state.final_obs)
    np.testing.assert_array_equal(state.current.obs, state.current.physics.inner)


def starts_of_episodes(key, action):
  """The first observation of five episodes of two steps, and the keys carried past each start."""
  env = AutoReset(TimeLimit(LinearQuadratic(start_noise=1.0, episode_length=2)))
  first = env.reset(key)
  states = run(env, first, jnp.full((8, 1), action))
  starts = np.concatenate([first.current.obs, states.current.obs[1::2, 0]])
  keys = [first.key, *states.key[1::2]]
  return starts, keys


def test_every_episode_starts_afresh():
  starts, _ = starts_of_episodes(jax.random.key(0), 0.0)
  assert np.unique(np.round(starts, 9)).size == starts.size == 5
  assert np.std(starts) > 0.1


def test_starts_are_deterministic_and_independent_of_the_actions():
  starts, _ = starts_of_episodes(jax.random.key(0), 0.0)
  again, _ = starts_of_episodes(jax.random.key(0), 0.0)
  pushed, _ = starts_of_episodes(jax.random.key(0), 5.0)
  other, _ = starts_of_episodes(jax.random.key(1), 0.0)
  np.testing.assert_array_equal(starts, again)
  np.testing.assert_array_equal(starts, pushed)
  assert np.all(starts != other)


def test_the_carried_key_is_not_the_one_that_drew_the_start():
  """A key used for a start and split again for later ones would correlate them."""
  probe = LinearQuadratic(start_noise=1.0, episode_length=2)
  starts, keys = starts_of_episodes(jax.random.key(0), 0.0)
  for key in keys:
    assert not np.any(np.isclose(starts, probe.reset(key).obs[0]))


def test_starts_are_normal():
  """Over many episodes of one environment the starts have the mean and spread of the draw."""
  env = AutoReset(TimeLimit(LinearQuadratic(start=2.0, start_noise=0.5, episode_length=1)))
  starts = run(env, env.reset(jax.random.key(7)), jnp.zeros((2000, 1))).current.obs[:, 0]
  np.testing.assert_allclose(np.mean(starts), 2.0, atol=4.0 * 0.5 / np.sqrt(2000))
  np.testing.assert_allclose(np.std(starts), 0.5, rtol=4.0 / np.sqrt(2 * 2000))
  neighbours = np.corrcoef(starts[:-1], starts[1:])[0, 1]
  assert abs(neighbours) < 4.0 / np.sqrt(2000)


def test_no_gradient_crosses_a_reset():
  env = AutoReset(TimeLimit(LinearQuadratic(start_noise=1.0, episode_length=3)))
  start = env.reset(jax.random.key(0))
  jacobian = jax.jacobian(lambda actions: run(env, start, actions).current.reward)(jnp.full((7, 1), 0.3))[:, :, 0]
  for rewarded in range(7):
    for acted in range(7):
      same_episode = rewarded // 3 == acted // 3
      if same_episode and acted <= rewarded:
        assert jacobian[rewarded, acted] != 0.0
      else:
        assert jacobian[rewarded, acted] == 0.0


def test_no_gradient_crosses_an_early_end():
  batch = vectorize(PointMass(dimension=2, episode_length=50), 1)
  first = batch.reset(jax.random.key(0))
  actions = jnp.full((12, 1, 2), jnp.array([0.9, 0.2]))
  states = run(batch, first, actions)
  (ends,) = np.nonzero(states.current.terminated[:, 0])
  assert 0 < ends[0] < 10
  jacobian = jax.jit(jax.jacobian(lambda actions: run(batch, first, actions).current.reward[:, 0]))(actions)[:, :, 0]
  inside, after = jacobian[: ends[0] + 1, : ends[0] + 1], jacobian[ends[0] + 1 :, : ends[0] + 1]
  assert np.all(inside[ends[0]] != 0.0)
  np.testing.assert_array_equal(after, np.zeros_like(after))


def test_no_gradient_reaches_what_a_fresh_start_was_made_of():
  """A start may depend on a differentiated parameter of the environment; after a reset that path is cut."""

  def rewards(start):
    env = AutoReset(TimeLimit(LinearQuadratic(start=start, episode_length=2)))
    return run_traced(env, env.reset(jax.random.key(0)), jnp.full((4, 1), 0.3)).current.reward

  gradient = jax.jacobian(rewards)(jnp.asarray(0.8))
  assert np.all(gradient[:2] != 0.0)
  np.testing.assert_array_equal(gradient[2:], np.zeros(2))


def test_a_batch_is_its_members_side_by_side():
  env = LinearQuadratic(start_noise=1.0, episode_length=3)
  size = 4
  key = jax.random.key(11)
  actions = jax.random.normal(jax.random.key(12), (7, size, 1))
  batch = vectorize(env, size)
  together = run(batch, batch.reset(key), actions)
  single = AutoReset(TimeLimit(env))
  for index, member_key in enumerate(jax.random.split(key, size)):
    alone = run(single, single.reset(member_key), actions[:, index])
    assert together.current.reward.shape == together.done.shape == (7, size)
    np.testing.assert_allclose(together.current.reward[:, index], alone.current.reward, rtol=1e-13)
    np.testing.assert_allclose(together.current.obs[:, index], alone.current.obs, rtol=1e-13)
    np.testing.assert_allclose(together.final_obs[:, index], alone.final_obs, rtol=1e-13)
    np.testing.assert_array_equal(together.done[:, index], alone.done)
    np.testing.assert_array_equal(jax.random.key_data(together.key[:, index]), jax.random.key_data(alone.key))
  assert np.unique(np.round(batch.reset(key).current.obs, 9)).size == size


class CountsResets(LinearQuadratic):
  """Tells a list of each batch of resets that runs."""

  def __init__(self, resets):
    super().__init__(start_noise=1.0, episode_length=3)
    object.__setattr__(self, "resets", resets)

  def reset(self, key):
    jax.debug.callback(lambda _: self.resets.append(1), key)
    return super().reset(key)


def test_a_batch_resets_only_where_an_episode_ends():
  resets = []
  batch = vectorize(CountsResets(resets), 2)
  start = batch.reset(jax.random.key(0))
  jax.effects_barrier()
  resets.clear()
  states = run(batch, start, jnp.full((7, 2, 1), 0.1))
  jax.block_until_ready(states)
  jax.effects_barrier()
  assert len(resets) == 2 * int(states.done[:, 0].sum()) == 4


def test_members_of_a_batch_end_apart():
  batch = vectorize(Scripted(), 3)
  actions = jnp.zeros((5, 3, 2)).at[1, 0, 0].set(1.0).at[2, 1, 1].set(1.0)
  states = run(batch, batch.reset(jax.random.key(0)), actions)
  np.testing.assert_array_equal(states.done.T, [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]])
  np.testing.assert_array_equal(states.current.terminated.T, [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])


@pytest.mark.parametrize(("size", "length"), [(5, 16), (16, 3)])
def test_staggered_copies_end_at_times_spread_over_an_episode(size, length):
  """Not staggered, all end in the same step; the starts themselves and later episodes are the same."""
  env = LinearQuadratic(start_noise=1.0, episode_length=length)
  actions = jnp.zeros((3 * length, size, 1))
  together, spread = vectorize(env, size), vectorize(env, size, staggered=True)
  start = spread.reset(jax.random.key(0))
  np.testing.assert_array_equal(start.current.obs, together.reset(jax.random.key(0)).current.obs)
  done = np.asarray(run(spread, start, actions).done)
  expected = np.zeros_like(done)
  for index in range(size):
    expected[length - index * length // size - 1 :: length, index] = 1.0
  np.testing.assert_array_equal(done, expected)
  assert np.max(done.sum(axis=1)) == -(-size // length)
  ends = np.asarray(run(together, together.reset(jax.random.key(0)), actions).done).sum(axis=1)
  np.testing.assert_array_equal(ends, np.tile([0] * (length - 1) + [size], 3))


@dataclasses.dataclass(frozen=True)
class Fails:
  """Counts its steps; in the third of an episode the observation or the reward is NaN, and the episode lost."""

  field: str
  episode_length: int = 100

  observation_size = 1
  action_size = 1
  differentiable = True

  def reset(self, key):
    start = jax.random.uniform(key, (1,))
    zero = jnp.zeros(())
    return envs.State(physics=(start, zero), obs=start, reward=zero, terminated=zero, truncated=zero)

  def step(self, state, action):
    position, count = state.physics
    position, count = position + 0.0 * action, count + 1.0
    broken = jnp.where(count == 3.0, jnp.nan, 1.0)
    state = state.replace(
      physics=(position, count),
      obs=position + count,
      reward=count,
      terminated=(count == 3.0).astype(count.dtype),
    )
    return state.replace(**{self.field: getattr(state, self.field) * broken})


@pytest.mark.parametrize("field", ["obs", "reward"])
def test_a_step_that_fails_is_undone_and_cuts_the_episode(field):
  env = AutoReset(TimeLimit(Fails(field)))
  start = env.reset(jax.random.key(0))
  steps = run(env, start, jnp.zeros((7, 1)))
  np.testing.assert_array_equal(steps.fault, [0, 0, 1, 0, 0, 1, 0])
  np.testing.assert_array_equal(steps.current.truncated, [0, 0, 1, 0, 0, 1, 0])
  np.testing.assert_array_equal(steps.current.terminated, np.zeros(7))
  np.testing.assert_array_equal(steps.current.reward, [1, 2, 0, 1, 2, 0, 1])
  first = start.current.obs
  np.testing.assert_allclose(steps.final_obs[:3], [first + 1, first + 2, first + 2])  # the last one is that before
  assert np.all(np.isfinite(steps.current.obs))
  assert 0 <= steps.current.obs[2, 0] <= 1  # a fresh start
  assert steps.current.obs[2, 0] != first[0]


def test_an_action_that_is_not_finite_is_counted_even_where_the_environment_copes():
  env = AutoReset(TimeLimit(envs.make("pace_car", scenario="a")))
  steps = run(env, env.reset(jax.random.key(0)), jnp.zeros((4, 2)).at[1, 0].set(jnp.nan).at[3, 1].set(jnp.inf))
  np.testing.assert_array_equal(steps.fault, [0, 1, 0, 1])
  np.testing.assert_array_equal(steps.current.truncated, np.zeros(4))
