"""What this machine does at most: products of matrices, other arithmetic, copies."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.experiments.measurements.timing import seconds_per_call

_LARGE = 1024
_SMALL = 64
_IN_CACHE = 1 << 13  # numbers
_COPIED = 1 << 24  # numbers; far more than a cache holds
_ROUNDS = 512


class Ceilings(NamedTuple):
  """Rates, per second, in float32.

  Attributes:
    products: operations of products of two 1024 x 1024 matrices, on all cores.
    small_products: of two 64 x 64 matrices one after the other, which is about a layer of these networks.
    elementwise: operations of a chain of products and sums over numbers that are in the cache.
    transcendental: hyperbolic tangents of such numbers.
    copies: bytes read and written by a copy that is too large for a cache.
  """

  products: float
  small_products: float
  elementwise: float
  transcendental: float
  copies: float


def measure() -> Ceilings:
  """The rates of this machine; some seconds."""

  @jax.jit
  def product(x, y):
    return x @ y

  @functools.partial(jax.jit, static_argnums=0)
  def repeated(function, x):
    return jax.lax.fori_loop(0, _ROUNDS, lambda _, value: function(value), x)

  def small_product(x):
    return 0.1 * (x @ x)

  def products_and_sums(x):
    for _ in range(8):
      x = x * 0.999 + 0.001
    return x

  key = jax.random.key(0)
  large = jax.random.uniform(key, (_LARGE, _LARGE), jnp.float32)
  small = jax.random.uniform(key, (_SMALL, _SMALL), jnp.float32)
  cached = jax.random.uniform(key, (_IN_CACHE,), jnp.float32)
  outside = jax.random.uniform(key, (_COPIED,), jnp.float32)
  copy = jax.jit(jnp.negative)
  calls = {
    "products": (lambda: product(large, large), 2.0 * _LARGE**3),
    "small_products": (lambda: repeated(small_product, small), 2.0 * _SMALL**3 * _ROUNDS),
    "elementwise": (lambda: repeated(products_and_sums, cached), 16.0 * _IN_CACHE * _ROUNDS),
    "transcendental": (lambda: repeated(jnp.tanh, cached), float(_IN_CACHE * _ROUNDS)),
    "copies": (lambda: copy(outside), 2.0 * 4.0 * _COPIED),
  }
  seconds = seconds_per_call([call for call, _ in calls.values()])
  return Ceilings(*(work / time for (_, work), time in zip(calls.values(), seconds, strict=True)))
