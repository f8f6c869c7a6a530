"""Tennis in the plane without gravity: a paddle that is to bounce a ball to a place, or misses it."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.base import State, require_positive_integer, require_positive_real

_TIME_STEP = 0.05  # s
_HALF_LENGTH, _HALF_THICKNESS = 0.95, 0.2  # m, of the paddle with the ball's radius
_RESTITUTION, _DAMPING = 0.8, 0.999
_GOAL = np.array([0.0, 2.5])  # m
_GOAL_WEIGHT, _SPEED_WEIGHT, _ACTION_WEIGHT = 100.0, 10.0, 1e-3


class TennisPhysics(NamedTuple):
  """Ball and paddle in the plane.

  Attributes:
    position: of the ball, m, `[2]`.
    velocity: of the ball, m/s, `[2]`.
    paddle: position (m) and angle (rad), `[3]`.
    steps: taken in the episode.
  """

  position: jax.Array
  velocity: jax.Array
  paddle: jax.Array
  steps: jax.Array


@dataclasses.dataclass(frozen=True)
class Tennis:
  """Bounce a ball that comes slowly to a place 2.5 m above the paddle's.

  The ball flies straight, losing a thousandth of its speed a step. If a step would take it within 0.2 m of the line of
  the paddle and 0.95 m of its middle, the component across the paddle is turned round and multiplied by 0.8, and the
  paddle stands still for the step: a jump in all that follows. Actions, clipped to [-1, 1], are shares of the paddle's
  largest velocities. The last step costs 100 times the squared distance to the goal and 10 times the squared speed,
  every step 0.001 times the squared velocities of the paddle. Ball and paddle are random at the start.

  Attributes:
    speed: largest velocities of the paddle, m/s and rad/s.
    episode_length: steps of 0.05 s.
  """

  speed: float = 2.0
  episode_length: int = 200

  observation_size = 7
  action_size = 3
  differentiable = True

  def __post_init__(self):
    require_positive_real("speed", self.speed)
    require_positive_integer("episode_length", self.episode_length)

  def begin(self, key: jax.Array) -> TennisPhysics:
    """Draws a start: the ball near (1, 2) m on its way to the origin, the paddle near the origin."""
    noise = jax.random.normal(key, (7,))
    position = jnp.stack([1.0 + noise[0], 2.0 + 0.2 * noise[1]])
    velocity = -0.2 * position + 0.01 * noise[2:4]
    return TennisPhysics(position, velocity, noise[4:] * jnp.array([0.5, 0.01, 0.01]), jnp.zeros((), jnp.int32))

  def advance(self, physics: TennisPhysics, motion: jax.Array) -> TennisPhysics:
    """The physics after 50 ms under velocities of the paddle, m/s and rad/s, `[3]`."""
    paddle = physics.paddle + _TIME_STEP * motion
    along = jnp.stack([jnp.cos(paddle[2]), jnp.sin(paddle[2])])
    across = jnp.stack([-along[1], along[0]])
    offset = physics.position + _TIME_STEP * physics.velocity - physics.paddle[:2]
    hits = (jnp.abs(offset @ along) <= _HALF_LENGTH) & (jnp.abs(offset @ across) <= _HALF_THICKNESS)
    factor = jnp.where(hits, -_RESTITUTION, _DAMPING)
    velocity = _DAMPING * (physics.velocity @ along) * along + factor * (physics.velocity @ across) * across
    return TennisPhysics(
      physics.position + _TIME_STEP * velocity,
      velocity,
      jnp.where(hits, physics.paddle, paddle),
      physics.steps + 1,
    )

  def cost(self, reached: TennisPhysics, motion: jax.Array) -> jax.Array:
    """Of a step."""
    distance = jnp.sum((reached.position - jnp.asarray(_GOAL)) ** 2)
    end = _GOAL_WEIGHT * distance + _SPEED_WEIGHT * jnp.sum(reached.velocity**2)
    return jnp.where(reached.steps == self.episode_length, end, 0.0) + _ACTION_WEIGHT * jnp.sum(motion**2)

  def reset(self, key: jax.Array) -> State:
    physics, zero = self.begin(key), jnp.zeros(())
    return State(physics=physics, obs=observe(physics), reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: jax.Array) -> State:
    motion = self.speed * jnp.clip(action, -1.0, 1.0)
    physics = self.advance(state.physics, motion)
    return state.replace(physics=physics, obs=observe(physics), reward=-self.cost(physics, motion))


def observe(physics: TennisPhysics) -> jax.Array:
  """Observation of a state, `[7]`."""
  return jnp.concatenate(physics[:3])
