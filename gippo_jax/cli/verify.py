"""`python -m gippo_jax verify`."""

from collections.abc import Sequence

from gippo_jax.cli.flags import Flags
from gippo_jax.errors import UserError

FLAGS = Flags(
  "verify",
  """
Trains a run again from a checkpoint it has kept, and compares: python -m gippo_jax verify --workdir=DIR

Nothing is written. Says that every metric and the state are equal bit for bit (exit code 0), or the first epoch and
metric, or array, that differ (exit code 1).""",
)
_WORKDIR = FLAGS.text("workdir", None, "Folder of the run.")
_FROM_START = FLAGS.switch("from_start", False, "Train again from the first epoch, not from a checkpoint.")
_DETERMINISTIC = FLAGS.switch("deterministic", False, "As for train.")


def main(words: Sequence[str]) -> int:
  """Trains again and reports."""
  del words
  if _WORKDIR.value is None:
    raise UserError("--workdir is missing; allowed: the folder of a run")
  from gippo_jax.programs.devices import configure_jax, make_deterministic, num_cores
  from gippo_jax.programs.members import make_members
  from gippo_jax.programs.sharded import ShardedMembers
  from gippo_jax.runs.checkpoint import latest
  from gippo_jax.runs.environments import make_environment
  from gippo_jax.runs.history import spreads_environments
  from gippo_jax.runs.progress import default_progress
  from gippo_jax.runs.stored import checkpoint_of, open_run
  from gippo_jax.runs.threads import use_one_if_small
  from gippo_jax.runs.verification import verify

  run = open_run(_WORKDIR.value)
  by_environment = spreads_environments(checkpoint_of(run))
  if _DETERMINISTIC.value:
    make_deterministic()
  if not by_environment:
    use_one_if_small(run.experiment)
  configure_jax(num_cores() if by_environment else run.experiment.run.num_seeds)
  env = make_environment(run.experiment.env)
  make = ShardedMembers if by_environment else make_members
  members = make(env, run.experiment.config, run.experiment.run.num_seeds)
  verdict = verify(run, members, default_progress(), _FROM_START.value)
  trained = f"epochs {verdict.first} to {verdict.last} trained again, {verdict.compared} rows of metrics compared"
  if verdict.difference is None:
    print(f"equal bit for bit: {trained}; {latest(run.workdir.checkpoint)}")
    return 0
  print(f"different from {verdict.difference} on: {trained}; {run.workdir.path}")
  return 1
