"""A trainer's process: `python -m gippo_jax.experiments.peers.child MODULE REQUEST`.

Plain Python until the standard output is out of the packages' reach: some print when they are imported.
"""

import importlib
import json
import os
import sys

from gippo_jax.experiments.peers.lines import Event, Request, line_of


def main() -> None:
  """Trains what the command line asks for; what packages print goes to the standard error."""
  module, request = sys.argv[1:]
  channel = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)

  def emit(event: Event) -> None:
    channel.write(line_of(event) + "\n")
    channel.flush()

  trainer = importlib.import_module(f"gippo_jax.experiments.peers.{module}")
  trainer.train(Request(**json.loads(request)), emit)


if __name__ == "__main__":
  main()
