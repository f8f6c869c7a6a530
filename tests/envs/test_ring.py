"""The ring road: equilibrium, the stop-and-go wave, reward and observation, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gippo_jax import envs
from gippo_jax.envs.traffic import Ring, idm

DRIVERS = Ring(control="idm")
CONTROLLED = Ring()


@functools.partial(jax.jit, static_argnums=0)
def reset(env, seed):
  return env.reset(jax.random.key(seed))


@functools.partial(jax.jit, static_argnums=0)
def start(env, circumference, displacement, speed):
  return env.start(circumference, displacement, speed)


@functools.partial(jax.jit, static_argnums=(0, 3))
def rollout(env, state, actions, every=1):
  """States after each action, thinned."""

  def step(state, action):
    state = env.step(state, action)
    return state, state

  states = jax.lax.scan(step, state, actions)[1]
  return jax.tree.map(lambda leaf: leaf[every - 1 :: every], states)


def equilibrium(circumference, displacement=0.0):
  """Uniform flow at its equilibrium speed; the displacement is a sine of one period."""
  speed = jax.jit(idm.equilibrium_speed)(DRIVERS.idm, jnp.asarray(circumference / 22 - 5.0))
  shape = jnp.asarray(np.sin(2 * np.pi * np.arange(22) / 22))
  return start(DRIVERS, jnp.asarray(circumference), displacement * shape, jnp.full((22,), speed)), speed


@pytest.mark.parametrize("circumference", [220.0, 260.0])
def test_uniform_flow_runs_at_the_equilibrium_speed(circumference):
  state, speed = equilibrium(circumference)
  states = rollout(DRIVERS, state, jnp.zeros((200, 1)), 50)
  np.testing.assert_allclose(states.physics.speed, speed, rtol=1e-9)
  np.testing.assert_allclose(states.reward, 0.2 * speed, rtol=1e-9)


def test_flow_from_rest_reaches_the_equilibrium_speed():
  state, speed = equilibrium(230.0)
  state = start(DRIVERS, jnp.asarray(230.0), jnp.zeros(22), jnp.zeros(22))
  states = rollout(DRIVERS, state, jnp.zeros((600, 1)), 600)
  np.testing.assert_allclose(states.physics.speed[-1], speed, rtol=1e-3)


def test_a_small_perturbation_grows_into_a_stop_and_go_wave():
  state, speed = equilibrium(230.0, displacement=0.01)
  states = rollout(DRIVERS, state, jnp.zeros((6000, 1)), 600)
  deviation = np.std(states.physics.speed, axis=1)
  assert np.all(deviation[1:5] > 2.0 * deviation[:4])
  assert deviation[-1] > 2.0
  assert np.min(states.physics.speed[-1]) < 0.1  # somebody stands
  assert np.mean(states.physics.speed[-1]) < 0.75 * speed
  assert not np.any(states.terminated)


def test_a_roomy_ring_is_far_more_stable():
  dense, roomy = (
    rollout(DRIVERS, equilibrium(circumference, displacement=0.01)[0], jnp.zeros((1200, 1)), 600).physics.speed.std(1)
    for circumference in (220.0, 400.0)
  )
  assert dense[1] / dense[0] > 2.0 * roomy[1] / roomy[0]


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_drivers_neither_collide_nor_reverse_and_the_ring_stays_closed(seed):
  state = reset(DRIVERS, seed)
  states = rollout(DRIVERS, state, jnp.zeros((600, 1)), 20)
  assert np.all(states.physics.speed >= 0.0)
  assert not np.any(states.terminated)
  distances = jax.jit(jax.vmap(DRIVERS.distances))(states.physics)
  assert np.all(distances > 5.0)
  np.testing.assert_allclose(np.sum(distances, axis=1), state.physics.circumference, rtol=1e-12)


def test_reset_draws_circumference_and_places():
  states = jax.jit(jax.vmap(CONTROLLED.reset))(jax.random.split(jax.random.key(0), 500))
  circumference = np.asarray(states.physics.circumference)
  assert 220.0 <= circumference.min() < 225.0
  assert 265.0 < circumference.max() <= 270.0
  even = circumference[:, None] * np.arange(22) / 22
  displacement = np.asarray(states.physics.position) - even
  assert 0.95 < np.max(np.abs(displacement)) <= 1.0
  np.testing.assert_array_equal(states.physics.speed, np.zeros((500, 22)))


def test_observation_and_reward():
  env = Ring(max_acceleration=2.0)
  speed = jnp.linspace(3.0, 6.0, 22)
  state = start(env, jnp.asarray(264.0), jnp.zeros(22), speed)
  np.testing.assert_allclose(state.obs, [3.0 / 15, (speed[1] - 3.0) / 15, 12.0 / 270.0], rtol=1e-12)
  reached = jax.jit(env.step)(state, jnp.array([-0.5]))
  np.testing.assert_allclose(reached.physics.speed[0], 3.0 - 0.1 * 1.0, rtol=1e-12)
  np.testing.assert_allclose(reached.reward, 0.2 * np.mean(reached.physics.speed) - 4.0 * 1.0, rtol=1e-12)


def test_a_collision_ends_the_episode_without_reward():
  env = CONTROLLED
  states = rollout(env, start(env, jnp.asarray(230.0), jnp.zeros(22), jnp.zeros(22)), jnp.ones((300, 1)))
  first = int(np.argmax(states.terminated))
  assert first > 0
  assert states.terminated[first] == states.physics.collision[first] == 1.0
  assert states.reward[first] == 0.0
  assert env.distances(jax.tree.map(lambda leaf: leaf[first], states.physics))[0] < 5.0


def test_unusable_actions_do_no_harm_and_gradients_are_finite():
  env = CONTROLLED
  state = reset(env, 0)
  actions = jnp.full((60, 1), 0.3).at[3].set(jnp.nan).at[5].set(-jnp.inf)
  states = rollout(env, state, actions)
  assert states.physics.replaced_actions[-1] == 2
  assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(states))
  gradient = jax.jit(jax.grad(lambda actions: jnp.sum(rollout(env, state, actions).reward)))(actions)
  assert np.all(np.isfinite(gradient))
  assert np.all(gradient[:3] != 0.0)
  assert gradient[3] == gradient[5] == 0.0


def test_the_action_of_a_ring_of_drivers_does_nothing():
  state = reset(DRIVERS, 0)
  step = jax.jit(DRIVERS.step)
  first, second = (step(state, jnp.array([action])) for action in (0.0, 1.0))
  np.testing.assert_array_equal(first.obs, second.obs)
  assert first.reward == second.reward


@pytest.mark.parametrize(
  ("parameters", "message"),
  [
    ({"num_vehicles": 0}, r"env\.num_vehicles: 0 is not allowed; allowed: an integer >= 1"),
    ({"num_vehicles": 1}, r"env\.num_vehicles: 1 is not allowed; allowed: an integer >= 2"),
    ({"num_vehicles": 32}, r"env\.num_vehicles: 32 is not allowed; allowed: at most 31, which fit"),
    (
      {"max_circumference": 200.0},
      r"env\.max_circumference: 200\.0 is not allowed; allowed: at least min_circumference",
    ),
    ({"min_circumference": -1.0}, r"env\.min_circumference: -1\.0 is not allowed; allowed: a finite number > 0"),
    ({"time_step": float("nan")}, r"env\.time_step: nan is not allowed"),
    ({"control": "human"}, r"env\.control: 'human' is not allowed; allowed: acceleration, idm"),
    ({"episode_length": -1}, r"env\.episode_length: -1 is not allowed"),
  ],
)
def test_make_says_what_is_allowed(parameters, message):
  with pytest.raises(ValueError, match=message):
    envs.make("ring", **parameters)


def test_environment_contract():
  env = envs.make("ring")
  assert isinstance(env, envs.Environment)
  assert (env.observation_size, env.action_size, env.episode_length, env.differentiable) == (3, 1, 3000, True)
  assert envs.make("ring", num_vehicles=31).num_vehicles == 31
