"""`python -m gippo_jax COMMAND`."""

import importlib
import sys

from gippo_jax.cli.train import console

_COMMANDS = ("train", "render", "sweep", "tune", "launch")


def main() -> None:
  """Runs the command that the first argument names."""
  command = sys.argv.pop(1)
  console(importlib.import_module(f"gippo_jax.cli.{command}").main)


if __name__ == "__main__":
  main()
