"""Environments of your own, by import path: `my_package.my_module:MyEnvironment`, a class or a function."""

import dataclasses
import inspect
import json
from collections.abc import Callable
from typing import cast

from gippo_jax.envs.base import Environment, UserCodeError
from gippo_jax.importing import BrokenModuleError, NotThereError, import_object


def load(path: str, **parameters: object) -> Environment:
  """Makes the environment of an import path.

  Args:
    path: `MODULE:NAME`.
    **parameters: keyword arguments of the class or function.

  Raises:
    UserCodeError: when the user's own code raised; that error is the cause.
    ValueError: when there is no such module or name, or no such parameter.
  """
  constructor = find(path)
  try:
    signature = inspect.signature(constructor)
  except (TypeError, ValueError):  # some built-in classes have none
    signature = None
  if signature is not None:
    _check_parameters(path, signature, parameters)
  try:
    return constructor(**parameters)
  except Exception as error:
    if type(error) is ValueError and str(error).startswith("env."):
      raise  # in the words of this package
    raise UserCodeError(f"env.name: {path!r} raised {type(error).__name__}: {error}") from error


def find(path: str) -> Callable[..., Environment]:
  """The class or function of an import path.

  Raises:
    UserCodeError, ValueError: as `load`.
  """
  try:
    found = import_object(path)
  except NotThereError as error:
    raise ValueError(
      f"env.name: {error}, of {path!r}; allowed: MODULE:NAME that Python can import, from the working directory or "
      "installed"
    ) from None
  except BrokenModuleError as error:
    raise UserCodeError(f"env.name: {path!r} {error}") from error.__cause__
  if not callable(found):
    raise ValueError(f"env.name: {path!r} is a {type(found).__name__}; allowed: a class or function")
  return cast(Callable[..., Environment], found)


def describe(env: Environment) -> dict[str, object]:
  """Name and parameters from which `load` makes an equal environment.

  Args:
    env: of a class that can be imported. The fields of a dataclass are its parameters, those that can be written as
      JSON; of another class only the name is known.
  """
  cls = type(env)
  described: dict[str, object] = {"name": f"{cls.__module__}:{cls.__qualname__}"}
  if dataclasses.is_dataclass(env):
    for field in dataclasses.fields(env):
      value = getattr(env, field.name)
      if field.init and _is_plain(value):
        described[field.name] = value
  return described


def _check_parameters(path: str, signature: inspect.Signature, parameters: dict[str, object]) -> None:
  known = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
  takes_any = len(known) < len(signature.parameters)
  names = [each.name for each in known]
  for parameter in parameters:
    if parameter not in names and not takes_any:
      raise ValueError(f"env.{parameter}: {path} has no such parameter; known: {', '.join(names) or 'none'}")
  for each in known:
    needed = each.default is each.empty and each.kind is not each.VAR_POSITIONAL
    if needed and each.name not in parameters:
      raise ValueError(f"env.{each.name}: missing; {path} needs it")


def _is_plain(value: object) -> bool:
  try:
    return json.loads(json.dumps(value)) == value
  except (TypeError, ValueError):
    return False
