"""What comes before a run: all that could speak against it."""

import jax

from gippo_jax.envs.base import Environment
from gippo_jax.learning.agents import make_networks
from gippo_jax.parsing import Experiment
from gippo_jax.programs import estimate
from gippo_jax.programs.probe import probe_gradients
from gippo_jax.programs.sharded import check_divisible
from gippo_jax.runs.progress import Phases
from gippo_jax.runs.stored import checkpoint_of, open_run
from gippo_jax.runs.summary import Summary
from gippo_jax.runs.workdir import Workdir


def prepare(
  experiment: Experiment, env: Environment, workdir: Workdir, phases: Phases, by_environment: bool = False
) -> Summary | None:
  """Checks all that could speak against a run; nothing is touched.

  Args:
    experiment: to be run.
    env: its environment.
    workdir: its folder; may hold a finished run that is to go on.
    phases: told what takes time.
    by_environment: whether environments are spread over devices.

  Returns:
    The summary of a run that is done and needs nothing more; else `None`.

  Raises:
    UserError: when the run cannot be.
  """
  workdir.check(experiment, may_go_on=True)
  summary = workdir.finished_summary(experiment.config.num_epochs)
  if summary is not None and workdir.stored() is not None:
    return summary
  options = experiment.run
  estimate.require_run(env, experiment.config, options.num_seeds, options.evaluation_episodes)
  # Made once here, so that a factory of the user's own that fails does so before anything is written.
  make_networks(env.observation_size, env.action_size, experiment.config.actor, experiment.config.critic)
  if by_environment:
    check_divisible(experiment.config.num_envs, len(jax.devices()))
  if experiment.run.init_from:
    checkpoint_of(open_run(experiment.run.init_from, "--init_from"), "--init_from")
  if experiment.run.gradient_probe:
    with phases("probing the gradient"):
      probe_gradients(env, experiment.config)
  return None
