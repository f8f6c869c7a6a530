"""The natural gradient of a policy whose outputs have a diagonal Fisher matrix, by preconditioned conjugate gradients.

With `J` the Jacobian of the outputs by the parameters and `D` the Fisher matrix of the outputs, the parameters' is
`F = mean over samples of J^T D J` (Amari 1998; Martens 2020, "New insights and perspectives on the natural gradient
method", Section 8). It is never formed: products with it are a product with `J` and one with its transpose.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.fields import Real

# Of the mean diagonal: the least entry of the preconditioner, for parameters that move no output.
_LEAST_DIAGONAL = 1e-6


class Direction(NamedTuple):
  """A natural gradient.

  Attributes:
    direction: `[P]`.
    curvature: `d^T F d`, twice the divergence of a step of length 1 to second order.
    residual: norm of what is left of the equation, as a share of its right side, both preconditioned.
  """

  direction: jax.Array
  curvature: jax.Array
  residual: jax.Array


def products(
  outputs: Callable[[jax.Array], jax.Array], params: jax.Array
) -> tuple[Callable[[jax.Array], jax.Array], Callable[[jax.Array], jax.Array]]:
  """Products with the Jacobian `J` of a function and with its transpose.

  Args:
    outputs: maps parameters `[P]` to outputs `[S, B]`; differentiable in reverse.
    params: where, `[P]`.

  Returns:
    `v -> J v`, `[P]` to `[S, B]`, and `u -> J^T u`.
  """
  reached, pull = jax.vjp(outputs, params)

  def transposed(cotangent: jax.Array) -> jax.Array:
    return pull(cotangent)[0]

  # The Jacobian's product is the transpose of its transpose's: the networks have reverse rules of their own, which
  # forward differentiation does not know.
  transpose = jax.linear_transpose(transposed, reached)
  return lambda vector: transpose(vector)[0], transposed


def natural_direction(
  outputs: Callable[[jax.Array], jax.Array],
  params: jax.Array,
  gradient: jax.Array,
  fisher: jax.Array,
  key: jax.Array,
  damping: Real,
  num_iterations: int,
  num_probes: int,
) -> Direction:
  """Solves `(F + damping diag F) d = g` for `d`, the preconditioner being `diag F`.

  `diag F` is estimated: for random signs `s`, `J^T D^(1/2) s` squared has it as its mean (Hutchinson).

  Args:
    outputs: maps parameters `[P]` to outputs `[S, B]`; differentiable in reverse.
    params: where, `[P]`.
    gradient: of the objective by the parameters, `[P]`.
    fisher: the diagonal `D` of every sample, `[S, B]`, not negative.
    key: for the signs.
    damping: share of the diagonal that is added to it.
    num_iterations: of conjugate gradients, from zero.
    num_probes: random signs.
  """
  product, transposed = products(outputs, params)
  num_samples = fisher.shape[0]

  def by_fisher(vector: jax.Array) -> jax.Array:
    return transposed(fisher * product(vector)) / num_samples

  signs = jax.random.rademacher(key, (num_probes, *fisher.shape), fisher.dtype)
  probes = jax.lax.map(lambda sign: transposed(jnp.sqrt(fisher) * sign) ** 2, signs)
  diagonal = jnp.mean(probes, axis=0) / num_samples
  preconditioner = diagonal + _LEAST_DIAGONAL * jnp.mean(diagonal) + jnp.finfo(diagonal.dtype).tiny

  def matrix(vector: jax.Array) -> jax.Array:
    return by_fisher(vector) + damping * preconditioner * vector

  def iterate(carry, _):
    solution, rest, search, length = carry
    image = matrix(search)
    step = _ratio(length, jnp.sum(search * image))
    solution, rest = solution + step * search, rest - step * image
    conditioned = rest / preconditioner
    new_length = jnp.sum(rest * conditioned)
    search = conditioned + _ratio(new_length, length) * search
    return (solution, rest, search, new_length), None

  first = gradient / preconditioner
  length = jnp.sum(gradient * first)
  (solution, _, _, rest), _ = jax.lax.scan(
    iterate, (jnp.zeros_like(gradient), gradient, first, length), None, length=num_iterations
  )
  return Direction(solution, jnp.sum(solution * by_fisher(solution)), jnp.sqrt(_ratio(rest, length)))


def _ratio(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
  """0 where nothing is left to divide."""
  return jnp.where(denominator > 0.0, numerator / jnp.where(denominator > 0.0, denominator, 1.0), 0.0)
