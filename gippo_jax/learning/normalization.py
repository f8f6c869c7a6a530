"""Running mean and variance, merged batch by batch."""

import jax
import jax.numpy as jnp
from flax import struct

_EPSILON = 1e-5
_INITIAL_COUNT = 1e-4


@struct.dataclass
class RunningStatistics:
  """Mean and population variance of everything seen; starts as mean 0, variance 1 with the weight of 1e-4 samples.

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
    batch_mean = jnp.mean(batch, axis=0)
    batch_variance = jnp.mean((batch - batch_mean[None]) ** 2, axis=0)
    count = self.count + size
    difference = batch_mean - self.mean
    squares = self.variance * self.count + batch_variance * size + difference**2 * (self.count * size / count)
    merged = RunningStatistics(mean=self.mean + difference * (size / count), variance=squares / count, count=count)
    usable = jnp.all(jnp.isfinite(merged.mean)) & jnp.all(jnp.isfinite(merged.variance))
    return jax.tree.map(lambda new, old: jnp.where(usable, new, old), merged, self)

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
    return jnp.expand_dims(self.mean, leading), jnp.expand_dims(jnp.sqrt(self.variance + _EPSILON), leading)


def init_statistics(shape: tuple[int, ...] = ()) -> RunningStatistics:
  """Statistics of nothing yet."""
  return RunningStatistics(jnp.zeros(shape), jnp.ones(shape), jnp.asarray(_INITIAL_COUNT, jnp.zeros(()).dtype))
