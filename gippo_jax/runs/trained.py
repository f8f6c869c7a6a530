"""Reads back what a run has trained."""

import json

import jax
from ml_collections import ConfigDict

from gippo_jax import envs
from gippo_jax.envs.base import Environment
from gippo_jax.runs import checkpoint
from gippo_jax.config import Config, traced
from gippo_jax.errors import UserError
from gippo_jax.parsing import parse
from gippo_jax.learning.state import PolicyState
from gippo_jax.programs.members import make_algorithm
from gippo_jax.runs.workdir import Workdir


def load(workdir_path: str, seed: int | None, best: bool) -> tuple[Environment, Config, PolicyState, int]:
  """Reads a run's environment and the policy of one of its seeds.

  Args:
    workdir_path: the run's folder.
    seed: which; the one of best evaluation when `None`.
    best: the best policy of the run, not its last.

  Returns:
    Environment, configuration, the seed's `PolicyState`, and the seed.

  Raises:
    UserError: when the folder holds no checkpoint, or no such seed.
  """
  workdir = Workdir(workdir_path)
  if not workdir.config.exists() or checkpoint.latest_epoch(workdir.checkpoint) is None:
    raise UserError(f"--workdir: {workdir.path} holds no trained run; allowed: the --workdir of gippo_jax.main")
  experiment = parse(ConfigDict(json.loads(workdir.config.read_text())))
  env = envs.make(**experiment.env)
  seeds = list(range(experiment.run.seed, experiment.run.seed + experiment.run.num_seeds))
  if seed is None:
    seed = _best_seed(workdir, seeds, "best_evaluation_return" if best else "evaluation_return")
  if seed not in seeds:
    raise UserError(f"--seed: {seed} is not in the run; allowed: {seeds[0]} to {seeds[-1]}")
  config = traced(experiment.config)
  algorithm = make_algorithm(env, experiment.config)
  like = jax.eval_shape(
    lambda keys: jax.vmap(lambda key: algorithm.init(key, config))(keys),
    jax.random.split(jax.random.key(0), len(seeds)),
  )
  states = checkpoint.restore(workdir.checkpoint, like).states
  state = jax.tree.map(lambda leaf: leaf[seeds.index(seed)], states)
  return env, config, state.best_policy if best else state.policy, seed


def _best_seed(workdir: Workdir, seeds: list[int], field: str) -> int:
  if not workdir.summary.exists():
    return seeds[0]
  returns = json.loads(workdir.summary.read_text())[field]
  return max(zip(returns, seeds, strict=True), key=lambda pair: -float("inf") if pair[0] is None else pair[0])[1]
