"""Brax's environments behind our contract, and ours behind Brax's."""

import dataclasses

import brax.envs
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.envs.point_mass import PointMass
from gippo_jax.errors import UserError
from gippo_jax.programs.probe import probe_gradients
from tests.envs.test_wrappers import Scripted
from tests.stepping import GRADIENT_CONFIG, check_gradient, run, total_reward


class Slide(brax.envs.Env):
  """A point on a line; ends when it leaves [-1, 1]. Careless, as such code may be: it writes into its own input, mixes
  types and ranks, and returns Python numbers."""

  observation_size = 2
  action_size = 2
  backend = "none"

  def __init__(self, obs="vector"):
    self.obs = obs

  def reset(self, rng):
    if rng.dtype != jnp.uint32:
      raise TypeError("a key of the old kind was expected")
    position = jax.random.uniform(rng, (1,), minval=-0.5, maxval=0.5)
    info = {"rng": rng, "count": 0}
    return brax.envs.State(position, self._observe(position, 0), 0.0, 0.0, {"force": jnp.zeros(())}, info)

  def step(self, state, action):
    state.info["count"] += 1
    position = state.pipeline_state + jnp.float32(0.3) * jnp.tanh(action).sum() - 0.1 * state.pipeline_state**3
    state.metrics["force"] = action[0]
    reward = 1.0 - position[0] ** 2 - 0.1 * (action**2).sum()
    done = jnp.abs(position[0]) > 1.0
    return state.replace(
      pipeline_state=position, obs=self._observe(position, state.info["count"]), reward=reward, done=done
    )

  def _observe(self, position, count):
    vector = jnp.concatenate([position, jnp.ones(1, jnp.float32) * count])
    if self.obs == "vector":
      return vector
    if self.obs == "pixels":
      return jnp.zeros((4, 4, 3)) + position
    return {"state": vector, "privileged_state": position, "pixels/view_0": jnp.zeros((4, 4, 3))}


# From Brax.


def test_a_brax_environment_step_by_step():
  inner = Slide()
  env = envs.from_brax(inner, episode_length=7)
  assert (env.observation_size, env.action_size, env.episode_length) == (2, 2, 7)
  assert isinstance(env, envs.Environment)
  key = jax.random.key(4)
  actions = jax.random.uniform(jax.random.key(5), (12, 2), minval=-1.0, maxval=1.0)
  states = run(env, env.reset(key), actions)
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    state = inner.reset(jax.random.key_data(key))
    for t, action in enumerate(actions):
      state = inner.step(state, action)
      np.testing.assert_allclose(states.obs[t], state.obs, rtol=1e-12)
      np.testing.assert_allclose(states.reward[t], state.reward, rtol=1e-12)
      assert states.terminated[t] == state.done
  np.testing.assert_array_equal(states.truncated, np.zeros(12))


def test_a_step_does_not_write_into_the_state_it_was_given():
  env = envs.from_brax(Slide())
  start = env.reset(jax.random.key(0))
  first = env.step(start, jnp.array([0.2, 0.1]))
  again = env.step(start, jnp.array([0.2, 0.1]))
  assert start.physics.info["count"] == 0
  assert start.physics.metrics["force"] == 0.0
  jax.tree.map(np.testing.assert_array_equal, first, again)


def test_types_do_not_change_from_reset_to_step():
  env = envs.from_brax(Slide())
  start = env.reset(jax.random.key(0))
  types = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), start)
  assert types == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), env.step(start, jnp.zeros(2)))
  assert start.obs.dtype == start.reward.dtype == jnp.float64


def test_actions_are_clipped():
  env = envs.from_brax(Slide())
  start = env.reset(jax.random.key(0))
  beyond, edge = env.step(start, jnp.array([5.0, -7.0])), env.step(start, jnp.array([1.0, -1.0]))
  jax.tree.map(np.testing.assert_array_equal, beyond, edge)


def test_ends_and_fresh_starts_of_a_brax_environment():
  """Pushed to one side it ends early; left alone it is cut by our time limit; every start is new."""
  env = envs.vectorize(envs.from_brax(Slide(), episode_length=5), 2)
  actions = jnp.zeros((12, 2, 2)).at[:, 0].set(1.0)
  states = run(env, env.reset(jax.random.key(0)), actions)
  pushed, left = states.done.T
  np.testing.assert_array_equal(left, states.current.truncated[:, 1])
  np.testing.assert_array_equal(np.nonzero(left)[0], [4, 9])
  np.testing.assert_array_equal(pushed, states.current.terminated[:, 0])
  ends = np.nonzero(pushed)[0]
  assert len(ends) >= 2
  assert np.all(np.abs(states.final_obs[ends, 0, 0]) > 1.0)
  np.testing.assert_allclose(states.final_obs[ends[0], 0, 1], ends[0] + 1)
  starts = np.concatenate([states.current.obs[ends, 0], states.current.obs[[4, 9], 1]])
  assert np.all(np.abs(starts[:, 0]) < 0.5)
  assert np.unique(starts[:, 0]).size == len(starts)
  np.testing.assert_array_equal(starts[:, 1], 0.0)


