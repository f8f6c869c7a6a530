"""Environments as a configuration names them."""

from gippo_jax import envs
from gippo_jax.envs.base import Environment
from gippo_jax.errors import UserCodeError, UserError
from gippo_jax.plain import PlainMapping


def make_environment(env: PlainMapping) -> Environment:
  """The environment of a configuration's group `env`.

  Args:
    env: its name, or import path, and its parameters.

  Raises:
    UserError: when there is none of that name, it does not take these parameters, or it is no environment.
  """
  try:
    made = envs.make(**env)
    envs.check(made)
    return made
  except envs.UserCodeError as error:
    raise UserCodeError(f"config.{error}") from error.__cause__
  except ValueError as error:
    raise UserError(f"config.{error}") from None


def make_env(name: str, **parameters: object) -> Environment:
  """An environment by its name.

  Args:
    name: as `config.env.name`: one of the package's (`python -m gippo_jax list`), `brax:ant`, `playground:...`,
      `gymnax:...`, or `my_package.my_module:MyEnvironment`.
    **parameters: the environment's own, as `config.env.*`.

  Raises:
    UserError: as `make_environment`.
  """
  return make_environment({"name": name, **parameters})
