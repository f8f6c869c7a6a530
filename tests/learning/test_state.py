"""The tracker of returns against a plain Python deque."""

import collections
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gippo_jax.envs import vectorize
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.learning.normalization import RunningStatistics
from gippo_jax.learning.state import PolicyState, ReturnTracker, best_or_last, init_return_tracker

CAPACITY = 100


class PlainTracker:
  """The same in plain Python."""

  def __init__(self, num_envs):
    self.recent = collections.deque(maxlen=CAPACITY)
    self.running = [0.0] * num_envs
    self.finished = 0
    self.best = -np.inf

  def update(self, reward, done):
    for reward_t, done_t in zip(reward, done, strict=True):
      for n in range(len(self.running)):
        self.running[n] += reward_t[n]
        if done_t[n]:
          self.recent.append(self.running[n])
          self.running[n] = 0.0
          self.finished += 1
    if self.recent:
      self.best = max(self.best, np.mean(self.recent))


update = jax.jit(ReturnTracker.update)


def compare(tracker, plain):
  assert int(tracker.finished) == plain.finished
  np.testing.assert_allclose(tracker.running, plain.running, rtol=1e-12, atol=1e-12)
  np.testing.assert_allclose(tracker.best, plain.best, rtol=1e-12, atol=1e-13)
  kept = np.sort(tracker.recent[: min(plain.finished, CAPACITY)])
  np.testing.assert_allclose(kept, np.sort(plain.recent), rtol=1e-12, atol=1e-12)
  if plain.recent:
    np.testing.assert_allclose(tracker.mean, np.mean(plain.recent), rtol=1e-11, atol=1e-12)
  else:
    assert tracker.finished == 0  # of which the host makes "none yet"


@pytest.mark.parametrize(("num_envs", "steps", "windows"), [(3, 4, 40), (7, 30, 5), (60, 3, 4)])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.sampled_from([0.02, 0.3, 0.7, 1.0]))
def test_random_windows_follow_the_deque(num_envs, steps, windows, seed, share):
  """Shares from rare ends to one each step: some windows finish none, some more than the buffer holds."""
  rng = np.random.default_rng(seed)
  tracker, plain = init_return_tracker(num_envs), PlainTracker(num_envs)
  for _ in range(windows):
    reward = rng.normal(size=(steps, num_envs))
    done = (rng.uniform(size=(steps, num_envs)) < share).astype(float)
    tracker = update(tracker, reward, done)
    plain.update(reward, done)
  compare(tracker, plain)


def test_more_ends_in_one_window_than_the_buffer_holds():
  """The last hundred in the order of their ends remain: the window's last steps, later environments first to stay."""
  num_envs, steps = 30, 7
  reward = np.arange(float(num_envs * steps)).reshape(steps, num_envs)
  tracker = update(init_return_tracker(num_envs), reward, np.ones((steps, num_envs)))
  assert int(tracker.finished) == 210
  np.testing.assert_array_equal(np.sort(tracker.recent), np.arange(110.0, 210.0))
  assert tracker.mean == tracker.best == np.mean(np.arange(110.0, 210.0))


def test_the_buffer_wraps_around():
  tracker, plain = init_return_tracker(3), PlainTracker(3)
  for window in range(90):
    reward = np.full((2, 3), float(window)) + np.arange(3.0)
    done = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    tracker = update(tracker, reward, done)
    plain.update(reward, done)
    compare(tracker, plain)
  assert plain.finished == 180


def test_nothing_finished_has_no_best():
  tracker = update(init_return_tracker(2), jnp.ones((5, 2)), jnp.zeros((5, 2)))
  assert tracker.best == -np.inf
  assert tracker.finished == 0  # of which the host makes "none yet"
  assert int(tracker.finished) == 0
  np.testing.assert_array_equal(tracker.running, [5.0, 5.0])


def test_episodes_longer_than_windows_are_summed_across_them():
  tracker = init_return_tracker(1)
  for _ in range(4):
    tracker = update(tracker, jnp.full((3, 1), 2.0), jnp.zeros((3, 1)))
  tracker = update(tracker, jnp.full((3, 1), 2.0), jnp.array([[0.0], [1.0], [0.0]]))
  assert tracker.mean == tracker.best == 28.0
  np.testing.assert_array_equal(tracker.running, [2.0])


@pytest.mark.parametrize("staggered", [False, True])
def test_an_episode_of_240_steps_of_reward_one_returns_240_in_windows_of_32(staggered):
  """Also in windows in which none ends; an episode that a staggered start has shortened counts nowhere."""
  batch = vectorize(LinearQuadratic(episode_length=240), 8, staggered)
  state = batch.reset(jax.random.key(0))

  @jax.jit
  def window(state, tracker):
    def step(state, _):
      state = batch.step(state, jnp.zeros((8, 1)))
      return state, state.done

    state, done = jax.lax.scan(step, state, None, 32)
    return state, tracker.update(jnp.ones((32, 8)), done)

  tracker, finished = init_return_tracker(8).without(state.steps > 0), []
  for _ in range(2 * 240 // 32):
    state, tracker = window(state, tracker)
    finished.append(int(tracker.finished))
    assert tracker.mean == (240.0 if finished[-1] else 0.0)
  # The first copy ends at 240 and 480; of the others the whole episodes end in the second half.
  ends = [240, 480] + [480 - 30 * index for index in range(1, 8)] if staggered else [240] * 8 + [480] * 8
  assert finished == [sum(end <= 32 * (index + 1) for end in ends) for index in range(15)]
  assert tracker.rejected == 0


def test_best_is_the_best_mean_at_the_end_of_a_window():
  tracker = init_return_tracker(1)
  bests = []
  for reward in (1.0, 3.0, -8.0, 4.0):
    tracker = update(tracker, jnp.full((1, 1), reward), jnp.ones((1, 1)))
    bests.append(float(tracker.best))
  assert bests == [1.0, 2.0, 2.0, 2.0]
  assert tracker.mean == 0.0


def test_returns_may_all_be_negative():
  tracker = update(init_return_tracker(2), jnp.full((1, 2), -3.0), jnp.ones((1, 2)))
  assert tracker.best == tracker.mean == -3.0


def test_where_no_episode_has_finished_the_last_policy_stands_for_the_best():
  """Of two members the first has finished none."""

  def policy(number):
    statistics = RunningStatistics(*(jnp.full((2, 3), number), jnp.full((2, 3), number), jnp.full((2,), number)))
    return PolicyState({"kernel": jnp.full((2, 4, 3), number)}, statistics)

  finished = types.SimpleNamespace(finished=jnp.asarray([0, 5]))
  states = types.SimpleNamespace(returns=finished, best_policy=policy(1.0), policy=policy(2.0))
  for leaf in jax.tree.leaves(best_or_last(states)):
    assert np.all(leaf[0] == 2.0)
    assert np.all(leaf[1] == 1.0)
