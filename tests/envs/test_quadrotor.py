"""Quadrotor: the rigid body against closed forms, its integrator's order, rotors, reward, symmetry, gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from gippo_jax import envs
from gippo_jax.envs.physics import figure_eight, quaternion
from gippo_jax.envs.physics.quadrotor import GRAVITY, PREVIEW_TIMES, Quadrotor, QuadrotorPhysics
from gippo_jax.envs.physics.tracking import Body, tracking_reward
from tests.stepping import check_gradient

HOVER = Quadrotor()
EIGHT = Quadrotor(task="figure_eight")
TUMBLING = (8.0, -6.0, 11.0)
UPRIGHT = (1.0, 0.0, 0.0, 0.0)


def physics_of(env, position=(0, 0, 0), velocity=(0, 0, 0), attitude=UPRIGHT, body_rate=(0, 0, 0), thrust=None):
  thrust = env.hover_thrust if thrust is None else thrust
  body = Body(*(jnp.asarray(value, float) for value in (position, velocity, attitude, body_rate)))
  return QuadrotorPhysics(body, jnp.full((4,), float(thrust)), jnp.zeros(()))


NUM_STEPS = 100
TIME = HOVER.time_step * np.arange(1, NUM_STEPS + 1)


@functools.cache
def flight(env):
  """Compiled once for an environment: the states after `NUM_STEPS` actions, `[NUM_STEPS, 4]`."""

  @jax.jit
  def flown(physics, actions):
    def step(state, action):
      state = env.step(state, action)
      return state, state

    return jax.lax.scan(step, env.start(physics), actions)[1]

  return flown


def fly(env, physics, action):
  """States under one action, stacked, as NumPy arrays."""
  actions = jnp.broadcast_to(jnp.asarray(action, float), (NUM_STEPS, 4))
  return jax.tree.map(np.asarray, flight(env)(physics, actions))


def scipy_rotation(attitude):
  w, x, y, z = np.asarray(attitude)
  return Rotation.from_quat([x, y, z, w])


def test_quaternions_are_scipys_rotations():
  keys = jax.random.split(jax.random.key(0), 2)
  first, second = (quaternion.normalize(jax.random.normal(key, (4,))) for key in keys)
  expected = scipy_rotation(first)
  np.testing.assert_allclose(quaternion.matrix(first), expected.as_matrix(), atol=1e-14)
  np.testing.assert_allclose(quaternion.up_axis(first), expected.apply([0.0, 0.0, 1.0]), atol=1e-14)
  both = scipy_rotation(quaternion.multiply(first, second)).as_matrix()
  np.testing.assert_allclose(both, (expected * scipy_rotation(second)).as_matrix(), atol=1e-14)


def test_a_fall_without_thrust_and_drag_is_a_parabola():
  env = Quadrotor(drag=0.0)
  states = fly(env, physics_of(env, (1, 2, 3), (0.5, -1, 2), thrust=0.0), -1.0)
  time = TIME[:, None]
  expected = np.array([1, 2, 3]) + np.array([0.5, -1, 2]) * time - 0.5 * GRAVITY * time**2 * np.array([0, 0, 1])
  np.testing.assert_allclose(states.physics.body.position, expected, rtol=1e-11, atol=1e-11)


def test_action_zero_hovers_and_nothing_moves():
  states = fly(HOVER, physics_of(HOVER), 0.0)
  for leaf, still in zip(states.physics.body, physics_of(HOVER).body, strict=True):
    np.testing.assert_allclose(leaf, np.broadcast_to(still, leaf.shape), atol=1e-12)
  np.testing.assert_allclose(states.reward, 1.0, rtol=1e-12)


def test_a_tumbling_body_keeps_energy_and_angular_momentum_to_the_integrators_order():
  """Without torque, over 2 s; the error falls with the fourth power of the step, the quaternion stays a unit."""
  env = Quadrotor(drag=0.0, rotational_drag=0.0, inertia_pitch=22e-6)
  inertia = np.array([env.inertia_roll, env.inertia_pitch, env.inertia_yaw])
  start = physics_of(env, velocity=(1, 0, 2), body_rate=TUMBLING).body
  none = jnp.zeros((4,))

  @jax.jit
  def tumble(num_steps):  # traced: one program for all steps
    time_step = 2.0 / num_steps.astype(float)
    return jax.lax.fori_loop(0, num_steps, lambda _, body: env.advance(body, none, none, time_step)[0], start)

  errors = []
  for num_steps in (100, 200, 400):
    body = jax.tree.map(np.asarray, tumble(jnp.asarray(num_steps)))
    np.testing.assert_allclose(np.sum(np.square(body.attitude)), 1.0, rtol=1e-14)
    spin = quaternion.matrix(body.attitude) @ (inertia * body.body_rate)
    momentum = np.linalg.norm(spin - inertia * TUMBLING) / np.linalg.norm(inertia * TUMBLING)
    energy = abs(env.energy(body) - env.energy(start)) / (0.5 * np.sum(inertia * np.square(TUMBLING)))
    errors.append((momentum, energy))
  errors = np.array(errors)
  assert np.all(errors[0] < 0.02)  # the default step
  orders = np.log2(errors[:-1] / errors[1:])
  assert np.all(orders > 3.7), orders
  assert np.all(orders < 5.3), orders


def test_the_body_turns_as_its_rate_says():
  """About one principal axis the attitude is known."""
  env = Quadrotor(rotational_drag=0.0, num_substeps=4)
  for axis in range(3):
    rate = 1.5 * np.eye(3)[axis]
    attitude = fly(env, physics_of(env, body_rate=rate), 0.0).physics.body.attitude[-1]
    expected = Rotation.from_rotvec(TIME[-1] * rate).as_matrix()
    np.testing.assert_allclose(quaternion.matrix(attitude), expected, atol=1e-8)


def test_torques_of_the_rotors():
  reach, lever = HOVER.arm_length * np.sqrt(0.5), HOVER.torque_per_thrust
  # Front right, back right, back left, front left: thrust on the left rolls, at the back pitches down.
  expected = np.array(
    [[-reach, -reach, -lever], [-reach, reach, lever], [reach, reach, -lever], [reach, -reach, lever]]
  )
  np.testing.assert_allclose(jax.vmap(HOVER.torque)(jnp.eye(4)), expected, rtol=1e-12)
  np.testing.assert_allclose(HOVER.torque(jnp.full((4,), 0.1)), 0.0, atol=1e-16)
  for row, action in zip(expected, np.eye(4), strict=True):
    rate = fly(HOVER, physics_of(HOVER), action).physics.body.body_rate[0]
    np.testing.assert_array_equal(np.sign(rate), np.sign(row))


def test_thrust_follows_its_command_with_the_time_constant():
  command = HOVER.commanded_thrust(jnp.ones((4,)))
  thrust = fly(HOVER, physics_of(HOVER, thrust=0.0), 1.0).physics.thrust
  np.testing.assert_allclose(
    thrust, command[None] * (1.0 - np.exp(-TIME[:, None] / HOVER.motor_time_constant)), rtol=1e-12
  )
  swift = Quadrotor(motor_time_constant=1e-6)
  np.testing.assert_allclose(swift.advance(*physics_of(swift)[:2], command, 0.02)[1], command, rtol=1e-12)


def test_the_action_adds_its_share_of_the_hovering_thrust_and_is_clipped():
  for env, share in ((HOVER, 1.0), (Quadrotor(thrust_range=0.4), 0.4)):
    thrust = env.commanded_thrust(jnp.asarray([0.0, 0.5, -7.0, 7.0])) / env.hover_thrust
    np.testing.assert_allclose(thrust, [1.0, 1.0 + 0.5 * share, 1.0 - share, 1.0 + share], atol=1e-15)
  assert env.hover_thrust == 0.25 * env.mass * GRAVITY


def test_a_fall_with_drag_nears_its_terminal_velocity():
  env = Quadrotor(drag=0.1)
  speed = fly(env, physics_of(env, thrust=0.0), -1.0).physics.body.velocity[:, 2]
  terminal = env.mass * GRAVITY / env.drag
  np.testing.assert_allclose(speed, -terminal * (1.0 - np.exp(-env.drag / env.mass * TIME)), rtol=1e-6)
  np.testing.assert_allclose(speed[-1], -terminal, rtol=1e-3)


def test_full_roll_ends_at_a_bounded_rate():
  action = (-1.0, -1.0, 1.0, 1.0)
  rate = fly(HOVER, physics_of(HOVER), action).physics.body.body_rate
  torque = HOVER.torque(HOVER.commanded_thrust(jnp.asarray(action)))[0]
  np.testing.assert_allclose(rate[-1], [np.sqrt(torque / HOVER.rotational_drag), 0, 0], rtol=1e-3, atol=1e-9)
  assert 32.0 < rate[-1, 0] < 36.0


def test_nothing_depends_on_the_heading():
  start = jax.jit(HOVER.reset)(jax.random.key(2)).physics
  turn = jnp.asarray([np.cos(0.6), 0.0, 0.0, np.sin(0.6)])
  rotation = quaternion.matrix(turn)
  position, velocity, attitude, body_rate = start.body
  turned = Body(rotation @ position, rotation @ velocity, quaternion.multiply(turn, attitude), body_rate)
  actions = jax.random.uniform(jax.random.key(3), (NUM_STEPS, 4), minval=-1.0, maxval=1.0)
  states = flight(HOVER)(start, actions)
  others = flight(HOVER)(start._replace(body=turned), actions)
  np.testing.assert_allclose(others.obs, states.obs, atol=1e-10)
  np.testing.assert_allclose(others.reward, states.reward, rtol=1e-10)
  np.testing.assert_allclose(others.physics.body.position, states.physics.body.position @ rotation.T, atol=1e-10)


def test_the_gradient_is_that_of_central_differences():
  check_gradient(EIGHT, num_steps=8, tolerance=1e-6)


AWKWARD = {
  "at the target": {},
  "upside down": {"attitude": (0.0, 1.0, 0.0, 0.0)},
  "without thrust": {"thrust": 0.0},
  "far and fast": {"position": (300, -200, 100), "velocity": (20, -30, 10), "body_rate": (36, -36, 17)},
}


def test_derivatives_are_finite_everywhere():
  env = EIGHT

  def total(physics, action):
    state = env.step(env.step(env.start(physics), action), action)
    return state.reward + jnp.sum(state.obs)

  gradient = jax.jit(jax.grad(total, argnums=(0, 1)))
  for options in AWKWARD.values():
    for action in (0.0, 1.0, -1.0):
      derivative = gradient(physics_of(env, **options), jnp.full((4,), action))
      assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(derivative))


def test_far_away_the_reward_still_slopes_to_the_target():
  def reward(x):
    body = physics_of(HOVER).body._replace(position=x * jnp.asarray([1.0, 0.0, 0.0]))
    return tracking_reward(body, jnp.zeros((3,)), jnp.zeros((3,)))

  # The closed form: 0.4 d/dx (1 + 4 x^2)^(-1/2).
  for x in (0.0, 0.25, 2.0, 10.0):
    slope = jax.grad(reward)(x)
    np.testing.assert_allclose(slope, -1.6 * x * (1.0 + 4.0 * x**2) ** -1.5, rtol=1e-12)
  assert slope < -1e-3


def test_reward_at_hand_made_states():
  still = physics_of(HOVER).body
  for changes, expected in (
    ({}, 1.0),
    ({"position": (0, 0, -0.5 * np.sqrt(3.0))}, 0.8),
    ({"velocity": (np.sqrt(3.0), 0, 0)}, 0.9),
    ({"body_rate": (0, 5 * np.sqrt(3.0), 0)}, 0.9),
    ({"attitude": (np.sqrt(0.5), np.sqrt(0.5), 0, 0)}, 0.9),
    ({"attitude": (0, 0, 1, 0)}, 0.8),
    ({"attitude": (0, 0, 0, 1)}, 1.0),
  ):
    body = still._replace(**{name: jnp.asarray(value, float) for name, value in changes.items()})
    np.testing.assert_allclose(REWARD(body), expected, rtol=1e-12)


number = st.floats(-1e3, 1e3, allow_nan=False)
vector = st.lists(number, min_size=3, max_size=3)


@settings(max_examples=60)
@given(
  vector, vector, vector, st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: max(map(abs, q)) > 0.1)
)
def test_the_reward_is_within_zero_and_one(position, velocity, body_rate, attitude):
  body = Body(*(jnp.asarray(value, float) for value in (position, velocity, attitude, body_rate)))
  body = body._replace(attitude=quaternion.normalize(body.attitude))
  reward = REWARD(body)
  assert 0.0 < reward <= 1.0


REWARD = jax.jit(lambda body: tracking_reward(body, jnp.zeros((3,)), jnp.zeros((3,))))


def test_the_figure_of_eights_velocity_is_the_derivative_of_its_position():
  phase = jnp.linspace(0.0, 7.0, 30)
  slope = jax.vmap(jax.jacfwd(lambda phase: figure_eight.position(phase, 1.3)))(phase)
  np.testing.assert_allclose(figure_eight.velocity(phase, 1.3, 0.7), 0.7 * slope, rtol=1e-12, atol=1e-14)
  np.testing.assert_allclose(figure_eight.position(jnp.asarray([0.0, np.pi]), 1.3), 0.0, atol=1e-15)


def test_the_figure_of_eight_is_seen_ahead_and_moves_on():
  """The observation against scipy's rotation."""
  state = jax.jit(EIGHT.reset)(jax.random.key(5))
  body, thrust, phase = state.physics
  to_body = scipy_rotation(body.attitude).inv()
  later = figure_eight.position(phase + EIGHT.phase_rate * PREVIEW_TIMES, EIGHT.half_width)
  target, velocity = EIGHT.target(phase)
  expected = [
    *(to_body.apply(np.array(row)) for row in (target - body.position, velocity - body.velocity, [0.0, 0.0, 1.0])),
    body.body_rate,
    thrust / EIGHT.hover_thrust,
    *to_body.apply(np.array(later - body.position[None])),
  ]
  np.testing.assert_allclose(state.obs, np.concatenate(expected), atol=1e-12)
  assert state.obs.shape == (EIGHT.observation_size,)
  phases = fly(EIGHT, state.physics, 0.0).physics.phase
  np.testing.assert_allclose(phases, phase + 2.0 * np.pi * TIME / EIGHT.period, rtol=1e-12)


