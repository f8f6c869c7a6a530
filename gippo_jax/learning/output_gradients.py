"""Two estimates of the policy gradient by the policy's outputs, sample by sample; the network comes after them.

The outputs are the mean in units of the standard deviation that drew the action, and the log standard deviation:
`y = (mu / sigma_old, log sigma)`, `2 A` of them. In these units the two estimates have the units of the advantage, so
that they can be compared from state to state, and the Gaussian Fisher matrix is diagonal with entries 1 and 2.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gippo_jax.fields import Real
from gippo_jax.learning.mixers import inverse_variance_weight


def reparameterized(
  gradient: Float[Array, "T N A"], log_std: Float[Array, "T N A"], noise: Float[Array, "T N A"]
) -> Float[Array, "T N B"]:
  """`(G sigma, G sigma eps)`: the derivative of `A(mu + sigma eps)` by the outputs, the noise held fixed.

  Args:
    gradient: `G`, the derivative of each advantage by its own action, `[T, N, A]`.
    log_std: of the policy that drew the actions, `[T, N, A]`.
    noise: `eps`, `[T, N, A]`.

  Returns:
    `[T, N, 2 A]`.
  """
  scaled = gradient * jnp.exp(log_std)
  return jnp.concatenate([scaled, scaled * noise], axis=-1)


def likelihood_ratio(advantage: Float[Array, "T N"], noise: Float[Array, "T N A"]) -> Float[Array, "T N B"]:
  """`A (eps, eps^2 - 1)`: the advantage, less its mean over the environments, times the score by the outputs.

  The mean leaves out the sample's own environment, which would otherwise be correlated with its score (a factor of
  `N / (N - 1)` on the difference from the plain mean).

  Args:
    advantage: `[T, N]`, `N >= 2`.
    noise: `eps`, `[T, N, A]`.

  Returns:
    `[T, N, 2 A]`.
  """
  num_envs = advantage.shape[1]
  centred = (advantage - jnp.mean(advantage, axis=1, keepdims=True)) * (num_envs / (num_envs - 1.0))
  return centred[..., None] * jnp.concatenate([noise, noise**2 - 1.0], axis=-1)


def clip_at_medians(
  gradient: Float[Array, "T N A"], log_std: Float[Array, "T N A"], largest: Real
) -> tuple[Float[Array, "T N A"], Float[Array, ""]]:
  """Shortens the samples whose `|G sigma|` is above `largest` medians of it, over the samples where it is not zero.

  Args:
    gradient: `G`, `[T, N, A]`; finite.
    log_std: `[T, N, A]`.
    largest: in medians.

  Returns:
    The gradients, `[T, N, A]`, and the share of the samples that were shortened.
  """
  length = jnp.sqrt(jnp.sum((gradient * jnp.exp(log_std)) ** 2, axis=-1))
  median = jnp.nanmedian(jnp.where(length > 0.0, length, jnp.nan))  # NaN where all are zero: nothing is above it
  limit = largest * median
  is_longer = length > limit
  factor = jnp.where(is_longer, limit / jnp.where(is_longer, length, 1.0), 1.0)
  return gradient * factor[..., None], jnp.mean(is_longer.astype(length.dtype))


def mix_by_step(
  first: Float[Array, "T N B"],
  second: Float[Array, "T N B"],
  usable: Bool[Array, "T N"],
  trust: Real = 1.0,
  weigh: Callable[[jax.Array, jax.Array], jax.Array] = inverse_variance_weight,
) -> tuple[Float[Array, "T N B"], Float[Array, "T B"]]:
  """One estimate of two, weighted step by step and output by output by their variances over the environments.

  `k g_1 + (1 - k) g_0` with `k = c V_0 / (V_0 + V_1)`, `V_i` the unbiased variance of the estimate's samples at the
  step, `c` the trust in the first.

  Args:
    first: `g_1`, `[T, N, B]`, zero where it is not usable.
    second: `g_0`, `[T, N, B]`.
    usable: where the first estimate's sample counts, `[T, N]`; its mean over the others stands for all of them, and a
      step with fewer than two has weight 0, as has one where all of them are zero: the step's derivative says nothing.
    trust: `c`, in [0, 1].
    weigh: maps `V_1` and `V_0`, `[T, B]`, to `k / c`.

  Returns:
    The mixed samples, whose mean over the environments is the estimate, `[T, N, B]`; and `k`, `[T, B]`.
  """
  counts = usable.astype(first.dtype)[..., None]
  number = jnp.sum(counts, axis=1)
  mean = jnp.sum(counts * first, axis=1) / jnp.maximum(number, 1.0)
  variance = jnp.sum(counts * (first - mean[:, None]) ** 2, axis=1) / jnp.maximum(number - 1.0, 1.0)
  weight = trust * weigh(variance, jnp.var(second, axis=1, ddof=1))
  speaks = jnp.any((first != 0.0) & usable[..., None], axis=(1, 2))[:, None]
  weight = jnp.where((number >= 2.0) & speaks, weight, 0.0)
  first = first * (counts * (first.shape[1] / jnp.maximum(number, 1.0))[:, None])
  return weight[:, None] * first + (1.0 - weight[:, None]) * second, weight
