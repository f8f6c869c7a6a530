"""`python -m gippo_jax COMMAND`: the commands, each a module of this package."""

import difflib
import importlib
import platform
import sys
from importlib import metadata
from types import ModuleType

from gippo_jax import __version__
from gippo_jax.cli.console import HELP, finish
from gippo_jax.cli.flags import run_command
from gippo_jax.errors import UserError

COMMANDS = {
  "train": "train a policy",
  "evaluate": "returns of trained policies on fresh episodes",
  "render": "show a trained policy: a page, a moving picture, a frame",
  "export": "write a trained policy as ONNX, StableHLO or npz, with its contract and its model card",
  "verify": "train again from a checkpoint and compare bit for bit",
  "gradients": "why gradients through an environment are not finite: step, environment, operation, line",
  "compare": "several runs or tables beside each other: curves, intervals, probability of improvement",
  "list": "environments, algorithms and presets",
  "sweep": "train many configurations side by side",
  "tune": "search hyper-parameters with Optuna",
  "launch": "hand a sweep out as jobs",
  "completion": "the script by which bash or zsh completes commands and flags",
}
_VERSION = ("--version", "-V", "version")


def main() -> None:
  """Runs the command that the first argument names."""
  arguments = sys.argv[1:]
  if not arguments or arguments[0] in HELP:
    print(_help())
    finish(lambda: 0 if arguments else 2)
  name, *rest = arguments
  if name in _VERSION:
    print(_versions())
    finish(lambda: 0)
  if name not in COMMANDS:
    finish(lambda: _refuse(name))
  module = module_of(name)
  run_command(module.FLAGS, module.main, rest)


def module_of(command: str) -> ModuleType:
  """The module of a command, with its `FLAGS` and its `main`."""
  return importlib.import_module(f"gippo_jax.cli.{command if command != 'list' else 'listing'}")


def _refuse(name: str) -> int:
  close = difflib.get_close_matches(name, COMMANDS, n=1)
  hint = f" (did you mean {close[0]}?)" if close else ""
  raise UserError(f"{name!r} is not a command{hint}; allowed: {', '.join(COMMANDS)}")


def _versions() -> str:
  """What a report of a fault should say; nothing is imported for it."""
  return f"gippo_jax {__version__}, jax {metadata.version('jax')}, Python {platform.python_version()}"


def _help() -> str:
  width = max(map(len, COMMANDS))
  lines = [f"  {name:{width}}  {text}" for name, text in COMMANDS.items()]
  end = "COMMAND --help shows a command's flags; --version says what is installed."
  return "\n".join(["python -m gippo_jax COMMAND [--FLAG=VALUE ...]", "", *lines, "", end])
