"""Gradients against the horizon where they are known, determinants, the speed command."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.experiments.measurements import timing
from gippo_jax.experiments.measurements.figure_gradients import draw_determinants, draw_horizons
from gippo_jax.experiments.measurements.gradient_determinant import METRICS, measure_determinants, rank_correlation
from gippo_jax.experiments.measurements.gradient_horizon import (
  describe_gradients,
  first_action_gradients,
  measure_horizons,
)
from gippo_jax.experiments.measurements.gradients_physics import Results, cells, determinant_cells
from gippo_jax.experiments.speed import physics as physics_speed

HORIZONS = (1, 2, 5, 8, 32, 64)


@pytest.fixture
def quick_compilation():
  """Programs that run for milliseconds need not be fast."""
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)


@dataclasses.dataclass(frozen=True)
class Chain:
  """`x' = factor * x + gain * a`, reward `x'`, where the gain is drawn at the start of the episode: 1 or 3."""

  factor: float = 1.25
  episode_length: int = 1000
  observation_size = 1
  action_size = 1
  differentiable = True

  def reset(self, key):
    physics = jnp.stack([jnp.zeros(()), jnp.where(jax.random.bernoulli(key), 3.0, 1.0)])
    zero = jnp.zeros(())
    return envs.State(physics=physics, obs=physics[:1], reward=zero, terminated=zero, truncated=zero)

  def step(self, state, action):
    x, gain = state.physics
    x = self.factor * x + gain * action[0]
    return state.replace(physics=jnp.stack([x, gain]), obs=x[None], reward=x)


class Loop(Chain):
  """A chain moved by a loop of unknown length, which has no reverse mode."""

  def step(self, state, action):
    moved = super().step(state, action)
    count = jax.lax.while_loop(lambda x: x < 3.0, lambda x: x + 1.0, moved.reward)
    return moved.replace(reward=count)


def geometric(factor, length):
  return (factor**length - 1.0) / (factor - 1.0)


@pytest.mark.parametrize("warm_up", [0, 3])
def test_the_gradient_of_a_chain_grows_as_the_sum_of_its_powers(warm_up):
  keys = jax.random.split(jax.random.key(0), 6)
  gradients, ended = jax.vmap(lambda key: first_action_gradients(Chain(), HORIZONS, warm_up, key))(keys)
  assert gradients.shape == (6, len(HORIZONS), 1)
  expected = np.array([geometric(1.25, horizon) for horizon in HORIZONS])
  gains = np.asarray(gradients)[:, 0, 0]
  assert set(np.round(gains, 9)) == {1.0, 3.0}
  np.testing.assert_allclose(gradients[..., 0], gains[:, None] * expected, rtol=1e-9)
  assert not ended.any()


def test_norm_and_variance_of_a_chain():
  row = measure_horizons(Chain(), HORIZONS, num_envs=9)
  expected = np.array([geometric(1.25, horizon) for horizon in HORIZONS])
  np.testing.assert_allclose(row["largest_norm"], 3.0 * expected, rtol=1e-9)
  np.testing.assert_allclose(row["variance"], row["variance"][0] * expected**2, rtol=1e-9)
  # With k of 9 gains 3 and the others 1.
  tripled = (row["mean_norm"][0] - 1.0) / 2.0 * 9.0
  assert row["variance"][0] == pytest.approx(4.0 * tripled * (9.0 - tripled) / 72.0)
  assert row["nonfinite"] == [0.0] * len(HORIZONS)


def test_no_gradient_crosses_the_end_of_an_episode():
  row = measure_horizons(Chain(episode_length=8), HORIZONS, num_envs=3, warm_up=5)
  # The window begins with the sixth step of an episode of eight.
  assert row["ended"] == [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
  np.testing.assert_allclose(np.divide(row["mean_norm"], row["mean_norm"][0]), [1.0, 2.25, *[3.8125] * 4])


def test_a_simulator_without_reverse_mode_gives_the_reason():
  row = measure_horizons(Loop(), (1, 2), num_envs=2)
  assert list(row) == ["failed"]
  assert "Reverse-mode differentiation does not work for lax.while_loop" in row["failed"]
  assert "while_loop" in cells({"system": "a", "backend": "b", **row})[1]


def test_gradients_that_are_not_finite_are_left_out_and_counted():
  gradients = np.array([[[1.0, 0.0], [3.0, 4.0]], [[0.0, 1.0], [np.nan, 0.0]], [[0.0, 0.0], [0.0, np.inf]]])
  row = describe_gradients(gradients)
  assert row["nonfinite"] == pytest.approx([0.0, 2 / 3])
  assert row["mean_norm"] == pytest.approx([2 / 3, 5.0])
  assert row["variance"][0] == pytest.approx(2 / 3)
  assert np.isnan(row["variance"][1])


@pytest.mark.usefixtures("quick_compilation")
def test_determinants_at_a_fixed_alpha():
  small = {"horizon": 4, "ppo": {"minibatch_size": 32}, "critic": {"num_iterations": 1}}
  row = measure_determinants("cartpole", 2, 3, 8, **small)
  assert all(len(row[name]) == 3 for name in METRICS)
  low, mean, high = (np.array(row[name]) for name in METRICS[1:])
  assert np.all(low <= mean)
  assert np.all(mean <= high)
  # A step of 0.01 along gradients this small bends the policy by little.
  assert np.all(np.abs(high - low) < 0.1)
  assert np.all(np.array(row[METRICS[0]]) > 0.0)


def test_rank_correlation():
  first = np.array([0.1, 5.0, 3.0, 900.0])
  assert rank_correlation(first, np.log(first)) == pytest.approx(1.0)
  assert np.isnan(rank_correlation(first, np.ones(4)))


def test_determinants_in_words():
  row = {"system": "ant", "correlation": None, **{name: [2.0, 1.0, 4.0] for name in METRICS}}
  row[METRICS[0]] = [3.0, None, 20.0]
  assert determinant_cells(row) == ["ant", "3 to 20", "1 to 4", "-"]


def test_results_go_on_where_they_were(tmp_path):
  path = tmp_path / "results.json"
  calls = []

  def measurement():
    calls.append(len(calls))
    return {"norm": [float(calls[-1])]}

  ant = {"system": "ant", "backend": "spring", "horizons": [1]}
  Results(path).measure("horizons", ant, measurement)
  Results(path).measure("horizons", {**ant, "backend": "mjx"}, measurement)
  Results(path).measure("horizons", ant, measurement)
  assert [row["norm"] for row in Results(path).rows["horizons"]] == [[0.0], [1.0]]
  # Other settings replace what is there.
  Results(path).measure("horizons", {**ant, "horizons": [2]}, measurement)
  rows = Results(path).rows["horizons"]
  assert [(row["backend"], row["norm"]) for row in rows] == [("mjx", [1.0]), ("spring", [2.0])]


def test_pictures():
  values = {"median_norm": [1.0, 2.0], "variance": [1.0, None]}
  rows = [
    {"system": "ant", "backend": "mjx", "horizons": [1, 2], **values},
    {"system": "cartpole", "backend": "closed form", "horizons": [1, 2], **values},
    {"system": "hopper", "backend": "mjx", "failed": "no reverse mode"},
  ]
  axes = draw_horizons(rows).axes
  assert [axis.get_title() for axis in axes[:2]] == ["Cart-pole swing-up", "Ant"]
  np.testing.assert_array_equal(axes[3].lines[0].get_ydata(), [1.0, np.nan])
  axes = draw_determinants([{"system": "ant", **{name: [1.0, 2.0] for name in METRICS}}]).axes
  assert [line.get_label() for line in axes[1].lines] == ["largest", "mean", "smallest"]


@pytest.mark.usefixtures("quick_compilation")
def test_the_speed_of_a_window_is_measured(monkeypatch):
  monkeypatch.setattr(timing, "_SECONDS_PER_TIMING", 0.0)
  row = physics_speed.measure("cartpole", num_envs=4, horizon=3)
  assert set(row["steps_per_second"]) == {"forward", "bare", "trainer", "stored"}  # closed form: along one axis alone
  assert row["ratio"] == pytest.approx(row["steps_per_second"]["bare"] / row["steps_per_second"]["trainer"])
  assert len(physics_speed.cells(row)) == len(physics_speed.COLUMNS)
