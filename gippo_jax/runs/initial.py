"""Where a run starts that begins from another one: that run's networks and statistics, with fresh optimisers."""

import jax
import jax.numpy as jnp

from gippo_jax.errors import UserError
from gippo_jax.learning.state import PolicyState, TrainingState
from gippo_jax.runs import stored
from gippo_jax.runs.checkpoint import restore_subtrees

# What a run hands on; optimisers, returns, environments and random keys are the new run's own.
_HANDED_ON = ("actor", "critic", "target_critic", "observation_statistics", "value_statistics")


def start_from(path: str, states: TrainingState, seeds: list[int]) -> TrainingState:
  """First states with the networks and statistics of another run's last checkpoint.

  A seed takes those of the same seed where the other run has it, else those of its best one.

  Args:
    path: the other run's folder.
    states: first states of this run, `[num_members]`.
    seeds: of the members, `[num_members]`.

  Raises:
    UserError: when there is no such run, or its networks have other shapes.
  """
  source = stored.open_run(path, flag="--init_from")
  best = stored.best_seed(source.workdir, source.seeds, which="final")
  rows = jnp.asarray([source.seeds.index(seed if seed in source.seeds else best) for seed in seeds])
  wanted = {name: getattr(states, name) for name in _HANDED_ON}
  like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(source.seeds), *leaf.shape[1:]), leaf.dtype), wanted)
  try:
    found = restore_subtrees(stored.checkpoint_of(source, "--init_from"), like)
  except UserError as error:
    raise UserError(f"--init_from: {error}; allowed: a run with the same networks and observations") from None
  handed_on = jax.tree.map(lambda leaf: leaf[rows], found)
  policy = PolicyState(handed_on["actor"], handed_on["observation_statistics"])
  return states.replace(**handed_on, best_policy=jax.tree.map(jnp.copy, policy))
