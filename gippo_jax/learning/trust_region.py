"""Steps that are shortened until the divergence that they make, as it is measured, is within a limit."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

_MOST_ATTEMPTS = 10
# A shortened step aims at a little less than the limit, and neither trusts the measured divergence too little nor too
# much.
_AIM, _LEAST_FACTOR, _LARGEST_FACTOR = 0.95, 0.1, 0.9


class Shortened(NamedTuple):
  """How much of a step fits.

  Attributes:
    scale: in [0, 1]; 0 where nothing fits.
    divergence: of the scaled step.
    attempts: divergences measured.
  """

  scale: jax.Array
  divergence: jax.Array
  attempts: jax.Array


def shorten(divergence: Callable[[jax.Array], jax.Array], limit: jax.Array) -> Shortened:
  """The largest share of a step that was found to fit, the whole step tried first.

  To second order a divergence grows with the square of the step, so each attempt is shorter by the root of the excess.

  Args:
    divergence: of the step times a scale, a scalar; not finite counts as too much.
    limit: scalar.
  """

  def fits(tried: Shortened) -> jax.Array:
    return tried.divergence <= limit

  def attempt(tried: Shortened) -> Shortened:
    factor = jnp.clip(_AIM * jnp.sqrt(limit / tried.divergence), _LEAST_FACTOR, _LARGEST_FACTOR)
    scale = tried.scale * jnp.where(jnp.isfinite(factor), factor, _LEAST_FACTOR)
    return Shortened(scale, divergence(scale), tried.attempts + 1)

  whole = jnp.ones_like(limit)
  first = Shortened(whole, divergence(whole), jnp.ones((), jnp.int32))
  last = jax.lax.while_loop(lambda tried: ~fits(tried) & (tried.attempts < _MOST_ATTEMPTS), attempt, first)
  fitting = fits(last)
  return Shortened(jnp.where(fitting, last.scale, 0.0), jnp.where(fitting, last.divergence, 0.0), last.attempts)
