"""The ring of transitions, against a list."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gippo_jax.learning.buffer import init_ring


@settings(max_examples=15)
@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=6))
def test_it_holds_the_last_ones_that_were_usable(batches):
  ring = init_ring(jnp.zeros((2,)), capacity=5)
  kept = []
  for index, usable in enumerate(batches):
    batch = 10.0 * index + jnp.arange(8.0).reshape(4, 2)
    ring = ring.add(batch, jnp.asarray(usable))
    kept += [tuple(row) for row, flag in zip(np.asarray(batch), usable, strict=True) if flag]
  held = {tuple(row) for row in np.asarray(ring.entries)[: int(ring.size)]}
  assert int(ring.size) == min(len(kept), 5)
  assert held == set(kept[-5:])


def test_draws_are_of_what_is_there():
  ring = init_ring(jnp.zeros(()), capacity=8).add(jnp.asarray([3.0, 4.0, 5.0]), jnp.asarray([True, False, True]))
  drawn = ring.draw(jax.random.key(0), (50, 2))
  assert drawn.shape == (50, 2)
  assert set(np.unique(drawn)) == {3.0, 5.0}
