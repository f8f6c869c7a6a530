"""Mechanisms on Brax: rewards and ends at states made by hand, starts, gradients, bad input, pictures."""

import base64
import functools
import json
import re
import subprocess
import sys
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from gippo_jax import envs
from gippo_jax.envs.base import Renderable, Trajectory
from gippo_jax.envs.physics.engine import BACKENDS
from gippo_jax.envs.wrappers import vectorize

SIZES = {
  "cartpole_swing_up": (5, 1, 240),
  "ant": (37, 8, 1000),
  "hopper": (11, 3, 1000),
  "half_cheetah": (17, 6, 1000),
  "walker2d": (17, 6, 1000),
  "humanoid": (64, 17, 1000),
}


def test_brax_is_imported_only_when_it_is_needed():
  script = (
    "import envs, sys; envs.make('ackley', dimension=2); sys.exit('brax' in sys.modules or 'mujoco' in sys.modules)"
  )
  assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name):
  env = envs.make(name)
  assert (env.observation_size, env.action_size, env.episode_length) == SIZES[name]
  state = jax.eval_shape(env.reset, jax.random.key(0))
  reached = jax.eval_shape(env.step, state, jax.ShapeDtypeStruct((env.action_size,), float))
  assert reached.obs.shape == state.obs.shape == (env.observation_size,)
  assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), reached) == jax.tree.map(
    lambda leaf: (leaf.shape, leaf.dtype), state
  )


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_keeps_the_control_step(backend):
  for name in ("ant", "cartpole_swing_up"):
    engine = envs.make(name, backend=backend).engine
    np.testing.assert_allclose(engine.substeps * engine.system.opt.timestep, 1 / 60, rtol=1e-6)
  assert hash(envs.make("ant", backend=backend)) == hash(envs.make("ant", backend=backend))


@pytest.mark.parametrize(
  ("parameters", "message"),
  [
    ({"backend": "dflex"}, "env.backend: 'dflex' is not allowed; allowed: spring, generalized, positional, mjx"),
    ({"episode_length": 0}, "env.episode_length: 0 is not allowed; allowed: an integer >= 1"),
    ({"force": 1.0}, "env.force: ant has no such parameter; known: backend, episode_length"),
  ],
)
def test_bad_parameters(parameters, message):
  with pytest.raises(ValueError, match=message):
    envs.make("ant", **parameters)


def quaternion(axis, angle):
  return [np.cos(angle / 2), *(np.sin(angle / 2) * np.array(axis, float))]


def test_ant_at_a_state_made_by_hand():
  """Turned left by a quarter, so that it looks along +y, and spinning about its own forward axis."""
  env = envs.make("ant")
  joints, rates, action = np.arange(8) / 10, np.arange(8) + 1.0, np.arange(8) / 8
  q = jnp.array([5.0, 6.0, 0.5, *quaternion([0, 0, 1], np.pi / 2), *joints])
  qd = jnp.array([1.5, 2.5, 3.5, 2.0, 0.0, 0.0, *rates])
  expected = [0.5, *quaternion([0, 0, 1], np.pi / 2), 1.5, 2.5, 3.5, 0, 2, 0, *joints, *(0.1 * rates), 1, 0, *action]
  np.testing.assert_allclose(env.observe(q, qd, jnp.asarray(action)), expected, atol=1e-12)
  np.testing.assert_allclose(env.reward(q, qd, jnp.asarray(action)), 1.5 + 0.1 + 0.0 + 0.23, rtol=1e-9)
  upside_down = q.at[3:7].set(jnp.array(quaternion([1, 0, 0], np.pi)))
  np.testing.assert_allclose(env.reward(upside_down, qd, jnp.asarray(action)), 1.5 - 0.1 + 1.0 + 0.23, rtol=1e-9)
  assert [bool(env.has_fallen(q.at[2].set(height))) for height in (0.26, 0.28)] == [True, False]


@pytest.mark.parametrize("name", ["hopper", "walker2d"])
def test_hopper_at_states_made_by_hand(name):
  env = envs.make(name)
  joints = np.arange(env.action_size) / 10
  q, qd = jnp.array([3.0, -0.2, 0.1, *joints]), jnp.arange(3.0 + env.action_size)
  action = jnp.full(env.action_size, 0.5)
  np.testing.assert_allclose(env.observe(q, qd, action), [1.05, 0.1, *joints, *qd], atol=1e-12)

  def reward(height):
    return env.reward(q.at[1].set(height - 1.25), qd.at[0].set(2.0), action)

  rest = 2.0 + 1.0 - 0.1**2 / (np.pi / 6) ** 2 - 0.1 * 0.25 * env.action_size
  for height, pay in ((1.05, 0.1), (1.3, 0.3), (0.9, -200 * 0.05**2), (-0.5, -200.0)):
    np.testing.assert_allclose(reward(height), rest + pay, rtol=1e-9)
  assert [bool(env.has_fallen(q.at[1].set(height - 1.25))) for height in (0.79, 0.81)] == [True, False]


