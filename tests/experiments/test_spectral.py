"""Gradients through models of several steps: what spectral normalisation does to their growth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.experiments.measurements import spectral_report
from gippo_jax.experiments.measurements.spectral import (
  RANDOM_SYSTEMS,
  growth,
  learned_model,
  measure_cartpole,
  random_variances,
)
from gippo_jax.experiments.measurements.spectral_learning import directions, random_surface, roughness, surface
from gippo_jax.learning.world_model import ModelConfig
from tests.commands import call, check_error

HORIZONS = (1, 3, 5, 8, 10, 15)


def rows_of(system):
  found = random_variances(RANDOM_SYSTEMS[system], jnp.asarray(HORIZONS), 32, jax.random.key(0))
  return [{"horizon": h, "variance": float(v)} for h, v in zip(HORIZONS, found, strict=True)]


def test_normalisation_turns_a_factor_for_every_step_into_a_power():
  plain, _ = growth(rows_of(0))
  normalised, power = growth(rows_of(2))
  assert np.exp(plain) > 4.0
  assert np.exp(normalised) < 2.5
  assert 2.0 < power < 6.0
  last = [row["variance"] for row in rows_of(2)[-2:]]
  assert last[1] / last[0] < 1.5 * (15 / 10) ** power  # no factor hides behind the fit


def test_bias_is_that_of_the_model_alone():
  """The simulator's own gradient has none; a model whose reward is the action has much."""
  simulator, wrong = measure_cartpole(
    [1], {"wrong": lambda obs, action: (obs, jnp.sum(action))}, 64, 256, jax.random.key(0)
  )
  assert (simulator["model"], wrong["model"]) == ("simulator", "wrong")
  assert simulator["squared_bias"] < 0.2
  assert wrong["squared_bias"] > 0.5


def test_a_normalised_model_of_the_cartpole_is_learned():
  config = ModelConfig(units=(32,), spectral_norm=True, num_steps=200, minibatch_size=64, capacity=1024)
  _, before = learned_model(config, 1024, 0, jax.random.key(0))
  _, after = learned_model(config, 1024, 2, jax.random.key(0))
  assert after < 0.5 * before


def test_a_surface_is_the_objective_around_the_parameters():
  """A quadratic along directions as long as the parameters: known at centre and corners; a slope is smooth."""
  params = {"weight": jnp.asarray([3.0, -4.0]), "bias": jnp.asarray([0.5])}
  key = jax.random.key(0)
  first, second = directions(params, key)
  for direction in (first, second):
    np.testing.assert_allclose([jnp.linalg.norm(leaf) for leaf in (direction["weight"], direction["bias"])], [5.0, 0.5])

  def quadratic(params):
    return jnp.sum(params["weight"] ** 2) + params["bias"][0]

  found = surface(quadratic, params, 5, key)
  np.testing.assert_allclose(found[2, 2], 25.5)
  corner = jax.tree.map(lambda x, one, two: x - one + two, params, first, second)
  np.testing.assert_allclose(found[0, 4], quadratic(corner))
  x = np.linspace(-1.0, 1.0, 9)
  tilted, rough = x[:, None] + 2.0 * x[None], np.random.default_rng(0).normal(size=(9, 9))
  assert roughness(tilted) < 1e-9
  np.testing.assert_allclose(roughness(rough), np.sqrt(3.0), rtol=0.2)  # of white noise: variances 6 and 2


def test_surfaces_of_random_networks_are_smoother_with_normalisation():
  """Whatever networks, directions and starts are drawn; by how much depends on them."""
  for seed in range(3):
    plain, normalised = (
      roughness(random_surface(RANDOM_SYSTEMS[index], 15, 9, jax.random.key(seed))) for index in (0, 3)
    )
    assert normalised < plain


@pytest.mark.slow
def test_a_short_training_of_every_kind_is_measured_kept_and_drawn(monkeypatch, tmp_path):
  monkeypatch.setattr(spectral_report, "CASES", spectral_report.CASES[:2])
  found = spectral_report.measure_learning(tmp_path, 2, 15, 3, jax.random.key(0))
  assert np.shape(found["rows"][1]["return"]) == (2, 15)
  assert np.all(np.isfinite(found["rows"][1]["surface"]))
  lines = spectral_report.table(found).splitlines()
  assert lines[2].startswith("| h = 3, plain | -")
  assert lines[3].startswith("| h = 3, normalised | -")
  spectral_report.draw_curves(found)
  monkeypatch.setattr(spectral_report, "learn", None)
  assert spectral_report.measure_learning(tmp_path, 2, 15, 3, jax.random.key(0)) == found


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("all", "'all' is not allowed; allowed: flags"),
    ("--seeds=1", "--seeds: 1 is not allowed; allowed: an integer >= 2, for an interval"),
    ("--epochs=20", "--epochs: 20 is not allowed; allowed: a positive multiple of 15"),
  ],
)
def test_bad_words_are_one_line(argument, message):
  check_error(call("experiments.spectral", argument), message)
