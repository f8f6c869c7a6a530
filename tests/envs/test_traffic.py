"""The pace car: values known beforehand, physics that must hold, both kinds of lane membership, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gippo_jax import envs
from gippo_jax.envs.traffic import PaceCar, road
from gippo_jax.envs.traffic.bicycle import Bicycle
from gippo_jax.envs.wrappers import TimeLimit

REASONS = ("collision", "out_of_lane", "too_far", "behind")


@functools.partial(jax.jit, static_argnums=0)
def rollout(env, state, actions):
  """States after each action, `[T, ...]`."""

  def step(state, action):
    state = env.step(state, action)
    return state, state

  return jax.lax.scan(step, state, actions)[1]


def total_reward(env, state, actions):
  return jnp.sum(rollout(env, state, actions).reward)


@functools.partial(jax.jit, static_argnums=0)
def gradient_of_return(env, state, actions):
  return jax.grad(total_reward, argnums=2)(env, state, actions)


def start(env, lane=0, **changes):
  """Start of an episode with fields of the physics replaced; `pace_car` is (x, y, heading, speed)."""
  return _start(env, jnp.asarray(lane, jnp.int32), changes)


@functools.partial(jax.jit, static_argnums=0)
def _start(env, lane, changes):
  state = env.start(lane)
  if "pace_car" in changes:
    changes["pace_car"] = Bicycle(*jnp.asarray(changes["pace_car"], jnp.float64))
    changes["lane"] = road.lane_of(changes["pace_car"].x, changes["pace_car"].y, env.num_lanes)
  physics = state.physics.replace(**changes)
  return state.replace(physics=physics, obs=env.observe(physics))


@pytest.mark.parametrize(
  ("scenario", "cases"),
  [
    (
      "a",
      [
        ((0, 0), 47.596, 1000, None),
        ((0, 1), 17.115, 220, "too_far"),
        ((0, -1), 28.637, 77, "collision"),
        ((1, 1), 12.045, 40, "out_of_lane"),
        ((-1, 1), 12.045, 40, "out_of_lane"),
      ],
    ),
    ("e", [((0, 0), 13.423, 95, "behind"), ((0, 1), 11.293, 222, None), ((0, -1), 12.429, 68, None)]),
  ],
)
def test_returns_of_constant_actions(scenario, cases):
  """Values of the authors' simulator."""
  env = TimeLimit(PaceCar(scenario))
  actions = jnp.asarray([[action] * 1000 for action, *_ in cases], jnp.float64)
  states = jax.vmap(lambda actions: rollout(env, jax.jit(env.reset)(jax.random.key(3)), actions))(actions)
  for index, (_, expected, length, reason) in enumerate(cases):
    done = np.maximum(states.terminated, states.truncated)[index] > 0
    assert np.argmax(done) + 1 == length
    np.testing.assert_allclose(np.sum(states.reward[index, :length]), expected, atol=6e-4)
    assert states.truncated[index, length - 1] == float(length == 1000)
    if reason:
      assert getattr(states.physics.inner, reason)[index, length - 1] == 1.0
      assert states.reward[index, length - 1] == -1.0


def test_the_start_and_its_only_random_quantity():
  env = PaceCar("c")
  states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 3000))
  counts = np.bincount(np.asarray(states.physics.lane), minlength=3)
  assert np.all(np.abs(counts - 1000) < 4 * np.sqrt(3000 * 2 / 9))
  car = states.physics.pace_car
  np.testing.assert_array_equal(car.y, 4.0 * np.asarray(states.physics.lane))
  np.testing.assert_array_equal(np.unique(car.x), [70.0])
  np.testing.assert_array_equal(np.unique(states.physics.x, axis=0), [[[0.0, 10.0, 20.0]] * 3])
  for zero in (car.heading, car.speed, states.physics.speed, states.reward, states.terminated, states.truncated):
    np.testing.assert_array_equal(zero, np.zeros_like(zero))


def test_observation():
  env = PaceCar("b")
  state = start(env, x=jnp.array([[1.0, 2.0], [3.0, 4.0]]), speed=jnp.array([[5.0, 6.0], [7.0, 8.0]]))
  state = start(env, x=state.physics.x, speed=state.physics.speed, pace_car=(10.0, 3.0, np.pi / 6, -2.0))
  assert env.observation_size == 20
  expected = [0, -9, -8, -7, -6, 0, -3, -3, 1, 1, -np.sqrt(3), 5, 6, 7, 8, -1, 0, 0, 0, 0]
  np.testing.assert_allclose(state.obs, expected, atol=1e-15)