def test_gradient_of_a_brax_environment():
  check_gradient(envs.from_brax(Slide()), 6, tolerance=1e-6)
  probe_gradients(envs.from_brax(Slide()), GRADIENT_CONFIG)


def test_the_state_of_a_dict_of_observations_is_seen():
  env = envs.from_brax(Slide("dict"))
  vector = envs.from_brax(Slide())
  assert env.observation_size == 2
  np.testing.assert_array_equal(env.reset(jax.random.key(1)).obs, vector.reset(jax.random.key(1)).obs)
  privileged = dataclasses.replace(env, observation="privileged_state")
  assert privileged.observation_size == 1
  with pytest.raises(ValueError, match=r"env\.observation: 'pixels/view_0' .* which are: privileged_state, state$"):
    dataclasses.replace(env, observation="pixels/view_0")
  with pytest.raises(ValueError, match=r"has observations of shape \(4, 4, 3\); allowed: vectors"):
    envs.from_brax(Slide("pixels"))


@pytest.mark.parametrize("wrapper", ["AutoResetWrapper", "VmapWrapper", "EpisodeWrapper"])
def test_brax_training_wrappers_are_refused(wrapper):
  from brax.envs.wrappers import training

  arguments = (10, 1) if wrapper == "EpisodeWrapper" else ()
  wrapped = brax.envs.Wrapper(getattr(training, wrapper)(Slide(), *arguments))
  with pytest.raises(ValueError, match=f"env: {wrapper} is not allowed"):
    envs.from_brax(wrapped)


def test_other_brax_wrappers_are_kept():
  class Doubled(brax.envs.Wrapper):
    def step(self, state, action):
      state = self.env.step(state, action)
      return state.replace(reward=2.0 * state.reward)

  once, twice = envs.from_brax(Slide()), envs.from_brax(Doubled(Slide()))
  key, action = jax.random.key(0), jnp.array([0.1, 0.2])
  np.testing.assert_allclose(twice.step(twice.reset(key), action).reward, 2 * once.step(once.reset(key), action).reward)


@pytest.mark.parametrize(
  ("name", "parameters", "message"),
  [
    ("brax:cow", {}, r"env\.name: 'brax:cow' is unknown; known: brax:ant, brax:fast"),
    ("brax:ant", {"legs": 3}, r"env\.legs: brax:ant has no such parameter; known: episode_length, ctrl_cost_weight"),
    ("brax:ant", {"backend": "ode"}, r"env\.backend: 'ode' is not allowed; allowed: spring, generalized"),
    ("brax:swimmer", {"backend": "spring"}, r"env\.backend: 'spring' is not allowed; allowed: generalized$"),
    ("brax:ant", {"iterations": 1}, r"env\.iterations: 1 is not allowed; allowed: with env.backend=mjx only"),
    ("brax:fast", {"episode_length": 0}, r"env\.episode_length: 0 is not allowed"),
    ("box:ant", {}, r"env\.name: there is no module 'box', of 'box:ant'; allowed: MODULE:NAME"),
    ("brax", {}, r"env\.name: 'brax' is unknown"),
  ],
)
def test_what_brax_names_and_parameters_are_allowed(name, parameters, message):
  with pytest.raises(ValueError, match=message):
    envs.make(name, **parameters)


def test_no_brax_environment():
  with pytest.raises(ValueError, match=r"env: LinearQuadratic is not a brax\.envs\.Env"):
    envs.from_brax(LinearQuadratic())


def test_brax_by_name():
  env = envs.make("brax:fast", episode_length=12)
  assert (env.name, env.episode_length) == ("brax:fast", 12)
  batch = envs.vectorize(env, 3)
  states = run(batch, batch.reset(jax.random.key(0)), jnp.zeros((2, 3, env.action_size)))
  assert states.current.obs.shape == (2, 3, env.observation_size)
  with pytest.raises(UserError, match=r"needs the gradient of brax:fast, but over 4 random steps the gradient .* zero"):
    probe_gradients(env, GRADIENT_CONFIG)


@pytest.mark.slow
def test_a_brax_robot():
  env = envs.make("brax:hopper", episode_length=20)
  assert env.inner.backend == "spring"
  check = jax.jit(jax.grad(lambda actions: total_reward(env, jax.random.key(0), actions)))
  gradient = check(jnp.full((6, env.action_size), 0.2))
  assert np.all(np.isfinite(gradient))
  assert np.all(gradient != 0.0)


