"""Algorithms that differentiate a learned model where others differentiate the simulator.

Values come from the simulator and derivatives from a model that is fitted to what the policy went through (DMO: Amigo
et al., CoRL 2025; RP-DR of Zhang, Liu, Wang, Zhao, NeurIPS 2023, for a window with a critic behind it): the simulator
needs no derivative. Any algorithm here can be given such a model: `through_model`.
"""

import dataclasses

import jax

from gippo_jax.algorithms import gippo, shac
from gippo_jax.algorithms.base import Algorithm
from gippo_jax.config import Config
from gippo_jax.envs.decoupled import Decoupled
from gippo_jax.envs.wrappers import AutoReset, Batch, TimeLimit
from gippo_jax.errors import UserError
from gippo_jax.learning import world_model
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.world_model import ModelConfig, ModelState
from gippo_jax.registry import AlgorithmSpec


def decoupled(batch: Batch, model: ModelState, config: ModelConfig) -> Batch:
  """The batch of environments with the model's derivatives."""

  def predict(obs: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
    return world_model.predict(model, config, obs, action)

  return dataclasses.replace(batch, env=AutoReset(TimeLimit(Decoupled(batch.base, predict))))


def check_capacity(config: Config) -> None:
  """Checks that the buffer holds a window.

  Raises:
    UserError: when it does not.
  """
  window = config.num_envs * config.horizon
  if config.model.capacity < window:
    raise UserError(
      f"config.model.capacity: {config.model.capacity} is not allowed; allowed: at least {window}, a window's "
      "transitions"
    )


def through_model(inner: AlgorithmSpec, name: str, summary: str) -> AlgorithmSpec:
  """An algorithm that needs the environment's gradient, made one that learns it.

  Args:
    inner: the algorithm.
    name: of the new one.
    summary: one line for `python -m gippo_jax list`.
  """

  def make(setup: Setup) -> Algorithm:
    config: ModelConfig = setup.config.model
    if setup.env.base.episode_length < 2:
      raise UserError(
        f"config.algorithm: {name!r} is not allowed on episodes of one step, of which nothing is learned; allowed: "
        f"{inner.name}, where the environment has a gradient"
      )

    def init(key):
      key, model_key = jax.random.split(key)
      state = inner.make(setup).init(key)
      return state.replace(model=world_model.init_model(model_key, setup.observation_size, setup.action_size, config))

    def update(state, draws=None):
      learned = setup._replace(
        env=decoupled(setup.env, jax.lax.stop_gradient(state.model), config),
        learn=lambda model, window, last_obs: world_model.learn(model, config, window, last_obs),
      )
      return inner.make(learned).update(state, draws)

    return Algorithm(init, update)

  def check(config: Config) -> None:
    inner.check(config)
    check_capacity(config)

  return inner._replace(
    name=name,
    label=f"{inner.label}, learned model",
    groups={**inner.groups, "model": ModelConfig},
    make=make,
    needs_environment_gradients=False,
    check=check,
    shown={**inner.shown, "model_loss": "model"},
    summary=summary,
  )


SHAC = through_model(shac.SPEC, "shac_model", "SHAC through a learned model: the simulator needs no gradient")
GIPPO = through_model(gippo.SPEC, "gippo_model", "GI-PPO through a learned model: the simulator needs no gradient")