def test_nothing_moves_a_pace_car_without_action_and_the_follower_stops_behind_it():
  env = PaceCar("a")
  states = rollout(env, start(env), jnp.zeros((1000, 2)))
  car = states.physics.pace_car
  np.testing.assert_array_equal([car.x[-1], car.y[-1], car.heading[-1], car.speed[-1]], [50.0, 0.0, 0.0, 0.0])
  gap = 50.0 - 5.0 - states.physics.x[:, 0, 0]
  assert np.all(gap > 0.0)
  np.testing.assert_allclose(gap[-1], env.idm.minimum_gap, atol=0.05)
  assert states.physics.speed[-1, 0, 0] < 0.01
  assert np.max(states.physics.speed) > 10.0


def test_a_platoon_at_constant_speed_stays_so():
  """Pace car and followers at 10 m/s in equilibrium gaps: reward 1 for ever."""
  env = PaceCar(num_lanes=1, vehicles_per_lane=4)
  spacing = 5.0 + (1.5 + 10.0 * 0.4) / np.sqrt(1 - 0.5**4)
  x = spacing * jnp.arange(4.0)[None]
  state = start(env, x=x, speed=jnp.full((1, 4), 10.0), pace_car=(4 * spacing, 0.0, 0.0, 10.0))
  states = rollout(env, state, jnp.zeros((300, 2)))
  np.testing.assert_allclose(states.reward, 1.0, rtol=1e-10)
  np.testing.assert_allclose(states.physics.x[-1], x + 90.0, rtol=1e-10)


def test_a_free_vehicle_keeps_its_target_speed():
  env = PaceCar("b")
  states = rollout(env, start(env, speed=jnp.full((2, 2), 20.0)), jnp.zeros((20, 2)))
  np.testing.assert_allclose(states.physics.speed[:, 1, 1], 20.0, atol=1e-7)  # front vehicle of the other lane


FREE = PaceCar(num_lanes=2, vehicles_per_lane=3)


@settings(max_examples=40)
@given(data=st.data())
def test_vehicles_neither_overlap_nor_reverse_from_any_start(data):
  """IDM vehicles at least 1 m apart (a step at 20 m/s is 0.6 m), whatever the pace car does around them."""
  draw = data.draw
  gaps = np.array(draw(st.lists(st.floats(1.0, 40.0), min_size=6, max_size=6))).reshape(2, 3)
  speed = np.array(draw(st.lists(st.floats(0.0, 20.0), min_size=6, max_size=6))).reshape(2, 3)
  x = np.cumsum(gaps + 5.0, axis=1)
  car = (draw(st.floats(0.0, 140.0)), draw(st.floats(-1.9, 5.9)), draw(st.floats(-0.5, 0.5)), draw(st.floats(-5, 30)))
  state = start(FREE, x=jnp.asarray(x), speed=jnp.asarray(speed), pace_car=car)
  actions = np.random.default_rng(draw(st.integers(0, 99))).uniform(-1.2, 1.2, (120, 2))
  states = rollout(FREE, state, jnp.asarray(actions))
  assert np.all(states.physics.speed >= 0.0)
  assert np.all(np.diff(states.physics.x, axis=2) >= 5.0)
  assert np.all(np.isfinite(states.obs))


@pytest.mark.parametrize("membership", ["hard", "soft"])
def test_mirrored_lanes_give_mirrored_episodes(membership):
  env = PaceCar("c", lane_membership=membership)
  actions = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (60, 2)) * [0.3, 1.0])
  x = 9.0 + 10.0 * jnp.tile(jnp.arange(3.0), (3, 1))
  first = rollout(env, start(env, x=x, pace_car=(50.0, 8.0, -0.2, 10.0)), actions)
  second = rollout(env, start(env, x=x, pace_car=(50.0, 0.0, 0.2, 10.0)), actions * jnp.array([[-1.0, 1.0]]))
  np.testing.assert_allclose(first.reward, second.reward, rtol=1e-9)
  np.testing.assert_allclose(first.physics.x, second.physics.x[:, ::-1], rtol=1e-9)
  np.testing.assert_allclose(first.physics.pace_car.y, 8.0 - second.physics.pace_car.y, rtol=1e-9)
  for reason in REASONS:
    np.testing.assert_array_equal(getattr(first.physics, reason), getattr(second.physics, reason))
  assert np.any(first.physics.lane != 2)  # a lane change is part of it