@pytest.mark.slow
def test_the_probe_says_what_makes_mjx_differentiable():
  with pytest.raises(UserError) as caught:
    probe_gradients(envs.make("brax:inverted_double_pendulum", backend="mjx"), GRADIENT_CONFIG)
  advice = "try env.iterations=1, or env.backend: spring, generalized, positional; allowed: lr, ppo, "
  assert advice in str(caught.value)
  probe_gradients(envs.make("brax:inverted_double_pendulum", backend="mjx", iterations=1), GRADIENT_CONFIG)


# To Brax.


@pytest.mark.parametrize("env", [PointMass(), LinearQuadratic(start_noise=0.5)])
def test_our_environment_as_a_brax_environment_and_back(env):
  exported = envs.to_brax(env)
  back = envs.from_brax(exported, env.episode_length)
  assert (exported.observation_size, exported.action_size) == (env.observation_size, env.action_size)
  assert (back.observation_size, back.action_size) == (env.observation_size, env.action_size)
  key = jax.random.key(2)
  actions = jax.random.uniform(jax.random.key(1), (9, env.action_size), minval=-1.0, maxval=1.0)
  expected = run(env, env.reset(key), actions)
  states = run(back, back.reset(key), actions)
  for field in ("obs", "reward", "terminated", "truncated"):
    np.testing.assert_array_equal(getattr(states, field), getattr(expected, field), err_msg=field)
  exported_state = exported.reset(jax.random.key_data(key))
  np.testing.assert_array_equal(exported_state.obs, env.reset(key).obs)
  for t, action in enumerate(actions):
    exported_state = exported.step(exported_state, action)
    np.testing.assert_allclose(exported_state.obs, expected.obs[t], rtol=1e-14)
    np.testing.assert_allclose(exported_state.reward, expected.reward[t], rtol=1e-14)
    assert exported_state.done == max(expected.terminated[t], expected.truncated[t])
  gradients = [
    jax.jit(jax.grad(lambda actions, each=each: total_reward(each, key, actions)))(actions) for each in (env, back)
  ]
  assert np.all(gradients[0] != 0.0)
  np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-12)


@pytest.mark.parametrize("ends", [(0, 0), (1, 0), (0, 1)])
def test_both_kinds_of_ends_survive_the_way_to_brax_and_back(ends):
  env = envs.from_brax(envs.to_brax(Scripted()))
  state = env.step(env.reset(jax.random.key(0)), jnp.asarray(ends, float))
  assert (state.terminated, state.truncated) == ends


def test_brax_wrappers_tell_the_time_limit_from_an_early_end():
  env = PointMass(dimension=2, episode_length=4)
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
    wrapped = brax.envs.training.wrap(envs.to_brax(env), episode_length=4)
    state = wrapped.reset(jax.random.split(jax.random.PRNGKey(0), 2))
    ends = []
    step = jax.jit(wrapped.step)
    for _ in range(4):
      state = step(state, jnp.array([[-1.0, 0.0], [1.0, 0.0]]))
      ends.append((state.done, state.info["truncation"]))
  done, truncation = np.asarray(ends).transpose(1, 2, 0)
  np.testing.assert_array_equal(done, [[0, 0, 0, 1], [0, 0, 1, 0]])
  np.testing.assert_array_equal(truncation, [[0, 0, 0, 1], [0, 0, 0, 0]])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("agent", ["ppo", "apg"])
def test_a_trainer_of_brax_runs_on_our_environment(agent, monkeypatch):
  # Brax 0.14.2 calls this function, which JAX 0.10 no longer has.
  def stack(tree, devices):
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * len(devices)), tree)

  monkeypatch.setattr(jax, "device_put_replicated", stack, raising=False)
  env = PointMass(dimension=1, episode_length=16)
  shared = dict(environment=envs.to_brax(env), episode_length=env.episode_length, num_envs=8, num_evals=2, seed=1)
  seen = []
  shared.update(num_eval_envs=4, max_devices_per_host=1, progress_fn=lambda step, metrics: seen.append(metrics))
  with (
    jax.numpy_dtype_promotion("standard"),
    jax.numpy_rank_promotion("allow"),
    jax.enable_x64(False),
  ):
    if agent == "ppo":
      from brax.training.agents.ppo import train as ppo

      ppo.train(num_timesteps=256, unroll_length=4, batch_size=4, num_minibatches=2, **shared)
    else:
      from brax.training.agents.apg import train as apg

      apg.train(policy_updates=2, horizon_length=4, **shared)
  rewards = [float(metrics["eval/episode_reward"]) for metrics in seen]
  assert len(rewards) == 2
  assert np.all(np.isfinite(rewards))
  assert rewards[0] != rewards[1]
