"""gymnax environments with continuous actions."""

import dataclasses
import functools
import inspect
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.adapters.common import (
  import_package,
  require_known_name,
  require_known_parameters,
  settle,
  to_scalar,
)
from gippo_jax.envs.base import PyTree, State, require_positive_integer, require_real
from gippo_jax.envs.third_party import standard_promotion

# Of a constructor, by name.
Parameters: TypeAlias = dict[str, Any]


class GymnaxPhysics(NamedTuple):
  """State of the gymnax environment and the key its next steps draw from."""

  inner: Any
  key: jax.Array


@dataclasses.dataclass(frozen=True, eq=False)
class Gymnax:
  """A gymnax environment behind the contract of `envs.base`.

  Only `step_env` and `reset_env` are called, below gymnax's own automatic reset and time limit. An action in [-1, 1],
  to which it is clipped, is scaled to the bounds of the environment's box.

  Attributes:
    inner: the gymnax environment, with its transition gradients on where it has them.
    params: its parameters.
    name: for messages, e.g. `gymnax:Pendulum-v1`.
    episode_length: time limit in steps.
  """

  inner: Any
  params: Any
  name: str
  episode_length: int

  def __post_init__(self):
    require_positive_integer("episode_length", self.episode_length)
    space = self.inner.action_space(self.params)
    if not (hasattr(space, "low") and np.all(np.isfinite([space.low, space.high]))):
      raise ValueError(
        f"env.name: {self.name!r} has the actions {space}; allowed: gymnax environments with a bounded Box of actions, "
        "such as Pendulum-v1, MountainCarContinuous-v0, PointRobot-misc, Reacher-misc, Swimmer-misc"
      )
    shape = jax.eval_shape(self.reset, jax.random.key(0)).obs.shape
    if len(shape) != 1:
      raise ValueError(f"env.name: {self.name!r} has observations of shape {shape}; allowed: vectors")

  @property
  def differentiable(self) -> bool:
    return bool(getattr(self.inner, "transition_gradients_enabled", False))

  @functools.cached_property
  def observation_size(self) -> int:
    return jax.eval_shape(self.reset, jax.random.key(0)).obs.shape[0]

  @functools.cached_property
  def action_size(self) -> int:
    return int(np.prod(self.inner.action_space(self.params).shape))

  def reset(self, key: jax.Array) -> State:
    key, start_key = jax.random.split(key)
    with standard_promotion():
      obs, inner = self.inner.reset_env(start_key, self.params)
      inner = settle(inner)
    zero = jnp.zeros(())
    obs = jnp.asarray(obs, float)
    return State(physics=GymnaxPhysics(inner, key), obs=obs, reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: jax.Array) -> State:
    before, key = state.physics
    key, step_key = jax.random.split(key)
    with standard_promotion():
      obs, inner, reward, terminated, _ = self.inner.step_env(step_key, before, self._scale(action), self.params)
      inner = settle(inner, like=before)
    return State(
      physics=GymnaxPhysics(inner, key),
      obs=jnp.asarray(obs, float),
      reward=to_scalar(reward),
      terminated=to_scalar(terminated),
      truncated=jnp.zeros(()),
    )

  def _scale(self, action: jax.Array) -> jax.Array:
    space = self.inner.action_space(self.params)
    action = jnp.reshape(jnp.clip(action, -1.0, 1.0), space.shape)
    return space.low + 0.5 * (action + 1.0) * (space.high - space.low)


def from_gymnax(env: Any, episode_length: int | None = None, **parameters: Any) -> Gymnax:
  """Adapts a gymnax environment; its transition gradients are turned on where it has them.

  Args:
    env: a gymnax environment, or a name of gymnax's registry, e.g. `Pendulum-v1`.
    episode_length: time limit in steps; by default gymnax's own.
    **parameters: fields of its `EnvParams`, e.g. `g`; of a name also arguments of the environment's constructor.

  Raises:
    ValueError: for an unknown name or parameter, without the package, for an object that is not a gymnax environment,
      or for actions or observations of another form than vectors.
  """
  if isinstance(env, str):
    return _by_name(env, episode_length, parameters)
  missing = [
    member for member in ("reset_env", "step_env", "default_params", "action_space") if not hasattr(env, member)
  ]
  if missing:
    raise ValueError(
      f"env: {type(env).__name__} is not a gymnax environment: no {', '.join(missing)}; allowed: one, or its name"
    )
  with standard_promotion():
    params = env.default_params
    require_known_parameters(type(env).__name__, parameters, _fields_of(params))
  return _adapted(env, params, f"gymnax:{type(env).__name__}", episode_length, parameters)


def _by_name(name: str, episode_length: int | None, parameters: Parameters) -> Gymnax:
  full_name = f"gymnax:{name}"
  gymnax = import_package(full_name, "gymnax", "gymnax")
  require_known_name(name, "gymnax", gymnax.registered_envs)
  with standard_promotion():
    # gymnax shows no factory but through `make`; the class of what it makes has the constructor.
    env, params = gymnax.make(name)
    constructor = [each for each in inspect.signature(type(env)).parameters if each != "kwargs"]
    require_known_parameters(full_name, parameters, ["episode_length", *constructor, *_fields_of(params)])
    arguments = {key: value for key, value in parameters.items() if key in constructor}
    if arguments:
      env, params = gymnax.make(name, **arguments)
  own = {key: value for key, value in parameters.items() if key not in constructor}
  return _adapted(env, params, full_name, episode_length, own)


def _fields_of(params: PyTree) -> list[str]:
  return [field.name for field in dataclasses.fields(params) if field.name != "max_steps_in_episode"]


def _adapted(env: Any, params: PyTree, name: str, episode_length: int | None, parameters: Parameters) -> Gymnax:
  for parameter, value in parameters.items():
    before = getattr(params, parameter)
    if isinstance(before, (int, float)) and not isinstance(before, bool):
      require_real(parameter, value)
  with standard_promotion():
    if getattr(env, "supports_transition_gradients", False):
      env = env.with_transition_gradients()
    if episode_length is None:
      episode_length = int(params.max_steps_in_episode)
    params = params.replace(**parameters, max_steps_in_episode=episode_length)
  return Gymnax(env, params, name, episode_length)