def test_an_explosion_is_a_step_that_failed():
  env = envs.make("cartpole_swing_up", backend="generalized")
  for speed, fails in ((49.0, False), (52.0, True)):
    state = env.start(jnp.array([0.0, 0.0]), jnp.array([speed, 0.0]))
    reached = jax.jit(env.step)(state, jnp.zeros((1,)))
    assert np.all(np.isnan(reached.obs)) == fails
    assert np.any(np.isnan(reached.obs)) == fails


def test_cartpole_at_states_made_by_hand():
  env = envs.make("cartpole_swing_up")
  qd, action = jnp.array([2.0, 3.0]), jnp.zeros(1)
  angle = np.pi - 0.5
  for turns in (-1, 0, 2):
    q = jnp.array([1.0, angle + 2 * np.pi * turns])
    np.testing.assert_allclose(env.observe(q, qd, action), [1, 2, np.sin(angle), np.cos(angle), 3], atol=1e-9)
    np.testing.assert_allclose(env.reward(q, qd, action), -(angle**2 + 0.9 + 0.05 + 0.4), rtol=1e-9)
  assert not env.has_fallen(q)


def test_humanoid_is_paid_for_standing():
  env = envs.make("humanoid")
  q, qd = jnp.array([0, 0, 1.4, 1, 0, 0, 0, *[0.0] * 17]), jnp.zeros(23)
  np.testing.assert_allclose(env.reward(q, qd, jnp.ones(17)), 0.1 + 1.0 + 1.0 - 0.034, rtol=1e-9)
  np.testing.assert_allclose(env.reward(q.at[2].set(0.8), qd, jnp.zeros(17)), 1.1 - 200 * 0.04**2, rtol=1e-9)


@pytest.mark.parametrize("name", SIZES)
def test_starts_fill_their_ranges(name):
  env = envs.make(name)
  q, qd = jax.jit(jax.vmap(env.draw_start))(jax.random.split(jax.random.key(0), 2000))
  position, velocity, middle = {
    "cartpole_swing_up": (np.full(2, np.pi / 2), 0.25, [0, -np.pi]),
    "half_cheetah": (np.full(9, 0.1), 0.25, np.zeros(9)),
  }.get(name, (np.full(env.action_size + 3, 0.05), 0.05, np.zeros(env.action_size + 3)))
  if name in ("ant", "humanoid"):
    turned = 2 * np.arccos(np.asarray(q[:, 3]))
    assert np.pi / 24 * 0.99 < turned.max() <= np.pi / 24 * (1 + 1e-6)
    np.testing.assert_allclose(np.linalg.norm(q[:, 3:7], axis=1), 1.0, rtol=1e-9)
    q = np.delete(q, [3, 4, 5, 6], axis=1)
    position, velocity = np.array([0.1] * 3 + [0.2] * env.action_size), 0.25
    middle = np.array([0, 0, env.start_height, *env.start_joints])
  for values, bound in ((np.asarray(q) - middle, position), (np.asarray(qd), velocity)):
    assert np.all(np.abs(values) <= bound)
    assert np.all(values.max(axis=0) > 0.98 * bound)
    assert np.all(np.abs(values.mean(axis=0)) < 4 * bound / np.sqrt(3 * 2000))


@functools.partial(jax.jit, static_argnums=0)
def returns_and_gradient(env, q, qd, actions):
  def total(actions):
    def step(state, action):
      state = env.step(state, action)
      return state, state.reward

    return jnp.sum(jax.lax.scan(step, env.start(q, qd), actions)[1])

  return jax.value_and_grad(total)(actions)


@pytest.mark.parametrize(
  ("name", "backend"),
  [
    ("cartpole_swing_up", "spring"),
    *(
      pytest.param(name, backend, marks=pytest.mark.slow)
      for name, backend in [
        ("cartpole_swing_up", "generalized"),
        ("cartpole_swing_up", "mjx"),
        ("cartpole_swing_up", "positional"),
        ("hopper", "spring"),
        ("ant", "spring"),
        ("ant", "mjx"),
      ]
    ),
  ],
)
def test_gradient_is_that_of_central_differences(name, backend):
  env = envs.make(name, backend=backend)
  q, qd = jax.jit(env.draw_start)(jax.random.key(3))
  actions = 0.2 * jax.random.normal(jax.random.key(4), (4, env.action_size))
  _, gradient = returns_and_gradient(env, q, qd, actions)
  assert np.all(np.isfinite(gradient))
  assert np.all(np.linalg.norm(gradient, axis=1) > 1e-4)
  direction, width = jax.random.normal(jax.random.key(5), actions.shape), 1e-6
  ahead, behind = (returns_and_gradient(env, q, qd, actions + sign * width * direction)[0] for sign in (1, -1))
  np.testing.assert_allclose(jnp.sum(gradient * direction), (ahead - behind) / (2 * width), rtol=1e-4)


