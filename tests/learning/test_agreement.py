"""Whether two estimates agree: what is noise, and what is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.learning.agreement import init_agreement, measure, trust_of

EPOCHS, DECAY, SIGNIFICANCE = 100, 0.98, 3.0


@jax.jit
def sums_of(seed, first_gain, second_gain, noise, usable):
  """Two estimates of the gain along an output over 16 environments, with noise of deviation 1 and `noise`."""

  def epoch(agreement, key):
    keys = jax.random.split(key)
    first = first_gain + jax.random.normal(keys[0], (4, 16, 1))
    second = second_gain + noise * jax.random.normal(keys[1], (4, 16, 1))
    first = jnp.where(usable[..., None], first, jnp.nan)
    return measure(agreement, jnp.ones((4, 16, 1)), first, second, usable, DECAY), None

  keys = jax.random.split(jax.random.key(seed), EPOCHS)
  return jax.lax.scan(epoch, init_agreement(jnp.zeros(3)), keys)[0]


ALL = np.ones((4, 16), bool)


def trusted(first_gain, second_gain, noise=1.0, usable=ALL):
  """The factors for twenty seeds."""
  sums = jax.vmap(lambda seed: sums_of(seed, first_gain, second_gain, noise, usable))(jnp.arange(20))
  return np.asarray(jax.vmap(lambda each: trust_of(each, SIGNIFICANCE).factor)(sums))


@pytest.mark.parametrize(
  ("first", "second"), [(1.0, 1.0), (1.0, 3.0), (3.0, 2.0), (-1.0, -1.0), (0.0, 0.0), (0.2, 1.0)]
)
def test_what_agrees_up_to_a_factor_is_trusted(first, second):
  """Zero and zero is noise alone, and noise must not be taken for disagreement."""
  np.testing.assert_array_equal(trusted(first, second), 1.0)


@pytest.mark.parametrize(
  ("first", "second"), [(1.0, -1.0), (-1.0, 1.0), (1.0, 0.0), (1.0, 0.2), (0.0, 1.0), (0.01, 1.0)]
)
def test_what_is_contradicted_or_not_seen_is_not(first, second):
  np.testing.assert_array_equal(trusted(first, second), 0.0)


def test_a_contradiction_below_the_noise_is_found_over_many_epochs():
  """One epoch's mean of the likelihood ratio deviates by 0.5, three times its gain."""
  assert np.mean(trusted(0.5, -0.15, noise=4.0)) < 0.5


def test_samples_that_are_not_usable_do_not_count():
  usable = np.broadcast_to(np.arange(16) % 4 > 0, (4, 16))
  assert np.all(np.isfinite(sums_of(0, 1.0, 1.0, 1.0, usable).totals))
  np.testing.assert_array_equal(trusted(1.0, -1.0, usable=usable), 0.0)


def test_the_terms_have_the_mean_of_their_formula():
  """`2 A (B - c A)` by many epochs of one draw each, though the two estimates share their samples' noise."""

  def terms(key):
    shared = jax.random.normal(key, (1, 8, 1))
    agreement = measure(
      init_agreement(jnp.zeros(3)), jnp.ones((1, 8, 1)), 0.7 + shared, 0.4 - 2.0 * shared, jnp.ones((1, 8), bool), DECAY
    )
    return agreement.totals

  mean = jnp.mean(jax.vmap(terms)(jax.random.split(jax.random.key(0), 100_000)), axis=0)
  np.testing.assert_allclose(mean, [2 * 0.7 * (0.4 - 0.5 * 0.7), 2 * 0.4 * (0.7 - 0.1 * 0.4)], atol=0.02)


def test_before_anything_is_measured_there_is_trust():
  trust = trust_of(init_agreement(jnp.zeros(3)), SIGNIFICANCE)
  assert (trust.factor, trust.deviations) == (1.0, 0.0)
