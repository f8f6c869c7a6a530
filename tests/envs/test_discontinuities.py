"""Problems with jumps: their physics by hand, and where they jump."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.envs.discontinuities import BallOverWall, DoublePendulum, Friction, MomentumTransfer, Pushing, Tennis
from gippo_jax.envs.discontinuities.double_pendulum import GRAVITY, DoublePendulumPhysics, energy
from gippo_jax.envs.discontinuities.tennis import TennisPhysics
from gippo_jax.envs.discontinuities.two_bodies import TwoBodiesPhysics

KEY = jax.random.key(0)


@pytest.mark.parametrize(
  "name", ["ball_over_wall", "momentum_transfer", "pushing", "friction", "tennis", "double_pendulum"]
)
def test_the_contract_is_kept(name):
  envs.check(envs.make(name))


def test_a_ball_lands_drops_at_the_wall_or_clears_it():
  env = BallOverWall()
  for angle, distance in ((0.2, np.sin(0.4) / 9.81), (0.5, 0.06), (0.85, np.sin(1.7) / 9.81), (1.2, 0.06)):
    np.testing.assert_allclose(env.cost(jnp.asarray(angle)), -(distance**2), rtol=1e-12)
  assert jax.grad(env.cost)(0.5) == 0.0  # the plateau on which descent by derivatives stops
  np.testing.assert_allclose(jax.grad(env.cost)(0.2), -2 * np.sin(0.4) * 2 * np.cos(0.4) / 9.81**2, rtol=1e-12)
  state = env.step(env.reset(KEY), jnp.array([0.2]))
  np.testing.assert_allclose(state.reward, -env.cost(jnp.asarray(0.1 * np.pi)), rtol=1e-12)


def test_momentum_is_lost_beyond_45_degrees():
  env = MomentumTransfer()
  costs = [float(env.cost(jnp.asarray(angle))) for angle in (-0.5, 0.5, 0.78, 0.79, 1.0)]
  np.testing.assert_allclose(
    costs, [-(np.sin(0.5) ** 2), -(np.sin(0.5) ** 2), -(np.sin(0.78) ** 2), 0.0, 0.0], rtol=1e-12
  )


def test_the_spring_pushes_both_bodies_and_the_push_one():
  env = Pushing(stiffness=10.0, damping=0.01)
  physics = TwoBodiesPhysics(jnp.array([0.2, 1.1]), jnp.array([0.3, -0.1]))
  reached = env.advance(physics, jnp.asarray(0.5))
  # 10 N/m times 0.1 m, for 5 ms on 0.1 kg.
  velocity = 0.99 * np.array([0.3 + 0.05 * (0.5 - 1.0), -0.1 + 0.05 * 1.0])
  np.testing.assert_allclose(reached.velocity, velocity, rtol=1e-12)
  np.testing.assert_allclose(reached.position, [0.2 + 0.005 * velocity[0], 1.1 + 0.005 * velocity[1]], rtol=1e-12)
  apart = env.advance(TwoBodiesPhysics(jnp.array([0.0, 1.2]), jnp.zeros(2)), jnp.zeros(()))
  np.testing.assert_array_equal(apart.velocity, 0.0)
  cost = 0.1 * (1 - reached.position[0]) ** 2 + 10 * (2 - reached.position[1]) ** 2 + 0.1 * np.sum(velocity**2) + 0.25
  np.testing.assert_allclose(env.cost(reached, jnp.asarray(0.5)), cost, rtol=1e-12)


def test_friction_sticks_slips_and_ends():
  env = Friction()

  def forces(positions, velocities):
    return float(env.contact(TwoBodiesPhysics(jnp.asarray(positions), jnp.asarray(velocities))))

  assert forces([0.0, 0.0], [0.05, 0.0]) == pytest.approx(0.09)
  assert forces([0.0, 0.0], [3.0, 0.0]) == pytest.approx(0.18)
  assert forces([0.0, 0.05], [0.0, 3.0]) == pytest.approx(-0.18)
  assert forces([0.11, 0.0], [3.0, 0.0]) == 0.0
  physics, push = env.begin(), jnp.asarray(1.0)
  for _ in range(60):
    physics = env.advance(physics, push)
  # Together they have what the push gave; pulled too hard, the second one was lost with the friction's share.
  np.testing.assert_allclose(0.1 * jnp.sum(physics.velocity), 60 * 0.005, rtol=1e-12)
  assert physics.position[0] - physics.position[1] > 0.1


def test_the_ball_bounces_off_the_paddle_and_passes_beside_it():
  env = Tennis()

  def after(x, angle):
    physics = TennisPhysics(
      jnp.array([x, 0.22]), jnp.array([0.3, -1.0]), jnp.array([0.0, 0.0, angle]), jnp.zeros((), jnp.int32)
    )
    return env.advance(physics, jnp.array([1.0, 0.0, 0.0]))

  bounced, passed, tilted = after(0.0, 0.0), after(1.2, 0.0), after(0.0, 0.1)
  np.testing.assert_allclose(bounced.velocity, [0.999 * 0.3, 0.8], rtol=1e-12)
  np.testing.assert_array_equal(bounced.paddle, 0.0)  # it stands while it is hit
  np.testing.assert_allclose(passed.velocity, [0.999 * 0.3, -0.999], rtol=1e-12)
  np.testing.assert_allclose(passed.paddle, [0.05, 0.0, 0.0], rtol=1e-12)
  turn = np.array([[np.cos(0.1), np.sin(0.1)], [-np.sin(0.1), np.cos(0.1)]])
  along, across = turn @ [0.3, -1.0]
  np.testing.assert_allclose(turn @ np.asarray(tilted.velocity), [0.999 * along, -0.8 * across], rtol=1e-12)


def test_tennis_is_judged_by_its_last_step():
  env = Tennis(episode_length=3)
  state = env.reset(KEY)
  rewards = []
  for _ in range(3):
    state = env.step(state, jnp.array([0.5, 0.0, 0.0]))
    rewards.append(float(state.reward))
  np.testing.assert_allclose(rewards[:2], -1e-3, rtol=1e-12)
  distance = np.sum((np.asarray(state.physics.position) - [0.0, 2.5]) ** 2)
  end = 100 * distance + 10 * np.sum(np.asarray(state.physics.velocity) ** 2) + 1e-3
  np.testing.assert_allclose(rewards[2], -end, rtol=1e-12)
  starts = jax.vmap(env.begin)(jax.random.split(KEY, 2000))
  np.testing.assert_allclose(jnp.mean(starts.position, axis=0), [1.0, 2.0], atol=0.1)
  np.testing.assert_allclose(starts.velocity, -0.2 * starts.position, atol=0.06)


def swing(physics, num_steps, time_step):
  """A double pendulum without torque; `num_steps` may be traced."""
  env, torque = DoublePendulum(), jnp.zeros(())
  return jax.lax.fori_loop(0, num_steps, lambda _, now: env.advance(now, torque, time_step), physics)


def test_a_double_pendulum_keeps_its_energy_to_the_order_of_the_integration():
  """Half the step, a sixteenth of the path's error, as long as chaos has not grown it."""
  start = DoublePendulumPhysics(jnp.array([2.0, 2.5]), jnp.array([1.0, -2.0]))
  after = jax.jit(lambda num_steps, seconds: swing(start, num_steps, seconds / num_steps))
  np.testing.assert_allclose(energy(after(2000, 2.0)), energy(start), rtol=1e-9)
  fine, coarse, exact = (jnp.concatenate(after(num_steps, 0.5)) for num_steps in (50, 25, 1600))
  ratio = jnp.linalg.norm(coarse - exact) / jnp.linalg.norm(fine - exact)
  assert 13.0 < ratio < 20.0


