"""Temperature of an entropy bonus, adapted to a target (Haarnoja et al. 2018; SAPO, Xing, Luk, Oh, ICLR 2025).

Entropies are of the squashed action, whose density on [-1, 1] has an entropy of at most log 2 per entry.
"""

import jax
import jax.numpy as jnp
import optax
from flax import struct

from gippo_jax.fields import Real
from gippo_jax.learning.optimization import Optimizer


class Temperature(struct.PyTreeNode):
  """What is kept from epoch to epoch.

  Attributes:
    log_alpha: logarithm of the bonus's weight, `[1]`.
    moments: its optimiser's state.
  """

  log_alpha: jax.Array
  moments: optax.ScaleByAdamState

  @property
  def alpha(self) -> jax.Array:
    """Weight of the bonus, a scalar."""
    return jnp.exp(self.log_alpha[0])


def target_entropy(action_size: int) -> float:
  """SAPO's target: half a unit less per entry of the action."""
  return -action_size / 2.0


def normalized_entropy(entropy: jax.Array, target: float) -> jax.Array:
  """`(H + |target|) / (2 |target|)`: 0 at the (negative) target, 1 at its mirror image; `[...] -> [...]`."""
  return (entropy + abs(target)) / (2.0 * abs(target))


def init_temperature(initial: Real, optimizer: Optimizer) -> Temperature:
  """Temperature of the first epoch; 0 stays 0."""
  log_alpha = jnp.log(jnp.asarray(initial, jnp.zeros(()).dtype))[None]
  return Temperature(log_alpha, optimizer.init(log_alpha))


def adapt_temperature(
  temperature: Temperature, entropy: jax.Array, target: float, optimizer: Optimizer, rate: Real
) -> Temperature:
  """One step down `alpha |target| (entropy - target)` in `log alpha`: alpha falls where there is too much entropy.

  Args:
    temperature: before the step.
    entropy: mean of the policy's, a scalar, held fixed.
    target: that it should have.
    optimizer: of `log alpha`.
    rate: its rate.
  """
  gradient = (temperature.alpha * abs(target) * (entropy - target))[None]
  log_alpha, moments, _ = optimizer.step(temperature.log_alpha, temperature.moments, gradient, rate)
  return Temperature(log_alpha, moments)
