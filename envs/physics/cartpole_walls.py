"""Cart-pole swing-up between two stiff walls: contacts in closed form, for what estimators make of them."""

import dataclasses

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import State, require_positive_real
from gippo_jax.envs.physics.cartpole import Cartpole, CartpolePhysics


@dataclasses.dataclass(frozen=True)
class CartpoleWalls(Cartpole):
  """Swing a hanging pole up on a rail with a stiff wall at either end.

  As `Cartpole`, and a wall pushes the cart back with `stiffness` times the depth by which the cart's centre is beyond
  it: elastic, without damping. A contact lasts about eight integration steps, and turns the velocity round; each
  multiplies the derivative of the velocity by the position by up to `sqrt(stiffness / mass)`, a hundred per second. An
  episode starts with the cart within half of the free rail.

  Attributes:
    wall: distance of either wall from the middle, m.
    stiffness: N/m. The integration is stable while `stiffness (time_step / num_substeps)^2 < 4 cart_mass`.

  Raises:
    ValueError: for a field out of range; the message says what is allowed.
  """

  wall: float = 1.0
  stiffness: float = 1e4

  def __post_init__(self):
    super().__post_init__()
    require_positive_real("wall", self.wall)
    require_positive_real("stiffness", self.stiffness, self._stiffest)

  @property
  def _stiffest(self) -> float:
    return 4.0 * self.cart_mass * (self.num_substeps / self.time_step) ** 2

  def reset(self, key: jax.Array) -> State:
    physics = super().reset(key).physics  # within pi / 2
    return self.start(physics._replace(position=self.wall / jnp.pi * physics.position))

  def depth(self, physics: CartpolePhysics) -> jax.Array:
    """How far the cart is beyond a wall, m: positive beyond the right one, negative beyond the left one, else 0."""
    return physics.position - jnp.clip(physics.position, -self.wall, self.wall)

  def accelerations(self, physics: CartpolePhysics, force: jax.Array) -> tuple[jax.Array, jax.Array]:
    return super().accelerations(physics, force - self.stiffness * self.depth(physics))

  def energy(self, physics: CartpolePhysics) -> jax.Array:
    """That of the cart-pole and the energy in the walls, J."""
    return super().energy(physics) + 0.5 * self.stiffness * self.depth(physics) ** 2