def test_small_swings_of_a_double_pendulum_have_its_two_frequencies():
  """`w^2 = g (2 -+ sqrt 2)` for equal masses and lengths, in the shapes `(1, +-sqrt 2)`."""
  for sign in (1.0, -1.0):
    start = 1e-5 * jnp.array([1.0, sign * np.sqrt(2.0)])
    frequency = np.sqrt(GRAVITY * (2.0 - sign * np.sqrt(2.0)))
    reached = jax.jit(swing)(DoublePendulumPhysics(start, jnp.zeros(2)), 700, 0.001)
    np.testing.assert_allclose(reached.angle, start * np.cos(0.7 * frequency), atol=1e-12)


def test_a_torque_turns_the_upper_rod_and_the_highest_place_costs_nothing():
  env = DoublePendulum(angle=0.0, torque=4.0, num_substeps=1)
  state = env.step(env.reset(KEY), jnp.array([7.0]))  # clipped to 1
  # Hanging at rest the mass matrix is [[2, 1], [1, 1]], whose inverse is [[1, -1], [-1, 2]].
  np.testing.assert_allclose(state.physics.rate, 0.001 * np.array([4.0, -4.0]), rtol=1e-4)
  np.testing.assert_allclose(state.reward, -16.0, rtol=1e-5)
  up = DoublePendulumPhysics(jnp.array([np.pi, -np.pi]), jnp.zeros(2))
  np.testing.assert_allclose(env.cost(up), 0.0, atol=1e-15)


@pytest.mark.parametrize("env", [Pushing(), Pushing(stiffness=1000.0, damping=0.01), Friction()])
def test_derivatives_of_a_window_are_those_of_central_differences(env):
  actions = 0.2 + 0.1 * jax.random.normal(KEY, (32, 1))

  @jax.jit
  def total(scale):
    def step(state, action):
      state = env.step(state, scale * action)
      return state, state.reward

    return jnp.sum(jax.lax.scan(step, env.reset(KEY), actions)[1])

  difference = (total(1.0 + 1e-6) - total(1.0 - 1e-6)) / 2e-6
  slope = jax.grad(total)(1.0)
  assert abs(slope) > 1e-3
  np.testing.assert_allclose(slope, difference, rtol=1e-6)


@pytest.mark.parametrize(
  ("name", "parameters", "message"),
  [
    ("pushing", {"damping": 1.5}, r"env.damping: 1.5 is not allowed; allowed: a finite number > 0 and <= 1"),
    ("pushing", {"mass": 1.0}, r"env.mass: pushing has no such parameter; known: stiffness, damping, force"),
    ("friction", {"slip": -1.0}, r"env.slip: -1.0 is not allowed"),
    ("double_pendulum", {"torque": 0.0}, r"env.torque: 0.0 is not allowed"),
    ("tennis", {"episode_length": 0}, r"env.episode_length: 0 is not allowed"),
    ("ball_over_wall", {"height": 0.0}, r"env.height: 0.0 is not allowed"),
  ],
)
def test_a_parameter_out_of_range_is_named(name, parameters, message):
  with pytest.raises(ValueError, match=message):
    envs.make(name, **parameters)
