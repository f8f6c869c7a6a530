"""Random keys: each is used once, and every epoch leaves one of its own."""

import types

import jax
import numpy as np
import pytest

from gippo_jax.algorithms.base import begin_epoch
from gippo_jax.config import traced
from gippo_jax.learning.setup import make_setup
from gippo_jax.programs.epochs import make_epochs
from tests.configs import ALGORITHMS
from tests.programs.test_members import ENV, config_of

# LR+RP draws more than the others.
NAMES = ["lrp", *(pytest.param(name, marks=pytest.mark.slow) for name in ALGORITHMS if name != "lrp")]


@pytest.mark.parametrize("algorithm", NAMES)
def test_no_key_is_used_twice(algorithm):
  config = traced(config_of(algorithm))
  made = make_epochs(ENV, config)
  with jax.debug_key_reuse(True):
    jax.jit(lambda key, config: made.update(made.init(key, config), config))(jax.random.key(0), config)


def test_a_key_that_is_used_twice_is_noticed():
  with jax.debug_key_reuse(True), pytest.raises(jax.errors.KeyReuseError):
    jax.jit(lambda key: jax.random.normal(key) + jax.random.uniform(key))(jax.random.key(0))


def test_an_epoch_draws_by_other_keys_than_the_next():
  config = traced(config_of("lr"))
  setup = make_setup(ENV, config)
  state = types.SimpleNamespace(key=jax.random.key(0))
  key, draws = begin_epoch(setup, state, None)
  next_key, next_draws = begin_epoch(setup, types.SimpleNamespace(key=key), None)
  keys = [jax.random.key_data(key) for key in (state.key, key, draws.key, next_key, next_draws.key)]
  assert len({tuple(np.asarray(key)) for key in keys}) == 5
  for used in (state.key, key, draws.key):
    assert np.all(draws.noise != jax.random.normal(used, draws.noise.shape))
  assert np.all(draws.noise != next_draws.noise)
