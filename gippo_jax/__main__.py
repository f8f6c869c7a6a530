"""`python -m gippo_jax COMMAND`."""

from gippo_jax.cli.commands import main

if __name__ == "__main__":
  main()