@pytest.mark.parametrize("env", [HOVER, EIGHT], ids=lambda env: env.task)
def test_starts_fill_their_range(env):
  physics = jax.jit(jax.vmap(lambda key: env.reset(key).physics))(jax.random.split(jax.random.key(0), 2000))
  target, target_velocity = env.target(physics.phase)
  position, velocity, attitude, rate = physics.body
  for error, width in ((position - target, 1.0), (velocity - target_velocity, 1.0), (rate, 2.0)):
    assert 0.98 * width < np.max(np.abs(error)) <= width
  np.testing.assert_allclose(np.sum(np.square(attitude), axis=1), 1.0, rtol=1e-12)
  up = jax.vmap(quaternion.up_axis)(attitude)
  assert 0.48 < np.min(up[:, 2]) < 0.55  # up to 45 degrees of roll and of pitch together
  heading = Rotation.from_matrix(jax.vmap(quaternion.matrix)(attitude)).as_euler("ZYX")[:, 0]
  assert np.ptp(heading) > 6.0
  envs.check(env)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"task": "race"}, r"env\.task: 'race' is not allowed; allowed: hover, figure_eight"),
    ({"mass": 0.0}, r"env\.mass: 0\.0 is not allowed"),
    ({"thrust_range": 1.5}, r"env\.thrust_range: 1\.5 is not allowed; allowed: a finite number > 0 and <= 1"),
    ({"drag": -0.1}, r"env\.drag: -0\.1 is not allowed"),
    ({"motor_time_constant": 0}, r"env\.motor_time_constant: 0 is not allowed"),
    ({"num_substeps": 0}, r"env\.num_substeps: 0 is not allowed"),
    ({"wings": 2}, r"env\.wings: quadrotor has no such parameter"),
  ],
)
def test_bad_parameters_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    envs.make("quadrotor", **options)
