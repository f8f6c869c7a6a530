"""Quadrotor in closed form: a rigid body that four lagging rotors hold in the air or lead along a figure of eight."""

import dataclasses
import math
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.base import (
  State,
  Trajectory,
  require_choice,
  require_positive_integer,
  require_positive_real,
  require_real,
)
from gippo_jax.envs.physics import figure_eight, quaternion
from gippo_jax.envs.physics.tracking import Body, tracking_reward

if TYPE_CHECKING:
  from matplotlib.axes import Axes

Array = jax.Array

GRAVITY = 9.81
TASKS = ("hover", "figure_eight")
# Times ahead at which a figure of eight is seen, s.
PREVIEW_TIMES = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
# Of the classical Runge-Kutta method: how far each stage goes along the slope before it, and the weight of its own.
_STAGES = np.array([[0.0, 0.5, 0.5, 1.0], [1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0]])
# Below this rate (rad/s) the quadratic drag on a rotation becomes linear: |omega| has no derivative at 0.
_SMALL_RATE = 1.0


class QuadrotorPhysics(NamedTuple):
  """Inner state: the body, the thrust of each rotor (N, `[4]`), and the phase of the figure of eight (rad)."""

  body: Body
  thrust: Array
  phase: Array


@dataclasses.dataclass(frozen=True)
class Quadrotor:
  """Fly to the origin and stay there, or follow a figure of eight, by the thrust commands of four rotors.

  With `R` the rotation of the unit quaternion `q`, `J` the diagonal inertia and `f_i` the rotors' thrusts,

      p' = v                      m v' = R (0, 0, sum f_i) - (0, 0, m g) - drag v
      q' = q (0, omega) / 2       J omega' = torque - omega x J omega - rotational_drag |omega| omega
      torque = (sum y_i f_i, -sum x_i f_i, torque_per_thrust (-f_1 + f_2 - f_3 + f_4))
      f_i' = (command_i - f_i) / motor_time_constant

  An action `a` in [-1, 1], clipped, commands each rotor `(1 + thrust_range a)` times its thrust in hovering. A control
  step is `num_substeps` steps of the classical Runge-Kutta method, in which the lag is exact; after each, `q` is
  normalised.

  The observation, in the body's frame, holds the target's position (m) and velocity (m/s) relative to the vehicle,
  the upward direction, the body rate (rad/s), the thrusts in units of hovering; and, of a figure of eight, the
  positions of the target 0.1 to 0.5 s later relative to the vehicle. It does not know the heading, for which nothing
  pays. The reward is `tracking_reward` of the state reached.

  An episode starts within 1 m of the target along each axis, 1 m/s of its velocity, at 2 rad/s, rolled and pitched by
  up to 45 degrees, with any heading, hovering thrust and, on the figure of eight, any phase; all uniform. Nothing ends
  it early: the end of an episode is a step that no derivative sees, and a reward that is never negative gives no reason
  to crash.

  Defaults are the Crazyflie 2.0's: inertia, torque and drag (at hovering speed) by Foerster, "System Identification
  of the Crazyflie 2.0 Nano Quadrocopter", ETH Zurich, 2015, whose rotors' 0.159 N carry 2.3 times the weight, of which
  action 1 commands 2; the lag, which settles to 2 % in 0.15 s, by Molchanov et al., "Sim-to-(Multi)-Real", IROS 2019.
  The rotational drag is a bound: full roll spins up to 33 rad/s, about the range of its gyroscope (2000 degrees/s),
  instead of without end.

  Attributes:
    task: "hover" or "figure_eight".
    mass: kg.
    arm_length: from the centre to a rotor, m.
    inertia_roll: about the forward axis, kg m^2.
    inertia_pitch: about the axis to the left, kg m^2.
    inertia_yaw: about the upward axis, kg m^2.
    thrust_range: share of the hovering thrust that action 1 adds and action -1 takes away, at most 1.
    torque_per_thrust: yaw torque of a rotor over its thrust, m.
    motor_time_constant: s.
    drag: kg/s.
    rotational_drag: kg m^2.
    half_width: of the figure of eight, m; unused with "hover".
    period: of the figure of eight, s; unused with "hover".
    time_step: control step, s.
    num_substeps: integration steps per control step.
    episode_length: time limit in control steps.

  Raises:
    ValueError: for a field out of range; the message says what is allowed.
  """

  task: str = "hover"
  mass: float = 0.028
  arm_length: float = 0.046
  inertia_roll: float = 16.57e-6
  inertia_pitch: float = 16.66e-6
  inertia_yaw: float = 29.26e-6
  thrust_range: float = 1.0
  torque_per_thrust: float = 0.00596
  motor_time_constant: float = 0.0375
  drag: float = 0.007
  rotational_drag: float = 8e-6
  half_width: float = 1.0
  period: float = 5.0
  time_step: float = 0.02
  num_substeps: int = 1
  episode_length: int = 300

  def __post_init__(self):
    require_choice("task", self.task, TASKS)
    for name in ("mass", "arm_length", "inertia_roll", "inertia_pitch", "inertia_yaw", "torque_per_thrust"):
      require_positive_real(name, getattr(self, name))
    require_positive_real("thrust_range", self.thrust_range, 1.0)
    for name in ("drag", "rotational_drag"):
      require_real(name, getattr(self, name), 0.0)
    for name in ("motor_time_constant", "half_width", "period", "time_step"):
      require_positive_real(name, getattr(self, name))
    require_positive_integer("num_substeps", self.num_substeps)
    require_positive_integer("episode_length", self.episode_length)

  action_size = 4
  differentiable = True
  figure_size = (6.0, 4.4)

  @property
  def observation_size(self) -> int:
    return 16 + (3 * len(PREVIEW_TIMES) if self.task == "figure_eight" else 0)

  @property
  def hover_thrust(self) -> float:
    """Thrust of one rotor that carries a quarter of the weight, N."""
    return 0.25 * self.mass * GRAVITY

  @property
  def phase_rate(self) -> float:
    """Rate of the figure of eight's phase, rad/s."""
    return 2.0 * math.pi / self.period

  def reset(self, key: Array) -> State:
    noise = jax.random.uniform(key, (13,), minval=-1.0, maxval=1.0)
    position, velocity, body_rate, tilt, heading, phase = jnp.split(noise, [3, 6, 9, 11, 12])
    phase = jnp.pi * phase[0]
    target, target_velocity = self.target(phase)
    one, zero = jnp.ones_like(heading), jnp.zeros_like(heading)
    half = 0.5 * jnp.pi * heading
    # The half angle's tangent: no angle has to be divided by, which might be 0.
    tilted = quaternion.normalize(jnp.concatenate([one, math.tan(math.pi / 8.0) * tilt, zero]))
    body = Body(
      position=target + position,
      velocity=target_velocity + velocity,
      attitude=quaternion.multiply(jnp.concatenate([jnp.cos(half), zero, zero, jnp.sin(half)]), tilted),
      body_rate=2.0 * body_rate,
    )
    return self.start(QuadrotorPhysics(body, jnp.full_like(noise[:4], self.hover_thrust), phase))

  def start(self, physics: QuadrotorPhysics) -> State:
    """Start of an episode in a given state."""
    zero = jnp.zeros(())
    return State(physics=physics, obs=self.observe(physics), reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: Array) -> State:
    body, thrust, phase = state.physics
    command = self.commanded_thrust(action)
    time_step = self.time_step / self.num_substeps
    for _ in range(self.num_substeps):  # few and static: unrolled, XLA fuses them
      body, thrust = self.advance(body, thrust, command, time_step)
    physics = QuadrotorPhysics(body, thrust, phase + self.phase_rate * self.time_step)
    return state.replace(physics=physics, obs=self.observe(physics), reward=self.reward(physics))

  def commanded_thrust(self, action: Array) -> Array:
    """Thrust that the rotors go to under an action, N, `[4]`."""
    return self.hover_thrust * (1.0 + self.thrust_range * jnp.clip(action, -1.0, 1.0))

  def advance(self, body: Body, thrust: Array, command: Array, time_step: float) -> tuple[Body, Array]:
    """One step of the classical Runge-Kutta method, of fourth order.

    Args:
      body: at its start.
      thrust: at its start, N, `[4]`.
      command: thrust that the rotors go to, N, `[4]`.
      time_step: s.

    Returns:
      The body and the thrusts at its end.
    """
    # The lag has a closed form, so a time constant far below the step does no harm.
    decay = jnp.exp(-0.5 * time_step / self.motor_time_constant)
    middle = command + (thrust - command) * decay
    end = command + (thrust - command) * decay**2

    def stage(carry, inputs):
      slope, total = carry
      thrust, share, weight = inputs
      slope = self.derivative(_shifted(body, slope, share * time_step), thrust)
      return (slope, _shifted(total, slope, weight * time_step)), None

    # A loop, since four copies of the derivative compile four times as long.
    thrusts = jnp.stack([thrust, middle, middle, end])
    shares, weights = jnp.asarray(_STAGES, thrust.dtype)
    (_, body), _ = jax.lax.scan(stage, (jax.tree.map(jnp.zeros_like, body), body), (thrusts, shares, weights))
    return body._replace(attitude=quaternion.normalize(body.attitude)), end

  def derivative(self, body: Body, thrust: Array) -> Body:
    """Time derivative of the body's state under given thrusts (N, `[4]`), field by field."""
    dtype = thrust.dtype
    lift = jnp.sum(thrust) * quaternion.up_axis(body.attitude)
    gravity = jnp.asarray(np.array([0.0, 0.0, GRAVITY]), dtype)
    rate = body.body_rate
    roll, pitch, yaw = rate
    inertia = jnp.asarray([self.inertia_roll, self.inertia_pitch, self.inertia_yaw], dtype)
    gyroscopic = jnp.stack(
      [
        (self.inertia_yaw - self.inertia_pitch) * pitch * yaw,
        (self.inertia_roll - self.inertia_yaw) * yaw * roll,
        (self.inertia_pitch - self.inertia_roll) * roll * pitch,
      ]
    )
    speed = jnp.sqrt(jnp.sum(rate**2) + _SMALL_RATE**2)
    torque = self.torque(thrust) - gyroscopic - self.rotational_drag * speed * rate
    return Body(
      position=body.velocity,
      velocity=(lift - self.drag * body.velocity) / self.mass - gravity,
      attitude=quaternion.rate_of_change(body.attitude, rate),
      body_rate=torque / inertia,
    )

  def torque(self, thrust: Array) -> Array:
    """Torque of the rotors about the body's axes, N m, `[3]`, under given thrusts, N, `[4]`."""
    # Components, not a product of matrices, whose precision on a GPU is lower by default.
    front_right, back_right, back_left, front_left = thrust
    reach = math.sqrt(0.5) * self.arm_length
    return jnp.stack(
      [
        reach * (back_left + front_left - front_right - back_right),
        reach * (back_right + back_left - front_right - front_left),
        self.torque_per_thrust * (back_right + front_left - front_right - back_left),
      ]
    )

  def target(self, phase: Array) -> tuple[Array, Array]:
    """Position (m) and velocity (m/s) of the target, `[..., 3]` each, at phases (rad) of any shape."""
    if self.task == "hover":
      still = jnp.zeros((*phase.shape, 3), phase.dtype)
      return still, still
    place = figure_eight.position(phase, self.half_width)
    return place, figure_eight.velocity(phase, self.half_width, self.phase_rate)

  def observe(self, physics: QuadrotorPhysics) -> Array:
    """Observation of a state, `[observation_size]`."""
    body, thrust, phase = physics
    target, target_velocity = self.target(phase)
    up = jnp.asarray(np.array([0.0, 0.0, 1.0]), thrust.dtype)
    seen = jnp.stack([target - body.position, target_velocity - body.velocity, up])
    if self.task == "figure_eight":
      later, _ = self.target(phase + self.phase_rate * jnp.asarray(PREVIEW_TIMES, phase.dtype))
      seen = jnp.concatenate([seen, later - body.position[None]])
    # Each vector times the rotation matrix, that is, by its inverse from the left.
    seen = jnp.sum(seen[:, :, None] * quaternion.matrix(body.attitude)[None], 1)
    return jnp.concatenate([seen[:3].ravel(), body.body_rate, thrust / self.hover_thrust, seen[3:].ravel()])

  def reward(self, physics: QuadrotorPhysics) -> Array:
    """`tracking_reward` of a state against its target."""
    target, target_velocity = self.target(physics.phase)
    return tracking_reward(physics.body, target, target_velocity)

  def energy(self, body: Body) -> Array:
    """Kinetic and potential energy in J, the potential one 0 at the origin's height."""
    inertia = jnp.asarray([self.inertia_roll, self.inertia_pitch, self.inertia_yaw], body.position.dtype)
    kinetic = 0.5 * self.mass * jnp.sum(body.velocity**2) + 0.5 * jnp.sum(inertia * body.body_rate**2)
    return kinetic + self.mass * GRAVITY * body.position[2]

  def page(self, trajectory: Trajectory, title: str) -> str:
    from gippo_jax.envs import viewer
    from gippo_jax.envs.physics import quadrotor_rendering

    return viewer.page(quadrotor_rendering.scene(self, trajectory, title))

  def draw(self, axes: "Axes", trajectory: Trajectory, step: int) -> None:
    from gippo_jax.envs.physics import quadrotor_rendering

    quadrotor_rendering.draw(axes, quadrotor_rendering.scene(self, trajectory, ""), step)


def _shifted(body: Body, slope: Body, time_step: float) -> Body:
  return jax.tree.map(lambda value, rate: value + time_step * rate, body, slope)