def test_unusable_actions_do_no_harm():
  env = PaceCar("b")
  actions = jnp.full((12, 2), 0.1).at[1, 0].set(jnp.nan).at[2, 1].set(jnp.inf).at[3].set(jnp.nan)
  states = rollout(env, start(env, pace_car=(70.0, 0.5, 0.1, 5.0)), actions)
  np.testing.assert_array_equal(states.physics.replaced_actions, [0, 1, 2] + [4] * 9)
  assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(states))
  assert np.all(np.isfinite(gradient_of_return(env, start(env), actions)))
  clean = rollout(env, start(env, pace_car=(70.0, 0.5, 0.1, 5.0)), jnp.nan_to_num(actions, nan=0.0, posinf=1.0))
  np.testing.assert_array_equal(states.obs, clean.obs)


def test_soft_gradients_are_finite_from_random_states():
  """The golden traces show it for hard membership."""
  rng = np.random.default_rng(0)
  largest = 0.0
  for _ in range(60):
    x = np.sort(rng.uniform(0, 40, (2, 2)), axis=1)  # some overlap
    car = (rng.uniform(-3, 60), rng.uniform(-3, 7), rng.uniform(-1, 1), rng.uniform(-50, 50))
    state = start(soft(), x=jnp.asarray(x), speed=jnp.asarray(rng.uniform(0, 20, (2, 2))), pace_car=car)
    gradient = gradient_of_return(soft(), state, jnp.asarray(rng.uniform(-1.5, 1.5, (12, 2))))
    assert np.all(np.isfinite(gradient))
    largest = max(largest, np.max(np.abs(gradient)))
  assert largest > 1e-3


def test_a_failure_in_the_last_step_is_a_failure():
  env = TimeLimit(PaceCar("a", episode_length=40))
  states = rollout(env, jax.jit(env.reset)(jax.random.key(0)), jnp.ones((40, 2)))
  assert (states.reward[-1], states.terminated[-1], states.truncated[-1]) == (-1.0, 1.0, 0.0)
  assert states.physics.inner.out_of_lane[-1] == 1.0


def test_a_failure_has_no_gradient():
  env = PaceCar("a")
  state = start(env, pace_car=(3.0, 0.0, 0.0, 1.0), x=jnp.array([[1.0]]), speed=jnp.array([[5.0]]))
  reached = jax.jit(env.step)(state, jnp.array([0.1, 0.2]))
  assert (reached.reward, reached.terminated, reached.physics.collision) == (-1.0, 1.0, 1.0)
  assert not np.any(gradient_of_return(env, state, jnp.array([[0.1, 0.2]])))


def test_gradient_passes_where_the_error_is_exactly_one():
  """A vehicle that is still at rest has error 1, on the bound; its speed's derivative must not be lost there."""
  env = PaceCar("a")
  # At this gap a vehicle at rest neither starts nor stops: its acceleration is 0.
  state = start(env, pace_car=(5.0 + env.idm.minimum_gap, 0.0, 0.0, 0.0))

  def reward(shift):
    car = state.physics.pace_car
    physics = state.physics.replace(pace_car=car._replace(x=car.x + shift))
    return env.step(state.replace(physics=physics), jnp.zeros(2)).reward

  value, slope = jax.jit(jax.value_and_grad(reward))(0.0)
  assert value == 0.0
  np.testing.assert_allclose(slope, 0.1 * 0.03 * 35.0 * 2.0 / 1.5, rtol=1e-12)


def soft(softness=2.0):
  return PaceCar("b", lane_membership="soft", lane_softness=softness)


def test_soft_membership_becomes_hard():
  actions = jnp.asarray(np.random.default_rng(2).uniform(-1, 1, (80, 2)) * [0.4, 1.0] + [0.06, 0.3])
  at = {"x": start(PaceCar("b")).physics.x + 15.0, "pace_car": (60.0, 0.2, 0.1, 10.0)}
  hard = rollout(PaceCar("b"), start(PaceCar("b"), **at), actions)
  assert set(np.asarray(hard.physics.lane)) >= {0, 1}
  errors = []
  for softness in (2.0, 0.2, 1e-6):
    states = rollout(soft(softness), start(soft(softness), **at), actions)
    errors.append(np.max(np.abs(states.physics.x - hard.physics.x)))
  assert errors[0] > errors[1] > 100 * errors[2]
  assert errors[2] < 1e-12


