"""Closed-form cart-pole: accelerations, energy, reward, start, gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.envs.physics.cartpole import GRAVITY, Cartpole, CartpolePhysics, observe
from gippo_jax.envs.physics.cartpole_walls import CartpoleWalls
from gippo_jax.envs.physics.swing_up import swing_up_reward, wrap_angle

ENV = Cartpole()


def physics_of(*values):
  return CartpolePhysics(*(jnp.asarray(value, float) for value in values))


def roll(env, physics, actions):
  """Physics and rewards of every step."""

  def step(state, action):
    state = env.step(state, action)
    return state, (state.physics, state.reward)

  return jax.lax.scan(step, env.start(physics), actions)[1]


def test_accelerations_at_rest():
  """A level pole falls like a rod on a fixed hinge; a hanging or upright one turns because its cart is pushed."""
  acceleration, angular = ENV.accelerations(physics_of(0, np.pi / 2, 0, 0), jnp.zeros(()))
  np.testing.assert_allclose(angular, GRAVITY / (ENV.half_length * 4 / 3))
  np.testing.assert_allclose(acceleration, 0.0, atol=1e-12)
  for angle in (0.0, np.pi):
    acceleration, angular = ENV.accelerations(physics_of(0, angle, 0, 0), jnp.asarray(6.0))
    # Newton and the rod's moment about its centre: x'' (M - 3/4 m) = F, with M the total mass.
    np.testing.assert_allclose(acceleration, 6.0 / (1.2 - 0.75 * 0.2), rtol=1e-12)
    np.testing.assert_allclose(angular, -np.cos(angle) * 0.75 * acceleration / 0.5, rtol=1e-12)


def test_a_free_cartpole_keeps_its_energy_and_its_momentum():
  env = Cartpole(num_substeps=64)
  physics = physics_of(0.3, 2.0, 0.4, -1.0)
  states, _ = jax.jit(lambda actions: roll(env, physics, actions))(jnp.zeros((240, 1)))
  energy = jax.vmap(env.energy)(states)
  scale = env.pole_mass * GRAVITY * env.half_length
  assert np.max(np.abs(energy - env.energy(physics))) < 5e-3 * scale
  momentum = 1.2 * states.velocity + 0.1 * jnp.cos(states.angle) * states.angular_velocity
  np.testing.assert_allclose(momentum, 1.2 * 0.4 + 0.1 * np.cos(2.0) * -1.0, atol=5e-3)
  # The error is the integrator's: of first order in its step.
  coarse, _ = jax.jit(lambda actions: roll(Cartpole(num_substeps=16), physics, actions))(jnp.zeros((240, 1)))
  drift = [np.max(np.abs(jax.vmap(env.energy)(path) - env.energy(physics))) for path in (coarse, states)]
  assert 3.0 < drift[0] / drift[1] < 5.0


def test_reward_at_hand_made_states():
  assert swing_up_reward(*physics_of(0, 0, 0, 0)) == 0.0
  np.testing.assert_allclose(swing_up_reward(*physics_of(2, 0, 0, 0)), -0.2)
  np.testing.assert_allclose(swing_up_reward(*physics_of(0, 2 * np.pi + 0.5, 1, 3)), -(0.25 + 0.1 + 0.9), rtol=1e-12)
  np.testing.assert_allclose(swing_up_reward(*physics_of(0, -np.pi, 0, 0)), -(np.pi**2), rtol=1e-12)


def test_the_wrapped_angle_has_derivative_one_on_both_sides():
  for angle in (-7.0, -3.2, 0.4, 3.1, 3.2, 20.0):
    wrapped, slope = jax.value_and_grad(wrap_angle)(angle)
    assert abs(wrapped) <= np.pi
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * angle))
    assert slope == 1.0


def test_starts_fill_their_range():
  physics = jax.jit(jax.vmap(lambda key: ENV.reset(key).physics))(jax.random.split(jax.random.key(0), 4000))
  half = np.pi / 2
  for values, centre, width in zip(physics, (0, -np.pi, 0, 0), (half, half, 0.25, 0.25), strict=True):
    assert np.all(np.abs(values - centre) <= width)
    assert np.max(values) > centre + 0.98 * width
    assert np.min(values) < centre - 0.98 * width
    np.testing.assert_allclose(np.mean(values), centre, atol=0.05 * width)


def test_mirrored_actions_give_the_mirrored_motion():
  actions = jax.random.uniform(jax.random.key(1), (50, 1), minval=-1, maxval=1)
  states, rewards = roll(ENV, physics_of(0.2, 2.5, -0.1, 0.3), actions)
  mirrored, mirrored_rewards = roll(ENV, physics_of(-0.2, -2.5, 0.1, -0.3), -actions)
  np.testing.assert_allclose(jnp.stack(mirrored), -jnp.stack(states), rtol=1e-9, atol=1e-12)
  np.testing.assert_allclose(mirrored_rewards, rewards, rtol=1e-9)


def test_the_action_is_a_share_of_the_force_and_is_clipped():
  physics = physics_of(0.1, 1.0, 0, 0)
  full = ENV.step(ENV.start(physics), jnp.ones((1,)))
  np.testing.assert_array_equal(ENV.step(ENV.start(physics), jnp.full((1,), 5.0)).obs, full.obs)
  half_force = Cartpole(force=10.0).step(ENV.start(physics), jnp.ones((1,)))
  np.testing.assert_allclose(half_force.obs, ENV.step(ENV.start(physics), jnp.full((1,), 0.5)).obs, rtol=1e-12)
  np.testing.assert_array_equal(full.obs, observe(full.physics))


def test_the_gradient_is_that_of_central_differences():
  actions = 0.8 * jnp.sin(jnp.arange(32.0))[:, None]
  physics = physics_of(0.2, -2.9, 0.1, 0.2)

  @jax.jit
  def total(actions):
    return jnp.sum(roll(ENV, physics, actions)[1])

  gradient = jax.grad(total)(actions)
  step = 1e-5
  basis = np.eye(32)[:, :, None] * step
  differences = [(total(actions + move) - total(actions - move)) / (2 * step) for move in basis]
  assert np.min(np.abs(gradient)) > 1e-3
  np.testing.assert_allclose(gradient[:, 0], differences, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"pole_mass": 0.0}, r"env\.pole_mass: 0\.0 is not allowed"),
    ({"force": float("inf")}, r"env\.force: inf is not allowed"),
    ({"num_substeps": 0}, r"env\.num_substeps: 0 is not allowed"),
    ({"mass": 1.0}, r"env\.mass: cartpole has no such parameter"),
  ],
)
def test_bad_parameters_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    envs.make("cartpole", **options)


def test_elastic_walls_turn_the_cart_round_and_keep_the_energy():
  """Broken by a wall that pulls, and by one on one side only."""
  env = CartpoleWalls(num_substeps=64)
  states, _ = jax.jit(lambda actions: roll(env, physics_of(0.9, np.pi, 2.0, 0.0), actions))(jnp.zeros((240, 1)))
  energy = np.asarray(jax.vmap(env.energy)(states))
  depth = np.asarray(jax.vmap(env.depth)(states))
  assert depth.max() > 5e-3
  assert depth.min() < -5e-3
  assert np.max(np.abs(states.position)) < 1.03  # v sqrt(M / k)
  assert np.max(np.abs(energy - energy[0])) < 0.02 * (energy[0] + GRAVITY * 0.1)


def test_free_of_walls_it_is_the_cart_pole():
  env, physics = CartpoleWalls(wall=2.0), physics_of(0.3, 2.0, 0.4, -1.0)
  free, contact = Cartpole().accelerations(physics, jnp.ones(())), env.accelerations(physics, jnp.ones(()))
  np.testing.assert_array_equal(free, contact)
  position = jax.jit(jax.vmap(lambda key: env.reset(key).physics.position))(jax.random.split(jax.random.key(0), 2000))
  assert 0.98 < np.max(np.abs(position)) <= 1.0


def test_a_wall_that_the_integration_does_not_bear_is_refused():
  with pytest.raises(ValueError, match=r"env.stiffness: 1000000.0 is not allowed; .* <= 230400"):
    envs.make("cartpole_walls", stiffness=1e6)
  with pytest.raises(ValueError, match=r"env.wall: 0 is not allowed"):
    envs.make("cartpole_walls", wall=0)


def episode_of(env, controller, physics):
  """Return and states of an episode under `controller(physics)`."""

  def step(state, _):
    state = env.step(state, controller(state.physics)[None])
    return state, (state.physics, state.reward)

  _, (states, rewards) = jax.lax.scan(step, env.start(physics), None, env.episode_length)
  return jnp.sum(rewards), states


def pump(physics):
  """Pushes against the swing of the pole until it has the energy of an upright one; keeps the cart near the middle."""
  lacking = 1.05 - jnp.cos(physics.angle) - physics.angular_velocity**2 * 0.5 * (4.0 / 3.0) * 0.5 / GRAVITY
  swing = -jnp.sign(physics.angular_velocity * jnp.cos(physics.angle)) * jnp.clip(3.0 * lacking, -1.0, 1.0)
  return jnp.clip(swing - 0.1 * physics.position - 0.1 * physics.velocity, -1.0, 1.0)


def test_scripted_controllers_show_that_the_task_can_be_done_and_not_by_force():
  """An energy pump reaches the top; doing nothing and pushing with full force do not come near its return."""
  controllers = {"pump": pump, "nothing": lambda physics: jnp.zeros(()), "force": lambda physics: jnp.ones(())}
  hanging = physics_of(0.0, -np.pi + 0.1, 0.0, 0.0)
  found = {name: jax.jit(lambda c=c: episode_of(ENV, c, hanging))() for name, c in controllers.items()}
  assert jnp.max(jnp.cos(found["pump"][1].angle)) > 0.99
  assert jnp.max(jnp.cos(found["nothing"][1].angle)) < -0.99
  assert found["nothing"][0] == pytest.approx(-240 * np.pi**2, rel=0.05)
  assert found["pump"][0] > 0.6 * found["nothing"][0]
  assert found["pump"][0] > 0.6 * found["force"][0]
  _, states = jax.jit(lambda: episode_of(CartpoleWalls(), pump, hanging))()  # between walls it can be done too
  assert jnp.max(jnp.cos(states.angle)) > 0.99


def test_actions_of_an_untrained_policy_show_more_than_doing_nothing():
  """White noise of the first policy's deviation over 16 starts: the pole swings, and some episodes beat action zero."""
  starts = jax.vmap(lambda key: ENV.reset(key).physics)(jax.random.split(jax.random.key(0), 16))
  noise = jnp.tanh(np.exp(-1.0) * jax.random.normal(jax.random.key(1), (16, 240, 1)))
  states, rewards = jax.jit(jax.vmap(lambda physics, actions: roll(ENV, physics, actions)))(starts, noise)
  _, idle = jax.jit(jax.vmap(lambda physics: roll(ENV, physics, jnp.zeros((240, 1)))))(starts)
  better = jnp.sum(rewards, axis=1) > jnp.sum(idle, axis=1)
  assert 4 <= jnp.sum(better) <= 15
  assert jnp.max(jnp.cos(states.angle)) > 0.3
