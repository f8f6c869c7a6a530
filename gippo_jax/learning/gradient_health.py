"""What the derivatives of a window by its actions are like: which samples are lost, and how norms grow with the age."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_MOST_BINS = 8


def drop_nonfinite(gradient: Float[Array, "T N A"]) -> tuple[Float[Array, "T N A"], dict[str, jax.Array]]:
  """Replaces derivatives that are not finite by 0, and describes the others.

  Backpropagation through time multiplies Jacobians, so that a derivative by an early action has passed through more of
  them than one by a late action: norms that grow towards the window's start show a chaotic simulator.

  Args:
    gradient: derivative of an objective by each action, `[T, N, A]`.

  Returns:
    The derivatives, 0 where any entry was not finite; and the metrics `sample_gradient_dropped` (share of samples
    lost), `sample_gradient_zero` (share of samples whose derivatives were all exactly 0, as where a simulator clips its
    actions), `sample_gradient_norm` (mean over the samples kept) and `sample_gradient_norm_by_age` (the same for up to
    8 equal parts of the window, its first steps first).
  """
  usable = jnp.all(jnp.isfinite(gradient), axis=-1)
  gradient = jnp.where(usable[..., None], gradient, 0.0)
  kept = usable.astype(gradient.dtype)
  norms = jnp.sqrt(jnp.sum(gradient**2, axis=-1))
  parts = parts_of(gradient.shape[0])
  return gradient, {
    "sample_gradient_dropped": jnp.mean(1.0 - kept),
    "sample_gradient_zero": jnp.mean(jnp.where(jnp.all(gradient == 0.0, axis=-1), kept, 0.0)),
    "sample_gradient_norm": _mean(norms, kept),
    "sample_gradient_norm_by_age": jnp.stack([_mean(norms[part], kept[part]) for part in parts]),
  }


def parts_of(num_steps: int) -> list[np.ndarray]:
  """A window's steps in up to 8 nearly equal parts, its first steps first."""
  return np.array_split(np.arange(num_steps), min(_MOST_BINS, num_steps))


def _mean(values: jax.Array, weight: jax.Array) -> jax.Array:
  return jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1.0)
