"""The closed-form cart-pole as a simulator that shows no gradient.

`python -m gippo_jax.main --config=physics:cartpole,shac_model
--config.env.name=gippo_jax.experiments.measurements.black_box:BlackBoxCartpole`
"""

import dataclasses

import jax

from gippo_jax.envs.base import State
from gippo_jax.envs.physics.cartpole import Cartpole


@dataclasses.dataclass(frozen=True)
class BlackBoxCartpole(Cartpole):
  """The same values; it says that it has no derivative, and has none."""

  differentiable = False

  def step(self, state: State, action: jax.Array) -> State:
    """A step of the cart-pole with nothing to differentiate."""
    return jax.lax.stop_gradient(super().step(state, action))
