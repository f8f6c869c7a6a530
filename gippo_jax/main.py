"""Trains a policy: `python -m gippo_jax.main`, the same as `python -m gippo_jax train`."""

import sys

from gippo_jax.cli import train
from gippo_jax.cli.flags import run_command

if __name__ == "__main__":
  run_command(train.FLAGS, train.main, sys.argv[1:])
