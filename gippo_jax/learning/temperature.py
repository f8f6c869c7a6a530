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


def scheduled_target(
  action_size: int, initial: Real, final: Real, power: Real, epoch: jax.Array, num_epochs: Real
) -> jax.Array:
  """`A [(initial - final) (1 - t / T)^power + final]` (Zhang et al., NeurIPS 2023), in epoch `t` = 0, 1, ... of `T`.

  Args:
    action_size: `A`, entries of an action.
    initial, final: targets per entry.
    power: 1 is a straight line.
    epoch: epochs done.
    num_epochs: in all.
  """
  left = jnp.maximum(1.0 - epoch.astype(jnp.asarray(initial).dtype) / num_epochs, 0.0)
  return action_size * ((initial - final) * left**power + final)


def adapt_temperature(
  temperature: Temperature,
  entropy: jax.Array,
  target: Real,
  optimizer: Optimizer,
  rate: Real,
  weight: Real | None = None,
) -> Temperature:
  """One step down `alpha weight (entropy - target)` in `log alpha`: alpha falls where there is too much entropy.

  Args:
    temperature: before the step.
    entropy: mean of the policy's, a scalar, held fixed.
    target: that it should have.
    optimizer: of `log alpha`.
    rate: its rate.
    weight: `|target|` by default, as in SAPO.
  """
  weight = abs(target) if weight is None else weight
  gradient = (temperature.alpha * weight * (entropy - target))[None]
  log_alpha, moments, _ = optimizer.step(temperature.log_alpha, temperature.moments, gradient, rate)
  return Temperature(log_alpha, moments)
