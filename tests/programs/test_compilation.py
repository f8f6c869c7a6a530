"""What the compiler is told: by environment, and only what it knows."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from gippo_jax import envs
from gippo_jax.programs import compilation
from gippo_jax.programs.members import make_members
from tests.programs.test_members import config_of

POINT_MASS = envs.make("point_mass", dimension=1, episode_length=5)


@dataclasses.dataclass(frozen=True)
class Last:
  """A point mass whose copies lie along the last axis, and whose step sums some numbers."""

  batch_last: bool = True
  many_kernels: bool = False

  observation_size = 2
  action_size = 1
  episode_length = 5
  differentiable = True

  def reset(self, key):
    return POINT_MASS.reset(key)

  def step(self, state, action):
    moved = POINT_MASS.step(state, action)
    return moved.replace(reward=jnp.sum(jnp.outer(moved.obs, jnp.arange(12.0)) ** 2))


def test_only_an_environment_along_the_last_axis_has_options_of_its_own():
  assert compilation.often(POINT_MASS) is None
  assert compilation.often(Last(batch_last=False)) is None
  assert compilation.often(Last())


def test_many_kernels_are_made_by_the_older_emitter_alone():
  """Sums by the library are left to those along the last axis."""
  older = compilation._known(compilation._OLDER_KERNELS)
  assert compilation.often(Last(batch_last=False, many_kernels=True)) == (older or None)
  assert compilation.often(Last(many_kernels=True)) == compilation.often(Last())


def test_accelerators_are_told_nothing(monkeypatch):
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert compilation.once() is None
  assert compilation.often(Last()) is None


def test_an_option_that_the_compiler_has_not_is_left_out(monkeypatch):
  monkeypatch.setattr(compilation, "_OLDER_KERNELS", {"xla_cpu_no_such_option": True})
  assert compilation.once() == {"xla_backend_optimization_level": "0"}
  assert "xla_cpu_no_such_option" not in (compilation.often(Last()) or {})
  jax.jit(jnp.sin, compiler_options=compilation.once())(1.0)


def test_training_and_evaluation_are_compiled_with_the_options_of_the_environment():
  if not compilation._known(compilation._OWN_SUMS):
    pytest.skip("jax 0.7 has no YNNPACK, whose calls are counted here")

  def calls_of_the_library(env):
    members = make_members(env, config_of("shac"), 1)
    states = members.abstract_states()
    members.compile(states)
    episodes = members.program.begin_episodes.eval_shape(states.key, 2)
    evaluation = members.program.continue_episodes.lower(states.policy, members.config, episodes).compile()
    training = members.program._compiled
    assert isinstance(training, jax.stages.Compiled)
    return [str(program.as_text()).count("__ynn_fusion") for program in (training, evaluation)]

  assert all(calls_of_the_library(Last(batch_last=False)))
  assert not any(calls_of_the_library(Last()))
