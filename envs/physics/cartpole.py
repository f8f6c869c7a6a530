"""Cart-pole swing-up in closed form: the paper's task on physics that compile in a second and need no simulator."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import State, Trajectory, require_positive_integer, require_positive_real
from gippo_jax.envs.physics.swing_up import CONTROL_STEP, swing_up_reward

if TYPE_CHECKING:
  from matplotlib.axes import Axes

GRAVITY = 9.81


class CartpolePhysics(NamedTuple):
  """Position of the cart (m), angle of the pole (rad, 0 upright, not wrapped), and their velocities; scalars."""

  position: jax.Array
  angle: jax.Array
  velocity: jax.Array
  angular_velocity: jax.Array


@dataclasses.dataclass(frozen=True)
class Cartpole:
  """Swing a hanging pole up by pushing its cart along a rail, and keep it there.

  The observation is `x, x', sin(angle), cos(angle), angle'`; the action in [-1, 1] is a share of the largest force. The
  reward is `swing_up_reward` of the state reached. An episode starts with the pole near hanging: `x` and the angle
  uniform within pi / 2 of 0 and -pi, the velocities within 0.25. Nothing ends it early. The pole is a uniform rod; each
  control step is `num_substeps` semi-implicit Euler steps.

  Attributes:
    cart_mass: kg.
    pole_mass: kg.
    half_length: from the hinge to the pole's centre, m.
    force: N, at action 1.
    num_substeps: integration steps per control step of 1/60 s.
    episode_length: time limit in control steps.

  Raises:
    ValueError: for a field out of range; the message says what is allowed.
  """

  cart_mass: float = 1.0
  pole_mass: float = 0.2
  half_length: float = 0.5
  force: float = 20.0
  num_substeps: int = 4
  episode_length: int = 240

  def __post_init__(self):
    for name in ("cart_mass", "pole_mass", "half_length", "force"):
      require_positive_real(name, getattr(self, name))
    require_positive_integer("num_substeps", self.num_substeps)
    require_positive_integer("episode_length", self.episode_length)

  observation_size = 5
  action_size = 1
  observation_names = ("x (m)", "x' (m/s)", "sin(angle)", "cos(angle)", "angle' (rad/s)")
  action_names = ("share of the largest force",)
  differentiable = True
  time_step = CONTROL_STEP
  figure_size = (6.0, 3.2)

  def reset(self, key: jax.Array) -> State:
    position, angle, velocity, angular_velocity = jax.random.uniform(key, (4,), minval=-1.0, maxval=1.0)
    return self.start(
      CartpolePhysics(
        position=0.5 * jnp.pi * position,
        angle=-jnp.pi + 0.5 * jnp.pi * angle,
        velocity=0.25 * velocity,
        angular_velocity=0.25 * angular_velocity,
      )
    )

  def start(self, physics: CartpolePhysics) -> State:
    """Start of an episode in a given state."""
    zero = jnp.zeros(())
    return State(physics=physics, obs=observe(physics), reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: jax.Array) -> State:
    force = self.force * jnp.clip(action[0], -1.0, 1.0)
    time_step = self.time_step / self.num_substeps
    physics = state.physics
    for _ in range(self.num_substeps):  # few and static: unrolled, XLA fuses them
      acceleration, angular_acceleration = self.accelerations(physics, force)
      velocity = physics.velocity + time_step * acceleration
      angular_velocity = physics.angular_velocity + time_step * angular_acceleration
      physics = CartpolePhysics(
        position=physics.position + time_step * velocity,
        angle=physics.angle + time_step * angular_velocity,
        velocity=velocity,
        angular_velocity=angular_velocity,
      )
    return state.replace(physics=physics, obs=observe(physics), reward=swing_up_reward(*physics))

  def accelerations(self, physics: CartpolePhysics, force: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Acceleration of the cart (m/s^2) and of the pole's angle (rad/s^2) under a force (N), without friction.

    With `M` the total mass, `m` the pole's, `l` the half length: `angle'' = (g sin - cos p) / (l (4/3 - m cos^2 / M))`
    and `x'' = p - m l angle'' cos / M`, where `p = (F + m l angle'^2 sin) / M` (Florian 2007, Eq. 23 and 24).
    """
    total_mass = self.cart_mass + self.pole_mass
    sine, cosine = jnp.sin(physics.angle), jnp.cos(physics.angle)
    moment = self.pole_mass * self.half_length
    push = (force + moment * physics.angular_velocity**2 * sine) / total_mass
    angular_acceleration = (GRAVITY * sine - cosine * push) / (
      self.half_length * (4.0 / 3.0 - self.pole_mass * cosine**2 / total_mass)
    )
    return push - moment * angular_acceleration * cosine / total_mass, angular_acceleration

  def energy(self, physics: CartpolePhysics) -> jax.Array:
    """Kinetic and potential energy in J, the potential one 0 with a level pole."""
    mass, length = self.pole_mass, self.half_length
    cosine = jnp.cos(physics.angle)
    kinetic = (
      0.5 * (self.cart_mass + mass) * physics.velocity**2
      + mass * length * physics.velocity * physics.angular_velocity * cosine
      + (2.0 / 3.0) * mass * length**2 * physics.angular_velocity**2
    )
    return kinetic + mass * GRAVITY * length * cosine

  def page(self, trajectory: Trajectory, title: str) -> str:
    from gippo_jax.envs import viewer
    from gippo_jax.envs.physics import cartpole_rendering

    return viewer.page(cartpole_rendering.scene(self, trajectory, title))

  def draw(self, axes: "Axes", trajectory: Trajectory, step: int) -> None:
    from gippo_jax.envs.physics import cartpole_rendering

    cartpole_rendering.draw(self, axes, trajectory, step)


def observe(physics: CartpolePhysics) -> jax.Array:
  """Observation of a state, `[5]`."""
  return jnp.stack(
    [
      physics.position,
      physics.velocity,
      jnp.sin(physics.angle),
      jnp.cos(physics.angle),
      physics.angular_velocity,
    ]
  )
