"""What the environments on Brax have in common: reset, step, and the two kinds of root."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.base import State, Trajectory, require_choice, require_positive_integer
from gippo_jax.envs.physics import engine
from gippo_jax.envs.traffic.limits import at_least, at_most

if TYPE_CHECKING:
  from matplotlib.axes import Axes

Array = jax.Array

# m/s or rad/s; a trained hopper's joints reach 12.
LARGEST_SPEED = 50.0


@dataclasses.dataclass(frozen=True)
class Articulated:
  """An articulated mechanism moved by torques in its joints.

  A class derived from it says what is observed, paid and fatal, as functions of the joints' positions `q` and
  velocities `qd` alone. A state in which something moves faster than `LARGEST_SPEED` is an explosion of the simulator,
  which a trained policy would seek for its speed: its observation is NaN.

  Attributes:
    backend: Brax's physics, one of `engine.BACKENDS`.
    episode_length: steps until the time limit.

  Raises:
    ValueError: for a parameter out of range; the message says what is allowed.
  """

  backend: str = "spring"
  episode_length: int = 1000

  differentiable = True
  figure_size = (6.0, 3.2)
  model: ClassVar[engine.Model]
  observation_size: ClassVar[int]
  action_size: ClassVar[int]

  def __post_init__(self):
    require_choice("backend", self.backend, engine.BACKENDS)
    require_positive_integer("episode_length", self.episode_length)
    engine.load(self.model, self.backend)

  @property
  def engine(self) -> engine.Engine:
    """The loaded physics."""
    return engine.load(self.model, self.backend)

  @property
  def batch_last(self) -> bool:
    """Whether copies lie along the last axis while they step: Brax's own physics are small vectors and matrices."""
    return self.backend != "mjx"

  def reset(self, key: Array) -> State:
    return self.start(*self.draw_start(key))

  def start(self, q: Array, qd: Array) -> State:
    """Start of an episode in a given state.

    Args:
      q: positions of the joints, m and rad; a free root has `x, y, z` and a quaternion `w, x, y, z`.
      qd: velocities, m/s and rad/s; of a free root linear in the world's frame, angular in its own.
    """
    zero = jnp.zeros((), q.dtype)
    obs = self.observe(q, qd, jnp.zeros(self.action_size, q.dtype))
    return State(physics=self.engine.init(q, qd), obs=obs, reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: Array) -> State:
    action = at_most(at_least(action, -1.0), 1.0)
    physics = self.engine.advance(state.physics, action)
    q, qd = physics.q, physics.qd
    # The wrappers undo a step that leads to NaN, and count it.
    exploded = jnp.max(jnp.abs(qd)) > LARGEST_SPEED
    return state.replace(
      physics=physics,
      obs=jnp.where(exploded, jnp.full((), jnp.nan, q.dtype), self.observe(q, qd, action)),
      reward=self.reward(q, qd, action),
      terminated=self.has_fallen(q).astype(q.dtype),
    )

  def draw_start(self, key: Array) -> tuple[Array, Array]:
    """Positions and velocities an episode begins with."""
    raise NotImplementedError

  def observe(self, q: Array, qd: Array, action: Array) -> Array:
    """Observation, `[observation_size]`."""
    raise NotImplementedError

  def reward(self, q: Array, qd: Array, action: Array) -> Array:
    """Reward of the step that led to a state, a scalar."""
    raise NotImplementedError

  def has_fallen(self, q: Array) -> Array:
    """Whether the episode ends early, a Boolean scalar."""
    del q
    return jnp.zeros((), bool)

  def page(self, trajectory: Trajectory, title: str) -> str:
    from gippo_jax.envs.physics import rendering

    return rendering.page(self.engine, trajectory, title)

  def draw(self, axes: "Axes", trajectory: Trajectory, step: int) -> None:
    from gippo_jax.envs.physics import rendering

    rendering.draw(axes, self.engine, trajectory, step)


def uniform_start(key: Array, q: np.ndarray, q_range: np.ndarray, qd_range: np.ndarray) -> tuple[Array, Array]:
  """Positions around `q` and velocities around 0, each uniform within plus and minus its range."""
  noise = jax.random.uniform(key, (q.size + qd_range.size,), minval=-1.0, maxval=1.0)
  center, spread, speeds = (jnp.asarray(values, noise.dtype) for values in (q, q_range, qd_range))
  return center + spread * noise[: q.size], speeds * noise[q.size :]


def height_reward(height: Array, fallen: float, tolerance: float, highest: float) -> Array:
  """The paper's pay for standing: with `dh = height - (fallen + tolerance)` it is `min(dh, highest)`.

  Where negative, it is replaced by `-200 dh^2`, `dh` not below -1.
  """
  excess = at_most(at_least(height - (fallen + tolerance), -1.0), highest)
  return jnp.where(excess < 0.0, -200.0 * excess**2, excess)
