"""The parts the traffic environments are made of: driver model, lanes, leaders, bicycle, bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from gippo_jax.envs.traffic import idm, road
from gippo_jax.envs.traffic.bicycle import MAX_STEERING, Bicycle, bicycle_step
from gippo_jax.envs.traffic.limits import at_least, at_most, usable_action
from gippo_jax.envs.traffic.pace_car import PAPER_IDM
from gippo_jax.envs.traffic.ring import FLOW_IDM

each_model = pytest.mark.parametrize("parameters", [PAPER_IDM, FLOW_IDM], ids=["paper", "flow"])


def numpy_acceleration(p, speed, gap, approach):
  root = 2.0 * np.sqrt(p.max_acceleration * p.comfortable_deceleration)
  desired = max(p.minimum_gap + speed * p.time_headway + speed * approach / root, p.least_desired_gap)
  return p.max_acceleration * (1.0 - (speed / p.target_speed) ** p.exponent - (desired / gap) ** 2)


@each_model
def test_acceleration_follows_the_definition(parameters):
  rng = np.random.default_rng(0)
  speed, gap, approach = rng.uniform(0, 25, 200), rng.uniform(0.5, 60, 200), rng.uniform(-60, 30, 200)
  expected = [numpy_acceleration(parameters, *values) for values in zip(speed, gap, approach, strict=True)]
  result = idm.acceleration(parameters, jnp.asarray(speed), jnp.asarray(gap), jnp.asarray(approach))
  np.testing.assert_allclose(result, expected, rtol=1e-12)
  assert np.any(idm.desired_gap(parameters, jnp.asarray(speed), jnp.asarray(approach)) == parameters.least_desired_gap)


@each_model
def test_a_platoon_at_equilibrium_neither_accelerates_nor_brakes(parameters):
  speed = jnp.linspace(0.0, 0.95, 20) * parameters.target_speed
  gap = idm.equilibrium_gap(parameters, speed)
  np.testing.assert_allclose(idm.acceleration(parameters, speed, gap, jnp.zeros(20)), 0.0, atol=1e-12)
  np.testing.assert_allclose(idm.equilibrium_speed(parameters, gap), speed, atol=1e-12)
  assert idm.equilibrium_speed(parameters, jnp.asarray(0.9 * parameters.minimum_gap)) < 1e-12


def test_parameters_can_be_traced():
  def gap(headway):
    return idm.equilibrium_gap(PAPER_IDM.replace(time_headway=headway), jnp.asarray(10.0))

  np.testing.assert_allclose(jax.grad(gap)(0.4), 10.0 / np.sqrt(1 - 0.5**4), rtol=1e-12)


def test_a_stop_is_exact_and_forgets():
  value, slopes = jax.value_and_grad(lambda v, a: idm.next_speed(v, a, 0.03), argnums=(0, 1))(3.0, -150.0)
  assert value == 0.0
  assert slopes == (0.0, 0.0)


def test_derivatives_at_equality_pass():
  np.testing.assert_array_equal(jax.vmap(jax.grad(lambda x: at_least(x, 1.0)))(jnp.array([0.9, 1.0, 1.1])), [0, 1, 1])
  np.testing.assert_array_equal(jax.vmap(jax.grad(lambda x: at_most(x, 1.0)))(jnp.array([0.9, 1.0, 1.1])), [1, 1, 0])


def test_unusable_actions_are_replaced_and_counted():
  action, replaced = usable_action(jnp.array([jnp.nan, jnp.inf, -jnp.inf, 0.3, -7.0, 1.0]))
  np.testing.assert_array_equal(action, [0.0, 1.0, -1.0, 0.3, -1.0, 1.0])
  assert replaced == 3
  slopes = jax.grad(lambda a: jnp.sum(usable_action(a)[0]))(jnp.array([jnp.nan, jnp.inf, -jnp.inf, 0.3, -7.0, 1.0]))
  np.testing.assert_array_equal(slopes, [0, 0, 0, 1, 0, 1])


def numpy_lane(x, y, num_lanes):
  distance = np.abs(y - 4.0 * np.arange(num_lanes)) + max(-x, 0.0) + max(x - 1e6, 0.0)
  return np.argmin(distance) if np.min(distance) < 2.0 else -1


def test_lanes_follow_the_definition_borders_included():
  borders = 2.0 + 4.0 * np.arange(-1, 11)
  lateral = np.concatenate([borders, np.nextafter(borders, -99), np.nextafter(borders, 99), np.linspace(-5, 45, 97)])
  for num_lanes in (1, 3, 10):
    for x in (0.0, 50.0, -1.5, -2.0, 1e6 + 0.5):
      result = road.lane_of(jnp.full(lateral.shape, x), jnp.asarray(lateral), num_lanes)
      np.testing.assert_array_equal(result, [numpy_lane(x, y, num_lanes) for y in lateral])


@settings(max_examples=60)
@given(
  x=hypothesis_numpy.arrays(np.float64, (3, 5), elements=st.integers(0, 8).map(float)),
  speed=hypothesis_numpy.arrays(np.float64, (3, 5), elements=st.integers(0, 80).map(lambda v: 0.25 * v)),
)
def test_leaders_follow_the_definition_in_any_order_and_with_ties(x, speed):
  distance, approach = jax.jit(road.leaders_in_lane)(x, speed)
  for lane in range(3):
    for i in range(5):
      others = [j for j in range(5) if j != i and x[lane, j] >= x[lane, i]]
      if not others:
        assert (distance[lane, i], approach[lane, i]) == (road.FREE_GAP + road.VEHICLE_LENGTH, 0.0)
        continue
      leader = min(others, key=lambda j: (x[lane, j], j))
      assert distance[lane, i] == x[lane, leader] - x[lane, i]
      assert approach[lane, i] == speed[lane, i] - speed[lane, leader]


def test_derivatives_reach_the_leader_and_nobody_else():
  x = jnp.array([[0.0, 30.0, 10.0, 20.0]])
  jacobian = jax.jit(jax.jacobian(lambda x: road.leaders_in_lane(x, x)[0]))(x)[0, :, 0]
  np.testing.assert_array_equal(jacobian, [[-1, 0, 1, 0], [0, 0, 0, 0], [0, 0, -1, 1], [0, 1, 0, -1]])


def test_the_gap_has_a_floor_without_slope():
  value, slope = jax.vmap(jax.value_and_grad(road.bumper_gap))(jnp.array([4.0, 6.0]))
  np.testing.assert_allclose(value, [1e-3, 1.0])
  np.testing.assert_array_equal(slope, [0.0, 1.0])


@settings(max_examples=60)
@given(y=st.floats(0.0, 16.0), softness=st.floats(1e-3, 2.0))
def test_soft_weights_share_the_pace_car_among_neighbours(y, softness):
  weights = road.lane_weights(jnp.asarray(y), 5, softness)
  assert np.all((weights >= 0.0) & (weights <= 1.0))
  np.testing.assert_allclose(np.sum(weights), 1.0, rtol=1e-9)
  if abs(y - 2.0) > softness and y < 4.0:
    np.testing.assert_allclose(weights[0], float(y < 2.0), atol=1e-9)


def drive(state, steering, acceleration, num_steps):
  step = jax.jit(lambda state: bicycle_step(state, steering, acceleration, 0.03))
  for _ in range(num_steps):
    state = step(state)
  return state


@pytest.mark.parametrize("speed", [-3.0, 0.0, 12.0])
@pytest.mark.parametrize("steering", [0.0, 0.2])
def test_without_acceleration_the_speed_is_conserved(speed, steering):
  start = Bicycle(*jnp.array([1.0, 2.0, 0.3, speed]))
  end = drive(start, steering, 0.0, 50)
  assert end.speed == speed
  if steering == 0.0:
    assert end.heading == start.heading
    np.testing.assert_allclose(end.x, 1.0 + 1.5 * speed * np.cos(0.3), rtol=1e-12)
    np.testing.assert_allclose(end.y, 2.0 + 1.5 * speed * np.sin(0.3), rtol=1e-12)
  else:
    slip = np.arctan(0.5 * np.tan(steering))
    np.testing.assert_allclose(end.heading, 0.3 + 1.5 * speed * np.sin(slip) / 2.5, rtol=1e-12)


def test_one_step_follows_the_definition():
  x, y, heading, speed, steering, acceleration = 5.0, -1.0, 0.4, 9.0, MAX_STEERING, -3.0
  slip = np.arctan(0.5 * np.tan(20 * np.pi / 180))
  expected = [
    x + speed * np.cos(heading + slip) * 0.03,
    y + speed * np.sin(heading + slip) * 0.03,
    heading + speed * np.sin(slip) / 2.5 * 0.03,
    speed + acceleration * 0.03,
  ]
  state = bicycle_step(Bicycle(*jnp.array([x, y, heading, speed])), steering, acceleration, 0.03)
  np.testing.assert_allclose(state, expected, rtol=1e-13)


@pytest.mark.parametrize(
  ("speed", "acceleration", "effective"), [(45.0, -8.0, -5.0), (45.0, 8.0, 8.0), (-45.0, 8.0, 5.0), (39.0, -8.0, -8.0)]
)
def test_the_swapped_speed_limit_is_kept(speed, acceleration, effective):
  state = drive(Bicycle(*jnp.array([0.0, 0.0, 0.0, speed])), 0.0, acceleration, 1)
  np.testing.assert_allclose(state.speed, speed + 0.03 * effective, rtol=1e-14)
