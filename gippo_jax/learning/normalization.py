"""Running mean and variance, merged batch by batch."""

import jax
import jax.numpy as jnp
from flax import struct

_EPSILON = 1e-5
# Weight, in samples, of the start (mean 0, variance 1), by name.
PRIORS = {"none": 0.0, "paper": 1e-4}


class RunningStatistics(struct.PyTreeNode):
  """Mean and population variance of everything seen; starts as mean 0, variance 1.

  Attributes:
    mean: `[...]`.
    variance: `[...]`.
    count: number of samples, a scalar.
  """

  mean: jax.Array
  variance: jax.Array
  count: jax.Array

  def update(self, batch: jax.Array) -> "RunningStatistics":
    """Merges `batch`, shape `[B, ...]` (parallel variance, Chan et al. 1979).

    A batch with an entry that is not finite is left out: merged, it would stay in the statistics for good.
    """
    size = batch.shape[0]
    # Around one of the samples: far from zero the digits of a plain sum would not do.
    batch_mean = batch[0] + jnp.mean(batch - batch[:1], axis=0)
    batch_variance = jnp.mean((batch - batch_mean[None]) ** 2, axis=0)
    count = self.count + size
    difference = batch_mean - self.mean
    squares = self.variance * self.count + batch_variance * size + difference**2 * (self.count * size / count)
    merged = RunningStatistics(mean=self.mean + difference * (size / count), variance=squares / count, count=count)
    usable = jnp.all(jnp.isfinite(merged.mean)) & jnp.all(jnp.isfinite(merged.variance))
    return jax.tree.map(lambda new, old: jnp.where(usable, new, old), merged, self)

  @property
  def deviation(self) -> jax.Array:
    """What `normalize` divides by, `sqrt(variance + 1e-5)`, `[...]`."""
    return jnp.sqrt(self.variance + _EPSILON)

  def normalize(self, x: jax.Array) -> jax.Array:
    """`(x - mean) / sqrt(variance + 1e-5)`; `x` may have leading axes."""
    mean, deviation = self._broadcast(x)
    return (x - mean) / deviation

  def denormalize(self, x: jax.Array) -> jax.Array:
    """Inverse of `normalize`."""
    mean, deviation = self._broadcast(x)
    return x * deviation + mean

  def _broadcast(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    leading = tuple(range(x.ndim - self.mean.ndim))
    return jnp.expand_dims(self.mean, leading), jnp.expand_dims(self.deviation, leading)


def init_statistics(shape: tuple[int, ...] = (), prior: str = "none") -> RunningStatistics:
  """Statistics of nothing yet.

  Args:
    shape: of a sample.
    prior: how much the start counts beside what is seen. `none`: nothing, the first batch replaces it. `paper`: as 1e-4
      samples, as in the authors' code. That little moves the variance of samples far from zero: their squared mean
      enters it with the weight 1e-4, so that N(1e5, 1) has a variance of 11 after 1e5 samples.
  """
  return RunningStatistics(jnp.zeros(shape), jnp.ones(shape), jnp.asarray(PRIORS[prior], jnp.zeros(()).dtype))
