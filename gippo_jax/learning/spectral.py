"""Spectral normalisation: weights divided by their largest singular value (Miyato et al., ICLR 2018)."""

import jax
import jax.numpy as jnp

# Of a vector without length.
_SMALLEST = 1e-12


def init_direction(key: jax.Array, kernel: jax.Array, num_iterations: int = 15) -> jax.Array:
  """A start for the power iteration, `[I]`, some iterations on its way.

  Args:
    key: random.
    kernel: `[I, O]`.
    num_iterations: of the power iteration.
  """
  direction = _unit(jax.random.normal(key, (kernel.shape[0],), kernel.dtype))
  return jax.lax.fori_loop(0, num_iterations, lambda _, u: power_iteration(kernel, u), direction)


def power_iteration(kernel: jax.Array, direction: jax.Array) -> jax.Array:
  """`u <- W W' u / |W W' u|`; not differentiated.

  Args:
    kernel: `W`, `[I, O]`.
    direction: `u`, `[I]`, of length 1.
  """
  kernel = jax.lax.stop_gradient(kernel)
  return _unit(kernel @ _unit(direction @ kernel))


def normalized(kernel: jax.Array, direction: jax.Array) -> jax.Array:
  """`W / sigma`, `sigma = u' W v` with `v = W' u / |W' u|`; also where sigma is below 1.

  `u` and `v` are constants to the derivative (Zhang et al., NeurIPS 2023, after Miyato et al.).

  Args:
    kernel: `W`, `[I, O]`.
    direction: `u`, `[I]`, of length 1; the nearer the first left singular vector, the nearer sigma its singular value.
  """
  u = jax.lax.stop_gradient(direction)
  v = _unit(u @ jax.lax.stop_gradient(kernel))
  return kernel / (u @ kernel @ v)


def _unit(vector: jax.Array) -> jax.Array:
  return vector / (jnp.linalg.norm(vector) + _SMALLEST)
