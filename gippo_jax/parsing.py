"""From what a user wrote (`ml_collections.ConfigDict`) to checked, typed configurations, and the defaults back."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gippo_jax import registry
from gippo_jax.config import Config, RunConfig, common_fields
from gippo_jax.errors import UserError
from gippo_jax.fields import Allowed, allowed_of, build, fields_of, plain, unknown_field
from gippo_jax.plain import Plain, PlainMapping

# What a run's `config.json` holds besides the experiment; see `runs.workdir`.
HISTORY, METRICS_VERSION = "continued_from", "metrics_version"


class Experiment(NamedTuple):
  """Everything a run is made from.

  Attributes:
    config: hyper-parameters, for the compiled code.
    run: what the host does around it.
    env: the environment's name and parameters, for `envs.make`.
  """

  config: Config
  run: RunConfig
  env: Plain

  @property
  def label(self) -> str:
    """Short name, e.g. `ackley_64_gippo`."""
    parameters = [value for name, value in self.env.items() if name != "name"]
    label = "_".join(str(part) for part in [self.env["name"], *parameters, self.config.algorithm])
    return re.sub(r"[^\w.=+-]+", "_", label)

  @property
  def seeds(self) -> list[int]:
    """Of the members."""
    return list(range(self.run.seed, self.run.seed + self.run.num_seeds))

  def to_dict(self) -> Plain:
    """The experiment as plain data, in the shape the user writes; of the groups, the algorithm's own."""
    values = plain(self.config)
    own = {name: plain(group) for name, group in values.pop("own").items()}
    return {**values, **own, **plain(self.run), "env": dict(self.env)}


def default_config() -> Any:  # a ConfigDict, of whose attributes a type checker knows nothing
  """All fields with their defaults, to be changed by a configuration file; `env.name` is still to be set.

  The groups of all algorithms are there, so that one file can serve several of them; those of the algorithm that is
  trained count. The result takes new keys only below `env`, whose parameters are the environment's own.
  """
  values = plain(Config())
  values.pop("own")
  own = {name: plain(cls()) for name, cls in registry.groups().items()}
  config = ConfigDict({**values, **own, **plain(RunConfig()), "env": {"name": ""}})
  config.lock()
  config["env"].unlock()  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
  return config


def parse(values: ConfigDict | PlainMapping) -> Experiment:
  """Checks every field.

  Args:
    values: from a configuration file's `get_config`, with the command line's changes, or what a run's `config.json`
      holds. Groups of other algorithms are checked and left out.

  Returns:
    The typed experiment.

  Raises:
    UserError: naming the field, its value and what is allowed.
  """
  rest = dict(values.to_dict() if isinstance(values, ConfigDict) else values)
  for name in (HISTORY, METRICS_VERSION):
    rest.pop(name, None)
  env = rest.pop("env", None)
  run_fields, common = fields_of(RunConfig), common_fields()
  run = build(RunConfig, {name: rest.pop(name) for name in run_fields if name in rest}, "config")
  registry.load(run.plugins)
  spec = registry.find(rest.get("algorithm", Config().algorithm))
  all_groups = registry.groups()
  for name in [name for name in rest if name not in common and name not in spec.groups]:
    if name not in all_groups:
      raise unknown_field(f"config.{name}", {**common, **all_groups, **run_fields})
    build(all_groups[name], _mapping(name, rest.pop(name)), f"config.{name}")
  config = Config(**rest)
  if run.seed + run.num_seeds > 2**32:
    raise UserError(f"config.num_seeds: {run.num_seeds} is not allowed with seed {run.seed}; allowed: seeds below 2^32")
  if not isinstance(env, Mapping) or not env.get("name"):
    raise UserError(
      "config.env.name is missing; allowed: a name (`python -m gippo_jax list` shows them), SUITE:NAME, or the import "
      "path of an environment of your own, my_package.my_module:MyEnvironment"
    )
  return Experiment(config=config, run=run, env=dict(env))


def set_field(values: Plain, name: str, value: object) -> None:
  """Sets a field of plain data by its dotted name; groups that are missing are made.

  Args:
    values: as `Experiment.to_dict` has them.
    name: of the field.
    value: unchecked.
  """
  *groups, last = name.split(".")
  for group in groups:
    values[group] = dict(values.get(group) or {})  # a copy: the caller's other data may share it
    values = values[group]
  values[last] = value


def allowed_of_name(name: str) -> Allowed | None:
  """What the field of a dotted name takes; `None` for a group.

  Args:
    name: below `config`, e.g. `ppo.learning_rate`; not below `env`.

  Raises:
    UserError: when there is no such field.
  """
  known: Plain = {**common_fields(), **registry.groups(), **fields_of(RunConfig)}
  path, names = "config", name.split(".")
  for depth, part in enumerate(names):
    path = f"{path}.{part}"
    if part not in known:
      raise unknown_field(path, known)
    entry = known[part]
    allowed = None if isinstance(entry, type) else allowed_of(entry)
    if depth == len(names) - 1:
      return allowed
    if allowed is not None:
      raise UserError(f"{path}.{names[depth + 1]} is not a field; {path} is {allowed.describe()}")
    known = fields_of(entry if isinstance(entry, type) else entry.default_factory)
  raise unknown_field("config.", known)


def allowed_values(name: str) -> str:
  """What a field takes, in words.

  Args:
    name: dotted path below `config`, e.g. `ppo.learning_rate`.

  Raises:
    UserError: when there is no such field.
  """
  if name.startswith("env."):
    return "what the environment takes"
  allowed = allowed_of_name(name)
  return allowed.describe() if allowed else "its fields, one by one"


def _mapping(name: str, value: object) -> Mapping[str, object]:
  if not isinstance(value, Mapping):
    raise UserError(f"config.{name}: {value!r} is not allowed; allowed: its fields, one by one")
  return value
