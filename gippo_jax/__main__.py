"""`python -m gippo_jax COMMAND`."""

import sys

if __name__ == "__main__":
  try:
    from gippo_jax.cli.commands import main

    main()
  except KeyboardInterrupt:  # while modules are still read
    sys.exit(130)
