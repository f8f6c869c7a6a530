"""Trains a policy: `python -m gippo_jax.main`, the same as `python -m gippo_jax train`."""

import sys

if __name__ == "__main__":
  from gippo_jax.runs.interrupt import end_at_once

  end_at_once()
  from gippo_jax.cli import train
  from gippo_jax.cli.flags import run_command

  run_command(train.FLAGS, train.main, sys.argv[1:])
