"""From `--config` and `--config.FIELD` to an experiment: presets by name, files of your own, changes of fields."""

import ast
import importlib
import importlib.util
import inspect
import pathlib
import pkgutil
import re
from collections.abc import Mapping
from types import ModuleType

from ml_collections import ConfigDict

from gippo_jax import registry
from gippo_jax.cli.flags import ConfigFlags
from gippo_jax.errors import UserCodeError, UserError
from gippo_jax.parsing import HISTORY, METRICS_VERSION, Experiment, allowed_of_name, parse, set_field
from gippo_jax.plain import Plain

_PRESETS = "gippo_jax.experiments.configs"


def experiment_of(given: ConfigFlags, stored: Mapping[str, object] | None = None, **run: object) -> Experiment:
  """The experiment that a command line describes.

  Args:
    given: the command line's flags.
    stored: configuration of the run in the folder, taken up where `--config` is not given; `None` where there is none.
    **run: further fields of the run itself.

  Raises:
    UserError: for anything that is not allowed.
  """
  registry.load(given.plugins)
  if given.source is None and stored is not None:
    values = {name: value for name, value in stored.items() if name not in (HISTORY, METRICS_VERSION)}
  else:
    values = load_config(given.source or "any")
  registry.load(_texts(values.get("plugins")))
  for name, text in given.overrides.items():
    override(values, name, text, given.overrides)
  values["plugins"] = tuple(dict.fromkeys([*_texts(values.get("plugins")), *given.plugins]))
  experiment = parse({**values, **run})
  registry.require_used(given.overrides, experiment.config)
  module = registry.plugin_of(experiment.config.algorithm)
  if module and module not in experiment.run.plugins:  # registered by a configuration file
    values["plugins"] = (*values["plugins"], module)
    experiment = parse({**values, **run})
  return experiment


def presets() -> dict[str, str]:
  """The presets by name, with the first line of what they say of themselves; nothing is imported."""
  package = importlib.import_module(_PRESETS)
  found = {}
  for module in pkgutil.iter_modules(package.__path__):
    source = (pathlib.Path(package.__path__[0]) / f"{module.name}.py").read_text()
    if "def get_config" in source:
      found[module.name] = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
  return found


def load_config(source: str) -> Plain:
  """What a preset or a file says.

  Args:
    source: `NAME:ARGUMENT` of a preset, or `PATH.py:ARGUMENT`; the argument may be missing.

  Raises:
    UserError: when there is no such preset or file, or it does not say what it should.
  """
  path, _, argument = source.partition(":")
  if path.endswith(".py"):
    module = _run_file(pathlib.Path(path))
  elif path in presets():
    module = importlib.import_module(f"{_PRESETS}.{path}")
  else:
    known = ", ".join(presets())
    raise UserError(
      f"--config: {source!r} is neither a preset nor a file; allowed: NAME:ARGUMENT with one of {known}, or "
      "PATH.py:ARGUMENT, a file with get_config(argument)"
    )
  get_config = getattr(module, "get_config", None)
  if not callable(get_config):
    raise UserError(f"--config: {path} has no get_config; allowed: a file with get_config(argument)")
  if argument and not inspect.signature(get_config).parameters:
    raise UserError(f"--config: get_config of {path} takes no argument, {argument!r} was given; allowed: {path}")
  try:
    values = get_config(argument) if argument else get_config()
  except UserError:
    raise
  except (Exception, SystemExit) as error:  # whatever a user's file may raise
    raise UserCodeError(f"--config: get_config of {path} raised {type(error).__name__}: {error}") from error
  if isinstance(values, ConfigDict):
    return values.to_dict()
  if not isinstance(values, Mapping):
    raise UserError(f"--config: get_config of {path} returned {type(values).__name__}; allowed: a ConfigDict or a dict")
  return dict(values)


def override(values: Plain, name: str, text: str, others: Mapping[str, str]) -> None:
  """Changes a field as the command line says.

  Args:
    values: the configuration.
    name: of the field, dotted.
    text: its value.
    others: all changes of the command line. Another environment than the configuration's begins with no parameters but
      those of the command line.

  Raises:
    UserError: for an unknown field, or a value that is not allowed.
  """
  if name.startswith("env."):
    env = values["env"] = dict(values.get("env") or {})
    if name != "env.name":
      env[name.removeprefix("env.")] = literal(text)
    elif text != env.get("name"):
      of_others = {other.removeprefix("env.") for other in others}
      values["env"] = {"name": text, **{key: value for key, value in env.items() if key in of_others - {"name"}}}
    return
  allowed = allowed_of_name(name)
  if allowed is None:
    raise UserError(f"config.{name}: a group is not allowed; allowed: its fields, one by one")
  try:
    set_field(values, name, allowed.read(text))
  except ValueError as error:
    raise UserError(f"config.{name}: {text!r} is not allowed; allowed: {allowed.describe()}{error}") from None


def literal(text: str) -> object:
  """A Python literal, or the text itself."""
  if text.lower() in ("true", "false"):
    return text.lower() == "true"
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError, MemoryError, RecursionError):
    return text


def _run_file(path: pathlib.Path) -> ModuleType:
  if not path.is_file():
    raise UserError(
      f"--config: {str(path)!r} is not a file; allowed: PATH.py:ARGUMENT, a file with get_config(argument)"
    )
  name = "gippo_jax_config_" + re.sub(r"\W", "_", path.stem)
  spec = importlib.util.spec_from_file_location(name, path)
  assert spec is not None  # the name ends in .py
  assert spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except UserError:
    raise
  except (Exception, SystemExit) as error:
    raise UserCodeError(f"--config: {path} raised {type(error).__name__}: {error}") from error
  return module


def _texts(value: object) -> tuple[str, ...]:
  return tuple(str(entry) for entry in value) if isinstance(value, (list, tuple)) else ()
