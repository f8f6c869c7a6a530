"""The densities of the alpha-policy picture against Definition 4.1's closed form."""

import jax.numpy as jnp
import numpy as np

from gippo_jax.experiments.tables.figure_alpha_policies import alpha_policy


def test_the_alpha_policy_of_a_quadratic_is_a_gaussian():
  """For `A = -c a^2`, `f(a) = (1 - 2 alpha c) a`: mean and deviation shrink by that factor."""
  actions = np.linspace(-2.0, 4.0, 101)
  image, density, jacobian = alpha_policy(lambda a: -1.5 * a**2, 1.0, 0.5, 0.1, actions)
  np.testing.assert_allclose(jacobian, 0.7)
  np.testing.assert_allclose(image, 0.7 * actions, atol=1e-12)
  std = 0.7 * 0.5
  expected = np.exp(-0.5 * ((image - 0.7) / std) ** 2) / (std * np.sqrt(2.0 * np.pi))
  np.testing.assert_allclose(density, expected, rtol=1e-12)


def test_a_density_integrates_to_one_until_it_folds():
  actions = np.linspace(-4.0, 4.0, 20_001)

  image, density, jacobian = alpha_policy(jnp.sin, 0.0, 0.4, 0.5, actions)
  assert 0.0 < jacobian.min() < 1.0
  assert np.all(np.diff(image) > 0)
  np.testing.assert_allclose(np.trapezoid(density, image), 1.0, rtol=1e-6)
  assert alpha_policy(jnp.sin, 0.0, 0.4, 2.0, actions)[2].min() < 0.0
