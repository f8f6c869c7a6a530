"""Differentiable environments behind one small contract; see `envs.base`."""

import dataclasses
from typing import Any, cast

from gippo_jax.envs import adapters, imported
from gippo_jax.envs.adapters import from_brax, from_gymnax, from_playground, to_brax
from gippo_jax.envs.base import Environment, State, UserCodeError
from gippo_jax.envs.border import check
from gippo_jax.envs.discontinuities import BallOverWall, DoublePendulum, Friction, MomentumTransfer, Pushing, Tennis
from gippo_jax.envs.functions import FUNCTIONS, FunctionOptimization
from gippo_jax.envs.linear_quadratic import LinearQuadratic
from gippo_jax.envs.physics import (
  Ant,
  Cartpole,
  CartpoleSwingUp,
  CartpoleWalls,
  HalfCheetah,
  Hopper,
  Humanoid,
  Quadrotor,
  Walker2d,
)
from gippo_jax.envs.point_mass import PointMass
from gippo_jax.envs.traffic import PaceCar, Ring
from gippo_jax.envs.wrappers import vectorize

__all__ = [
  "Environment",
  "State",
  "UserCodeError",
  "check",
  "descriptions",
  "from_brax",
  "from_gymnax",
  "from_playground",
  "is_imported",
  "known",
  "make",
  "to_brax",
  "vectorize",
]

_CLASSES = {
  "point_mass": PointMass,
  "linear_quadratic": LinearQuadratic,
  "cartpole": Cartpole,
  "cartpole_walls": CartpoleWalls,
  "quadrotor": Quadrotor,
  "pace_car": PaceCar,
  "ring": Ring,
  "cartpole_swing_up": CartpoleSwingUp,
  "ant": Ant,
  "hopper": Hopper,
  "half_cheetah": HalfCheetah,
  "walker2d": Walker2d,
  "humanoid": Humanoid,
  "ball_over_wall": BallOverWall,
  "momentum_transfer": MomentumTransfer,
  "pushing": Pushing,
  "friction": Friction,
  "tennis": Tennis,
  "double_pendulum": DoublePendulum,
}


def known() -> list[str]:
  """Names of the environments of this package; `make` also takes those of `envs.adapters`."""
  return [*FUNCTIONS, *_CLASSES]


def descriptions() -> dict[str, str]:
  """A line for each environment that `make` takes by name."""
  lines = {name: _first_line(function.value) for name, function in FUNCTIONS.items()}
  lines |= {name: _first_line(cls) for name, cls in _CLASSES.items()}
  return lines | {f"{suite}:NAME": text for suite, text in adapters.DESCRIPTIONS.items()}


def _first_line(documented: object) -> str:
  return (documented.__doc__ or "").strip().partition("\n")[0]


def is_imported(name: str) -> bool:
  """Whether a name is the import path of somebody's own environment."""
  return ":" in name and name.partition(":")[0] not in adapters.SUITES


def make(name: str, **parameters: Any) -> Environment:
  """Makes an environment by its name.

  Args:
    name: one of `known()`; or `SUITE:NAME` of another package, e.g. `brax:ant` (see `envs.adapters`); or the import
      path of a class or function of your own, `my_package.my_module:MyEnvironment`.
    **parameters: the environment's own parameters, e.g. `dimension`.

  Returns:
    The unbatched environment.

  Raises:
    ValueError: for an unknown name or parameter, or a parameter out of range; the message says what is allowed.
    UserCodeError: when code of the user's own raised; that error is the cause.
  """
  if is_imported(name):
    return imported.load(name, **parameters)
  if ":" in name:
    return adapters.make(name, **parameters)
  if name in FUNCTIONS:
    constructor, parameters = FunctionOptimization, {"name": name, **parameters}
  elif name in _CLASSES:
    constructor = _CLASSES[name]
  else:
    suites = ", ".join(f"{suite}:NAME" for suite in adapters.SUITES)
    raise ValueError(
      f"env.name: {name!r} is unknown; known: {', '.join(known())}, {suites}, and the import path of your own, "
      "my_package.my_module:MyEnvironment"
    )
  fields = {field.name: field for field in dataclasses.fields(constructor)}
  for parameter in parameters:
    if parameter not in fields:
      allowed = ", ".join(field for field in fields if field != "name")
      raise ValueError(f"env.{parameter}: {name} has no such parameter; known: {allowed}")
  for field in fields.values():
    if field.name not in parameters and field.default is dataclasses.MISSING:
      raise ValueError(f"env.{field.name}: missing; {name} needs it")
  return cast(Environment, constructor(**parameters))
