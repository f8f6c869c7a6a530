"""Gradients through models of several steps: what spectral normalisation does to their growth."""

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.experiments.measurements.spectral import (
  RANDOM_SYSTEMS,
  growth,
  learned_model,
  measure_cartpole,
  random_variances,
)
from gippo_jax.learning.world_model import ModelConfig
from tests.commands import check_error, command, environment_of, execute

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


def test_bad_words_are_one_line():
  check_error(
    execute(environment_of(), *command("experiments.spectral", "all")), "'all' is not allowed; allowed: flags"
  )
