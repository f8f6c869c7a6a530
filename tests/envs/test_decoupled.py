"""Values of the simulator, derivatives of the model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.decoupled import Decoupled
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.envs.wrappers import AutoReset, Batch, TimeLimit

PROBE = LinearQuadratic(start_noise=0.5, episode_length=4)


def exact(obs, action):
  position = PROBE.decay * obs + PROBE.gain * action
  return position, -jnp.sum(position**2) - PROBE.action_cost * jnp.sum(action**2)


def rewards_and_gradient(env):
  batch = Batch(AutoReset(TimeLimit(env)), 3)
  actions = 0.5 * jax.random.normal(jax.random.key(1), (6, 3, 1))

  @jax.jit
  def run(actions):
    def total(actions):
      def step(state, action):
        state = batch.step(state, action)
        return state, (state.current.reward, state.final_obs)

      _, (rewards, reached) = jax.lax.scan(step, batch.reset(jax.random.key(0)), actions)
      return jnp.sum(rewards) + jnp.sum(reached[-1] ** 2), rewards

    return jax.value_and_grad(total, has_aux=True)(actions)

  (_, rewards), gradient = run(actions)
  return rewards, gradient


def test_an_exact_model_gives_the_simulators_gradient():
  """Also over an episode's end, which no derivative crosses."""
  rewards, gradient = rewards_and_gradient(PROBE)
  found_rewards, found = rewards_and_gradient(Decoupled(PROBE, exact))
  np.testing.assert_array_equal(found_rewards, rewards)
  assert np.min(np.abs(gradient)) > 1e-3
  np.testing.assert_allclose(found, gradient, rtol=1e-12)


def test_a_model_that_says_nonsense_changes_no_value():
  rewards, _ = rewards_and_gradient(PROBE)
  found_rewards, found = rewards_and_gradient(Decoupled(PROBE, lambda obs, action: (obs + jnp.nan * action, obs[0])))
  np.testing.assert_array_equal(found_rewards, rewards)
  assert np.isnan(found).any()


@dataclasses.dataclass(frozen=True)
class OnTheHost(LinearQuadratic):
  """A simulator that JAX cannot differentiate."""

  def step(self, state, action):
    def simulate(position, action):
      return np.asarray(self.decay * position + self.gain * action)

    shape = jax.ShapeDtypeStruct(state.physics.shape, state.physics.dtype)
    position = jax.pure_callback(simulate, shape, state.physics, action, vmap_method="expand_dims")
    reward = -jnp.sum(position**2) - self.action_cost * jnp.sum(action**2)
    return state.replace(physics=position, obs=position, reward=reward)


def test_the_simulator_needs_no_derivative():
  rewards, gradient = rewards_and_gradient(PROBE)
  found_rewards, found = rewards_and_gradient(Decoupled(OnTheHost(start_noise=0.5, episode_length=4), exact))
  np.testing.assert_allclose(found_rewards, rewards, rtol=1e-12)
  np.testing.assert_allclose(found, gradient, rtol=1e-12)