@pytest.mark.parametrize(
  "name", ["cartpole_swing_up", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ant", "hopper", "humanoid"))]
)
def test_gradient_is_finite_at_the_model_s_own_posture(name):
  """At rest and exactly upright, where angles and norms have their corners; also by the actions -1 and 1."""
  env = envs.make(name)
  root = [0, 0, 1.0, 1, 0, 0, 0] if name in ("ant", "humanoid") else [0.0] * (1 if name == "cartpole_swing_up" else 3)
  q = jnp.array([*root, *[0.0] * env.action_size], float)
  actions = jnp.array(
    [[1.0] * env.action_size, [-1.0] * env.action_size, [0.0] * env.action_size, [0.5] * env.action_size]
  )
  size = env.engine.system.qd_size()
  _, gradient = returns_and_gradient(env, q, jnp.zeros(size), actions)
  assert np.all(np.isfinite(gradient))
  assert np.any(gradient[0] != 0)


def test_generalized_cartpole_obeys_the_equations_of_motion():
  """Momentum along the rail changes by the force alone; the pole by Lagrange's equations."""
  env = envs.make("cartpole_swing_up", backend="generalized")
  x, v = jnp.array([0.3, -2.4]), jnp.array([0.1, -0.2])
  state = jax.jit(env.start)(x, v)
  reached = jax.jit(env.step)(state, jnp.array([0.4]))
  for _ in range(4):
    angle, rate = x[1], v[1]
    mass = np.array([[11.0, 5.0 * np.cos(angle)], [5.0 * np.cos(angle), 10.0 / 12.0 + 2.5]])
    force = np.array([80.0 + 5.0 * rate**2 * np.sin(angle), 5.0 * 9.81 * np.sin(angle)])
    v = v + np.linalg.solve(mass, force) / 240
    x = x + v / 240
  np.testing.assert_allclose(reached.physics.q, x, rtol=1e-4)
  np.testing.assert_allclose(reached.physics.qd, v, rtol=1e-3)


def play(env, steps):
  """An episode in which nothing moves but the first coordinate, from 0 to 7."""
  actions = jnp.zeros((steps, env.action_size))
  start = jax.jit(env.reset)(jax.random.key(0))
  states = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], steps + 1, axis=0), start)
  states.physics.q[:, 0] = np.linspace(0.0, 7.0, steps + 1)
  return Trajectory(states, np.asarray(actions), np.ones(steps))


@pytest.mark.parametrize("name", ["cartpole_swing_up", pytest.param("hopper", marks=pytest.mark.slow)])
def test_pictures(name):
  env = envs.make(name)
  assert isinstance(env, Renderable)
  trajectory = play(env, 1200)
  text = env.page(trajectory, "<hop> & swing")
  assert "&lt;hop&gt; &amp; swing: 1200 steps" in text
  assert len(text) < 300_000
  data = re.search('var system = "([^"]+)"', text)[1]
  frames = json.loads(zlib.decompress(base64.b64decode(data)))["states"]["x"]
  assert len(frames) == 401
  np.testing.assert_allclose([frames[-1]["pos"][0][0], frames[0]["pos"][0][0]], [7.0, 0.0], atol=1e-3)
  figure = Figure()
  axes = figure.subplots()
  env.draw(axes, trajectory, 600)
  assert len(axes.patches) >= {"cartpole_swing_up": 2, "hopper": 4}[name]
  figure.canvas.draw()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ant", "hopper", "half_cheetah", "walker2d", "humanoid"])
def test_starts_survive_and_random_actions_stay_finite(name):
  batch = vectorize(envs.make(name), 32)

  def step(state, action):
    state = batch.step(state, action)
    return state, (state.current.reward, state.current.terminated)

  actions = jax.random.uniform(jax.random.key(1), (100, 32, batch.base.action_size), minval=-1.0, maxval=1.0)
  rewards, terminated = jax.jit(lambda key: jax.lax.scan(step, batch.reset(key), actions)[1])(jax.random.key(0))
  assert np.all(np.isfinite(rewards))
  assert np.max(np.abs(rewards)) < 400
  assert not np.any(terminated[:10])
