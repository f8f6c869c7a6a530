"""The algorithms by name. The package's own are registered by `gippo_jax.algorithms`; anybody may add to them.

An algorithm is one module: its groups of hyper-parameters, `make`, and

  register(AlgorithmSpec("mine", "Mine", {"mine": MineConfig}, make))

It is brought in by importing that module: from Python, by `--plugin=MODULE`, or by an entry point of the group
`gippo_jax.algorithms`. Everything else (command line, sweeps, checkpoints, tables) reads this registry.
"""

import functools
import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from gippo_jax.errors import UserCodeError, UserError
from gippo_jax.fields import unknown_field
from gippo_jax.importing import BrokenModuleError, NotThereError, import_module

if TYPE_CHECKING:
  from gippo_jax.algorithms.base import Algorithm, Setup
  from gippo_jax.config import Config

_BUILT_IN = "gippo_jax.algorithms"
_ENTRY_POINTS = "gippo_jax.algorithms"


class AlgorithmSpec(NamedTuple):
  """What the rest of the package knows of an algorithm.

  Attributes:
    name: what `config.algorithm` says.
    label: for tables and figures.
    groups: the hyper-parameters that are its own: names of the configuration's groups and their classes, made of
      `gippo_jax.fields`. A group may be shared by several algorithms, if all name the same class.
    make: from a `Setup` to an `Algorithm`, a pair of pure functions.
    needs_environment_gradients: whether it differentiates the environment.
    check: raises `UserError` for hyper-parameters that do not go together.
    idle: fields and groups of its own that do nothing beside the others, and which of those they are, in words.
    shown: metrics that the progress line shows, and what it calls them.
    summary: one line for `python -m gippo_jax list`.
  """

  name: str
  label: str
  groups: Mapping[str, type]
  make: "Callable[[Setup], Algorithm]"
  needs_environment_gradients: bool = False
  check: "Callable[[Config], None]" = lambda config: None
  idle: "Callable[[Config], Mapping[str, str]]" = lambda config: {}
  shown: Mapping[str, str] = {}
  summary: str = ""


_specs: dict[str, AlgorithmSpec] = {}
_loaded: set[str] = set()


def register(spec: AlgorithmSpec) -> AlgorithmSpec:
  """Adds an algorithm.

  Raises:
    UserError: when there is one of that name, or its groups clash with other fields of the configuration.
  """
  if spec.name in _specs:
    raise UserError(f"algorithm {spec.name!r} is registered already, by {_specs[spec.name].make.__module__}")
  for name, cls in spec.groups.items():
    other = _owner_with_another_class(name, cls)
    if other:
      raise UserError(f"algorithm {spec.name!r}: its group {name!r} is another class in {other!r}; allowed: a new name")
  _specs[spec.name] = spec
  return spec


def find(name: object) -> AlgorithmSpec:
  """The algorithm of that name.

  Raises:
    UserError: when there is none.
  """
  specs = algorithms()
  if not isinstance(name, str) or name not in specs:
    raise UserError(f"config.algorithm: {name!r} is not allowed; allowed: one of {', '.join(specs)}")
  return specs[name]


def algorithms() -> dict[str, AlgorithmSpec]:
  """All algorithms by name, the package's own first."""
  load((_BUILT_IN, *_entry_points()))
  return dict(_specs)


def load(modules: Iterable[str]) -> None:
  """Imports modules that register algorithms.

  Raises:
    UserError: when one cannot be imported; the user's own error is its cause.
  """
  for module in modules:
    if module in _loaded:
      continue
    _loaded.add(module)
    try:
      import_module(module)
    except (NotThereError, BrokenModuleError) as error:
      _loaded.discard(module)
      if isinstance(error, NotThereError):
        raise UserError(f"--plugin: {module}: {error}; allowed: a module that Python can import") from None
      if isinstance(error.__cause__, UserError):  # it registers what cannot be
        raise error.__cause__ from None
      raise UserCodeError(f"--plugin: {module} {error}") from error.__cause__


def groups() -> dict[str, type]:
  """The groups of all algorithms by name."""
  return {name: cls for spec in algorithms().values() for name, cls in spec.groups.items()}


def owners(group: str) -> list[str]:
  """The algorithms that have a group."""
  return [spec.name for spec in algorithms().values() if group in spec.groups]


def unknown_or_foreign(group: str, spec: AlgorithmSpec) -> UserError:
  """The error for a group that an algorithm does not have."""
  if group in groups():
    allowed = ", ".join(f"config.{name}" for name in spec.groups) or "no group of its own"
    return UserError(
      f"config.{group}: {spec.name} has no such group, it belongs to {', '.join(owners(group))}; allowed: {allowed}"
    )
  return unknown_field(f"config.{group}", groups())


def require_used(names: Iterable[str], config: "Config") -> None:
  """Refuses fields that the training would ignore.

  Args:
    names: of fields that a user set, dotted, below `config`.
    config: that is trained.

  Raises:
    UserError: for a field of a group that only other algorithms have, or that does nothing beside the others.
  """
  algorithm = config.algorithm
  spec = find(algorithm)
  foreign = groups().keys() - spec.groups.keys()
  idle = spec.idle(config)
  for name in names:
    reason = idle.get(name) or idle.get(name.partition(".")[0])
    if reason:
      raise UserError(f"config.{name} does nothing with config.{reason}")
    if name.partition(".")[0] in foreign:
      group = name.partition(".")[0]
      allowed = ", ".join(f"config.{own}.*" for own in spec.groups) or "the fields that all have"
      raise UserError(
        f"config.{name} is a field of {', '.join(owners(group))} and does nothing under {algorithm}; allowed: {allowed}"
      )


def plugin_of(algorithm: str) -> str | None:
  """The module to import for an algorithm that is not the package's own; `None` for those that come by themselves."""
  module = find(algorithm).make.__module__
  return None if module.startswith(f"{_BUILT_IN}.") or module in _entry_points() else module


@functools.cache
def _entry_points() -> tuple[str, ...]:
  return tuple(point.value.partition(":")[0] for point in importlib.metadata.entry_points(group=_ENTRY_POINTS))


def _owner_with_another_class(group: str, cls: type) -> str | None:
  return next((spec.name for spec in _specs.values() if spec.groups.get(group, cls) is not cls), None)
