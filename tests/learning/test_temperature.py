"""The schedule of an entropy's target, and the step of its temperature."""

import jax.numpy as jnp
import numpy as np

from gippo_jax.learning.optimization import Optimizer
from gippo_jax.learning.temperature import adapt_temperature, init_temperature, scheduled_target


def test_the_target_goes_from_the_first_to_the_last_by_a_power():
  """Hopper's and Ant's schedules of Zhang et al.: early and late."""
  epochs = jnp.arange(5)
  found = np.stack([scheduled_target(2, 0.0, -2.0, power, epochs, 4.0) for power in (1.0, 4.0, 0.25)])
  left = 1.0 - np.arange(5) / 4.0
  np.testing.assert_allclose(found, [2.0 * (2.0 * left**power - 2.0) for power in (1.0, 4.0, 0.25)], rtol=1e-12)
  np.testing.assert_array_equal(found[:, 0], 0.0)
  np.testing.assert_array_equal(found[:, -1], -4.0)


def test_a_target_of_zero_is_followed_under_a_weight_of_its_own():
  optimizer = Optimizer(0.7, 0.95, None)
  before = init_temperature(0.5, optimizer)
  for excess, direction in ((0.4, -1.0), (-0.4, 1.0)):
    after = adapt_temperature(before, jnp.asarray(excess), 0.0, optimizer, 1e-2, weight=1.0)
    assert jnp.sign(after.log_alpha - before.log_alpha) == direction
  still = adapt_temperature(before, jnp.asarray(0.4), 0.0, optimizer, 1e-2)
  assert still.log_alpha == before.log_alpha
