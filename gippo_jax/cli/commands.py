"""`python -m gippo_jax COMMAND`: the commands, each a module of this package."""

import difflib
import importlib
import sys

from gippo_jax.cli.console import HELP, finish
from gippo_jax.cli.flags import run_command
from gippo_jax.errors import UserError

COMMANDS = {
  "train": "train a policy",
  "evaluate": "returns of trained policies on fresh episodes",
  "render": "show a trained policy: a page, a moving picture, a frame",
  "verify": "train again from a checkpoint and compare bit for bit",
  "gradients": "why gradients through an environment are not finite: step, environment, operation, line",
  "compare": "several runs or tables beside each other: curves, intervals, probability of improvement",
  "list": "environments, algorithms and presets",
  "sweep": "train many configurations side by side",
  "tune": "search hyper-parameters with Optuna",
  "launch": "hand a sweep out as jobs",
}


def main() -> None:
  """Runs the command that the first argument names."""
  arguments = sys.argv[1:]
  if not arguments or arguments[0] in HELP:
    print(_help())
    finish(lambda: 0 if arguments else 2)
  name, *rest = arguments
  if name not in COMMANDS:
    finish(lambda: _refuse(name))
  module = importlib.import_module(f"gippo_jax.cli.{name if name != 'list' else 'listing'}")
  run_command(module.FLAGS, module.main, rest)


def _refuse(name: str) -> int:
  close = difflib.get_close_matches(name, COMMANDS, n=1)
  hint = f" (did you mean {close[0]}?)" if close else ""
  raise UserError(f"{name!r} is no command{hint}; allowed: {', '.join(COMMANDS)}")


def _help() -> str:
  width = max(map(len, COMMANDS))
  lines = [f"  {name:{width}}  {text}" for name, text in COMMANDS.items()]
  return "\n".join(
    ["python -m gippo_jax COMMAND [--FLAG=VALUE ...]", "", *lines, "", "COMMAND --help shows a command's flags."]
  )
