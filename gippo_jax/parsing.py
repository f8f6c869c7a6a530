"""From what a user wrote (`ml_collections.ConfigDict`) to checked, typed configurations, and the defaults back."""

import dataclasses
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gippo_jax.config import Config, RunConfig
from gippo_jax.errors import UserError


class Experiment(NamedTuple):
  """Everything a run is made from.

  Attributes:
    config: hyper-parameters, for the compiled code.
    run: what the host does around it.
    env: the environment's name and parameters, for `envs.make`.
  """

  config: Config
  run: RunConfig
  env: dict[str, Any]

  @property
  def label(self) -> str:
    """Short name, e.g. `ackley_64_gippo`."""
    parameters = [value for name, value in self.env.items() if name != "name"]
    return "_".join(str(part) for part in [self.env["name"], *parameters, self.config.algorithm])

  def to_dict(self) -> dict[str, Any]:
    """The experiment as plain data, in the shape the user writes."""
    return {**_to_dict(self.config), **_to_dict(self.run), "env": dict(self.env)}


def default_config() -> ConfigDict:
  """All fields with their defaults, to be changed by a configuration file; `env.name` is still to be set.

  The result takes new keys only below `env`, whose parameters are the environment's own.
  """
  config = ConfigDict({**_to_dict(Config()), **_to_dict(RunConfig()), "env": {"name": ""}})
  config.lock()
  config.env.unlock()
  return config


def parse(values: ConfigDict) -> Experiment:
  """Checks every field.

  Args:
    values: from a configuration file's `get_config`, with the command line's changes.

  Returns:
    The typed experiment.

  Raises:
    UserError: naming the field, its value and what is allowed.
  """
  plain = values.to_dict()
  env = plain.pop("env", None)
  if not isinstance(env, dict) or not env.get("name"):
    raise UserError("config.env.name is missing; a configuration file sets it (see experiments/configs/functions.py)")
  run_names = _fields(RunConfig)
  config = _build(Config, {name: value for name, value in plain.items() if name not in run_names}, "config")
  run = _build(RunConfig, {name: value for name, value in plain.items() if name in run_names}, "config")
  _check_together(config)
  return Experiment(config=config, run=run, env=env)


def allowed_values(name: str) -> str:
  """What a field takes, in words.

  Args:
    name: dotted path below `config`, e.g. `ppo.learning_rate`.

  Raises:
    UserError: when there is no such field.
  """
  if name.startswith("env."):
    return "what the environment takes"
  known, path = {**_fields(Config), **_fields(RunConfig)}, "config"
  *groups, last = name.split(".")
  for group in groups:
    field = known.get(group)
    if field is None or "allowed" in field.metadata:
      raise _unknown_field(f"{path}.{group}", known)
    known, path = _fields(field.default_factory), f"{path}.{group}"
  if last not in known:
    raise _unknown_field(f"{path}.{last}", known)
  allowed = known[last].metadata.get("allowed")
  return allowed.describe() if allowed else "its fields, one by one"


def _fields(cls: type) -> dict[str, dataclasses.Field]:
  return {field.name: field for field in dataclasses.fields(cls)}


def _unknown_field(path: str, known: dict[str, Any]) -> UserError:
  return UserError(f"{path} is no field; known: {', '.join(known)}")


def _to_dict(config: Any) -> dict[str, Any]:
  return {
    field.name: _to_dict(value) if dataclasses.is_dataclass(value) else value
    for field in dataclasses.fields(config)
    for value in [getattr(config, field.name)]
  }


def _build(cls: type, values: dict[str, Any], path: str) -> Any:
  fields = _fields(cls)
  for name in values:
    if name not in fields:
      raise _unknown_field(f"{path}.{name}", fields)
  built = {}
  for name, value in values.items():
    allowed = fields[name].metadata.get("allowed")
    if allowed is None:
      built[name] = _build(fields[name].default_factory, value, f"{path}.{name}")
      continue
    try:
      built[name] = allowed.check(value)
    except ValueError:
      raise UserError(f"{path}.{name}: {value!r} is not allowed; allowed: {allowed.describe()}") from None
  return cls(**built)


def _check_together(config: Config) -> None:
  """Checks that involve more than one field."""
  window = config.num_envs * config.horizon
  if window < 2:
    raise UserError(
      f"config.num_envs: {config.num_envs} is not allowed with horizon {config.horizon}; "
      "allowed: num_envs * horizon >= 2, since advantages are standardised over the window"
    )
  _check_divides("critic.num_minibatches", config.critic.num_minibatches, window)
  if config.algorithm in ("ppo", "gippo"):
    _check_divides("ppo.minibatch_size", config.ppo.minibatch_size, window)
  if config.algorithm == "gippo" and config.alpha.initial > config.alpha.maximum:
    raise UserError(
      f"config.alpha.initial: {config.alpha.initial!r} is not allowed; allowed: at most alpha.maximum = "
      f"{config.alpha.maximum:g}"
    )


def _check_divides(name: str, value: int, window: int) -> None:
  if window % value:
    raise UserError(f"config.{name}: {value} is not allowed; allowed: a divisor of num_envs * horizon = {window}")
