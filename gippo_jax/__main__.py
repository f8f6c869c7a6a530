"""`python -m gippo_jax COMMAND`."""

if __name__ == "__main__":
  from gippo_jax.runs.interrupt import end_at_once

  end_at_once()
  from gippo_jax.cli.commands import main

  main()
