"""A policy that is worse without its noise is told of; one that is not, or of which too little is known, is not."""

import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.learning.state import init_return_tracker
from gippo_jax.runs.noise_free import describe, mean_action_is_worse, standard_errors

NAN = float("nan")


def test_an_inversion_is_told_and_its_opposite_is_not():
  """The one that happened: -477 with noise, -947 without."""
  rng = np.random.default_rng(0)
  worse, better = (mean + 50.0 * rng.normal(size=128) for mean in (-947.0, -300.0))
  worse[3] = NAN  # an episode that failed
  found = mean_action_is_worse(np.stack([worse, better]), [-477.0, -477.0], [10.0, 10.0])
  assert found == [True, False]
  line = describe([4, 5], found, [-947.0, -300.0], [-477.0, -477.0])
  assert line is not None
  assert "seed 4: -947 against -477" in line
  assert "seed 5" not in line
  assert describe([4, 5], [False, None], [-300.0, None], [-477.0, -477.0]) is None


@pytest.mark.parametrize(("error", "expected"), [(1.0, True), (1.7, False)])
def test_the_difference_must_be_three_of_its_standard_errors(error, expected):
  """Means 0 and 5; 100 episodes of deviation 10 have a standard error of 1, `hypot(1, 1.4)` is a third of 5."""
  episodes = np.tile([-1.0, 1.0], 50)
  episodes *= 10.0 / np.std(episodes, ddof=1)
  assert mean_action_is_worse(episodes[None], [5.0], [error]) == [expected]


def test_equal_policies_are_seldom_told():
  rng = np.random.default_rng(1)
  with_noise, without = rng.normal(size=(4000, 100)), rng.normal(size=(4000, 128))
  errors = (np.std(with_noise, axis=1, ddof=1) / 10.0).tolist()
  told = mean_action_is_worse(without, with_noise.mean(axis=1).tolist(), errors)
  assert np.mean(np.asarray(told, float)) < 0.005


def test_rounding_is_no_difference():
  assert mean_action_is_worse(np.full((1, 8), -240.0), [-240.0 + 1e-4], [0.0]) == [False]
  assert mean_action_is_worse(np.full((1, 8), -240.0), [-239.0], [0.0]) == [True]


@pytest.mark.parametrize(
  ("evaluation", "mean", "error"),
  [
    (np.full(8, NAN), 1.0, 0.1),
    (np.zeros(0), 1.0, 0.1),
    (np.zeros(8), NAN, 0.1),
    (np.zeros(8), None, None),
    (np.array([-1e200, -3e200]), 1.0, 0.1),
  ],
)
def test_what_is_not_known_is_not_said(evaluation, mean, error):
  assert mean_action_is_worse(evaluation[None], [mean], [error]) == [None]


def test_errors_are_those_of_the_episodes_that_have_finished():
  tracker = init_return_tracker(1)
  recent = np.zeros((3, 100))
  recent[0, :4] = [1.0, 2.0, 3.0, 6.0]
  recent[2] = np.arange(100.0)
  found = standard_errors(tracker.replace(recent=jnp.asarray(recent), finished=jnp.asarray([4, 1, 1234])))
  np.testing.assert_allclose(found[0], np.std([1.0, 2.0, 3.0, 6.0], ddof=1) / 2.0)
  assert np.isnan(found[1])
  np.testing.assert_allclose(found[2], np.std(np.arange(100.0), ddof=1) / 10.0)