def test_soft_membership_shows_steering_what_hard_hides():
  at = {"pace_car": (40.0, 1.0, 0.0, 10.0), "speed": jnp.full((2, 2), 5.0)}
  actions = jnp.zeros((12, 2))
  hard = gradient_of_return(PaceCar("b"), start(PaceCar("b"), **at), actions)
  np.testing.assert_allclose(hard[:, 0], 0.0, atol=1e-15)
  assert np.all(hard[:8, 1] != 0.0)
  state = start(soft(), **at)
  gradient = gradient_of_return(soft(), state, actions)
  assert np.all(np.abs(gradient[:9, 0]) > 1e-9)
  step = 1e-5
  for t in (0, 5):
    shift = jnp.zeros((12, 2)).at[t, 0].set(step)
    difference = total_reward(soft(), state, actions + shift) - total_reward(soft(), state, actions - shift)
    np.testing.assert_allclose(gradient[t, 0], difference / (2 * step), rtol=1e-5)


def test_a_pace_car_in_the_middle_of_a_lane_is_alike_in_both():
  actions = jnp.stack([jnp.zeros(80), jnp.linspace(-1, 1, 80)], axis=1)
  hard, smooth = (rollout(env, start(env, lane=1), actions) for env in (PaceCar("b"), soft()))
  np.testing.assert_allclose(smooth.physics.x, hard.physics.x, rtol=1e-14)


def test_float32_stays_float32():
  env = PaceCar("b", lane_membership="soft")
  state = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.float64 else leaf, start(env))
  states = rollout(env, state, jnp.full((100, 2), 0.1, jnp.float32))
  assert {leaf.dtype.name for leaf in jax.tree.leaves(states)} == {"float32", "int32"}
  exact = rollout(env, start(env), jnp.full((100, 2), np.float64(np.float32(0.1))))
  np.testing.assert_allclose(states.reward, exact.reward, atol=1e-5)


def test_no_array_is_larger_than_all_pairs_of_vehicles():
  env = PaceCar(num_lanes=6, vehicles_per_lane=7)
  state = jax.eval_shape(env.reset, jax.random.key(0))
  jaxpr = jax.make_jaxpr(env.step)(state, jnp.zeros(2))
  largest = max(np.prod(variable.aval.shape) for equation in jaxpr.eqns for variable in equation.outvars)
  assert largest <= 6 * 7 * 7


@pytest.mark.parametrize(
  ("parameters", "message"),
  [
    ({"scenario": "f"}, r"env\.scenario: 'f' is not allowed; allowed: a, b, c, d, e"),
    ({"scenario": 3}, r"env\.scenario: 3 is not allowed"),
    ({"scenario": "b", "num_lanes": 3}, r"env\.num_lanes: 3 is not allowed; allowed: 2 with scenario 'b'"),
    ({"num_lanes": 0}, r"env\.num_lanes: 0 is not allowed; allowed: an integer >= 1"),
    ({"vehicles_per_lane": 0}, r"env\.vehicles_per_lane: 0 is not allowed; allowed: an integer >= 1"),
    ({"vehicles_per_lane": 2.0}, r"env\.vehicles_per_lane: 2\.0 is not allowed"),
    ({"lane_membership": "fuzzy"}, r"env\.lane_membership: 'fuzzy' is not allowed; allowed: hard, soft"),
    ({"lane_softness": 2.5}, r"env\.lane_softness: 2\.5 is not allowed; allowed: a finite number > 0 and <= 2"),
    ({"lane_softness": 0.0}, r"env\.lane_softness: 0\.0 is not allowed"),
    ({"time_step": 0.0}, r"env\.time_step: 0\.0 is not allowed; allowed: a finite number > 0"),
    ({"time_step": float("nan")}, r"env\.time_step: nan is not allowed"),
    ({"time_step": float("inf")}, r"env\.time_step: inf is not allowed"),
    ({"time_step": "0.03"}, r"env\.time_step: '0\.03' is not allowed"),
    ({"episode_length": 0}, r"env\.episode_length: 0 is not allowed"),
    ({"lanes": 2}, r"env\.lanes: pace_car has no such parameter; known: scenario, num_lanes"),
  ],
)
def test_make_says_what_is_allowed(parameters, message):
  with pytest.raises(ValueError, match=message):
    envs.make("pace_car", **parameters)


def test_sizes():
  for scenario, lanes, vehicles in (("a", 1, 1), ("b", 2, 4), ("c", 3, 9), ("d", 4, 16), ("e", 10, 10)):
    env = envs.make("pace_car", scenario=scenario)
    assert isinstance(env, envs.Environment)
    assert (env.num_lanes, env.num_vehicles, env.action_size) == (lanes, vehicles, 2)
    assert (env.observation_size, env.episode_length, env.differentiable) == (4 * vehicles + 4, 1000, True)
  assert envs.make("pace_car", num_lanes=2, vehicles_per_lane=2).num_vehicles == 4
  assert hash(PaceCar("a")) == hash(PaceCar("a"))
