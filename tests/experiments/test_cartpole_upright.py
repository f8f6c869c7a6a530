"""Which policies hold the pole up."""

import jax.numpy as jnp
import numpy as np

from gippo_jax.experiments.measurements.cartpole_upright import cells, share_upright


def test_upright_and_slow_in_any_turn():
  angle = jnp.asarray([0.0, 2.0 * np.pi + 0.2, -0.29, 0.31, np.pi, 0.0])
  speed = jnp.asarray([0.0, -0.9, 0.9, 0.0, 0.0, 1.1])
  zero = jnp.zeros(6)
  observations = jnp.stack([zero + 5.0, zero - 3.0, jnp.sin(angle), jnp.cos(angle), speed], axis=-1)
  np.testing.assert_allclose([share_upright(row[None]) for row in observations], [1, 1, 1, 0, 0, 0])
  np.testing.assert_allclose(share_upright(observations), 0.5)


def test_a_seed_counts_from_nine_episodes_in_ten():
  assert cells("SHAC", {"last": [1.0, 0.9, 0.89], "best": [0.0]}) == ["SHAC", "2 of 3", "0 of 1"]
