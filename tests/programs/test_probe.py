"""Algorithms that need an environment's gradient are refused where there is none; the others never ask for it."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from gippo_jax import envs, registry
from gippo_jax.errors import UserError
from gippo_jax.programs.epochs import train
from gippo_jax.programs.probe import probe_gradients
from tests import configs
from tests.configs import ALGORITHMS

NO_GRADIENTS = ("lr", "ppo", "shac_model", "gippo_model", "rp_dp", "rp_dr")
NEED_GRADIENTS = set(ALGORITHMS) - set(NO_GRADIENTS)
SMALL = {
  "num_envs": 8,
  "horizon": 4,
  "num_epochs": 2,
  "actor": {"units": (8,)},
  "critic": {"units": (8,), "num_iterations": 1},
  "ppo": {"minibatch_size": 32},
}


@dataclasses.dataclass(frozen=True)
class Altered:
  """A point mass whose step is passed through `alter`."""

  alter: str
  differentiable: bool = True

  inner = envs.make("point_mass", dimension=1, episode_length=5)
  observation_size = 2
  action_size = 1
  episode_length = 5

  def reset(self, key):
    return self.inner.reset(key)

  def step(self, state, action):
    if self.alter == "rounded reward":
      state = self.inner.step(state, action)
      return state.replace(reward=jnp.round(10.0 * state.reward))
    if self.alter == "detached":
      return self.inner.step(state, jax.lax.stop_gradient(action))
    if self.alter == "while loop":
      action = jax.lax.while_loop(lambda a: jnp.sum(a) > 2.0, lambda a: a / 2.0, action)
    if self.alter == "forbidden":
      action = forbidden(action)
    return self.inner.step(state, action)


@jax.custom_vjp
def forbidden(x):
  """Identity that no one may differentiate."""
  return x


def _forbidden_forward(x):
  raise AssertionError("the environment was differentiated")


forbidden.defvjp(_forbidden_forward, lambda *_: None)


def config_of(algorithm):
  return configs.config_of(algorithm, **SMALL)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_declares_whether_it_needs_gradients(algorithm):
  assert registry.find(algorithm).needs_environment_gradients == (algorithm in NEED_GRADIENTS)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_those_that_need_it_trace_a_backward_pass(algorithm):
  def shapes():
    return jax.eval_shape(lambda key: train(Altered("forbidden"), config_of(algorithm), key, 1), jax.random.key(0))

  if algorithm in NEED_GRADIENTS:
    with pytest.raises(AssertionError, match="was differentiated"):
      shapes()
  else:
    shapes()


@pytest.mark.parametrize(
  ("alter", "reason"),
  [
    ("detached", "over 4 random steps the gradient of its rewards is zero"),
    ("rounded reward", "over 4 random steps the gradient of its rewards is zero"),
    ("while loop", "differentiating it failed: Reverse-mode differentiation does not work"),
  ],
)
@pytest.mark.parametrize("algorithm", ["ppo", "shac", "gippo"])
def test_the_probe_refuses_what_has_no_gradient(alter, reason, algorithm):
  if algorithm not in NEED_GRADIENTS:
    probe_gradients(Altered(alter), config_of(algorithm))
    return
  with pytest.raises(UserError) as caught:
    probe_gradients(Altered(alter), config_of(algorithm))
  assert f"config.algorithm: '{algorithm}' needs the gradient of Altered, but {reason}" in str(caught.value)
  assert str(caught.value).endswith(f"allowed: {', '.join(NO_GRADIENTS)}")
  assert "\n" not in str(caught.value)


def test_the_probe_lets_gradients_pass():
  for env in (Altered("nothing"), envs.make("dejong", dimension=3), envs.make("ackley", dimension=1)):
    probe_gradients(env, config_of("gippo"))


@pytest.mark.parametrize("algorithm", sorted(NEED_GRADIENTS))
def test_the_environments_own_word_is_enough(algorithm):
  with pytest.raises(UserError, match="says that it is not differentiable; allowed: lr, ppo, shac_model"):
    train(Altered("nothing", differentiable=False), config_of(algorithm), jax.random.key(0), 1)
