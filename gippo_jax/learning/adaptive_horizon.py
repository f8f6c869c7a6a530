"""A horizon that shrinks where the simulator is stiffer than allowed, and grows where it is not.

AHAC (Georgiev, Srinivasan, Xu, Heiden, Garg, ICML 2024): the objective over `H` steps is maximised under the constraint
that no step's Jacobian has a norm above `C`; the constraint's multiplier `phi` moves by the excess, and `H` against it.
"""

import jax
import jax.numpy as jnp
from flax import struct

from gippo_jax.fields import Real
from gippo_jax.learning.rollout import Window


class HorizonState(struct.PyTreeNode):
  """What is kept from epoch to epoch.

  Attributes:
    multiplier: `phi`, negative where there was slack: it is that which lets the horizon grow.
    horizon: `H`, not rounded.
  """

  multiplier: jax.Array
  horizon: jax.Array


def init_horizon(minimum: int) -> HorizonState:
  """The shortest horizon, and no multiplier."""
  zero = jnp.zeros(())
  return HorizonState(multiplier=zero, horizon=zero + minimum)


def adapt_horizon(
  state: HorizonState, stiffness: jax.Array, limit: Real, step: Real, minimum: int, maximum: int
) -> HorizonState:
  """`phi += step (stiffness - limit)`, then `H -= step H phi`, within its bounds.

  In the paper every one of the `H` steps has a multiplier, and `H` follows their sum; the released code sets all of
  them to the first after each epoch, so that they are one. It also adds the sum, with which the horizon grows where the
  constraint is violated.

  Args:
    state: before the epoch.
    stiffness: mean norm of the steps' Jacobians, a scalar.
    limit: `C`.
    step: of both.
    minimum, maximum: of the horizon.
  """
  multiplier = state.multiplier + step * (stiffness - limit)
  horizon = state.horizon - step * state.horizon * multiplier
  return HorizonState(multiplier, jnp.clip(horizon, minimum, maximum))


def cuts(state: HorizonState, num_steps: int) -> jax.Array:
  """Where a window falls into pieces of the rounded horizon: true at the first step of each, `[num_steps]`."""
  return jnp.arange(num_steps, dtype=jnp.int32) % jnp.round(state.horizon).astype(jnp.int32) == 0


def cut_window(window: Window, cut: jax.Array) -> Window:
  """The window with an end before every cut, `[T]`, behind which the critic stands; rewards and values stay."""
  starts = cut.astype(window.done.dtype)[:, None]
  ends = jnp.roll(starts, -1, axis=0)
  return window.replace(done=jnp.maximum(window.done, ends), episode_start=jnp.maximum(window.episode_start, starts))
