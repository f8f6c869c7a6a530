"""The command line that an experiment could have come from."""

import pathlib
import shlex

from gippo_jax.cli.configuration import literal, load_config
from gippo_jax.parsing import Experiment, parse
from gippo_jax.runs.workdir import flatten

# What has flags of its own.
_FLAGS = {"plugins": "plugin", "init_from": "init_from"}


def training_command(experiment: Experiment, workdir: pathlib.Path) -> str:
  """A command that trains an experiment: the preset `any:ALGORITHM`, and every field in which they differ.

  Args:
    experiment: the experiment.
    workdir: its folder.
  """
  algorithm = experiment.config.algorithm
  preset = parse(load_config(f"any:{algorithm}") | {"env": experiment.env, "plugins": experiment.run.plugins})
  base, wanted = flatten(preset.to_dict()), flatten(experiment.to_dict())
  flags = [f"--config=any:{algorithm}"]
  flags += [f"--plugin={module}" for module in experiment.run.plugins]
  flags += [f"--config.env.{name}={_text(value)}" for name, value in experiment.env.items()]
  flags += [
    f"--config.{name}={_text(value)}"
    for name, value in wanted.items()
    if name not in _FLAGS and not name.startswith("env.") and value != base.get(name)
  ]
  if experiment.run.init_from:
    flags.append(f"--init_from={experiment.run.init_from}")
  return " ".join(["python -m gippo_jax train", *map(shlex.quote, [*flags, f"--workdir={workdir}"])])


def _text(value: object) -> str:
  """What the command line reads as the value."""
  if isinstance(value, str):
    return value if literal(value) == value else repr(value)
  return repr(value).replace(" ", "")
