"""Spectral normalisation against the singular value decomposition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.learning.spectral import init_direction, normalized, power_iteration


def kernel_of(shape, scale=3.0):
  return scale * jax.random.normal(jax.random.key(1), shape)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 1)])
@pytest.mark.parametrize("scale", [3.0, 0.01])
def test_a_converged_direction_divides_by_the_largest_singular_value(shape, scale):
  """Also where it is below 1."""
  kernel = kernel_of(shape, scale)
  direction = init_direction(jax.random.key(2), kernel, 500)
  expected = kernel / np.linalg.svd(kernel, compute_uv=False)[0]
  np.testing.assert_allclose(normalized(kernel, direction), expected, rtol=1e-9)
  np.testing.assert_allclose(power_iteration(kernel, direction), direction, atol=1e-9)


def test_a_factor_changes_nothing():
  kernel = kernel_of((6, 5))
  direction = init_direction(jax.random.key(2), kernel)
  np.testing.assert_allclose(normalized(17.0 * kernel, direction), normalized(kernel, direction), rtol=1e-12)
  gradient = jax.grad(lambda k: jnp.sum(jnp.sin(normalized(k, direction))))(kernel)
  assert np.max(np.abs(gradient)) > 1e-3
  np.testing.assert_allclose(jnp.sum(gradient * kernel), 0.0, atol=1e-12)  # Euler: of degree 0


def test_the_derivative_is_that_of_the_largest_singular_value():
  """`d sigma = u' dW v`: that u and v are constants leaves nothing out where they are the singular vectors."""
  kernel = kernel_of((5, 4))
  direction = init_direction(jax.random.key(2), kernel, 500)

  def exact(kernel):
    return jnp.sum(jnp.sin(kernel / jnp.linalg.norm(kernel, ord=2)))

  found = jax.grad(lambda k: jnp.sum(jnp.sin(normalized(k, direction))))(kernel)
  np.testing.assert_allclose(found, jax.grad(exact)(kernel), rtol=1e-7, atol=1e-9)


def test_nothing_runs_through_the_power_iteration():
  kernel = kernel_of((5, 4))
  direction = init_direction(jax.random.key(2), kernel, 1)
  np.testing.assert_array_equal(jax.grad(lambda k: jnp.sum(power_iteration(k, direction)))(kernel), 0.0 * kernel)
