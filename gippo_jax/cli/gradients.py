"""`python -m gippo_jax gradients`."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gippo_jax.cli.flags import Flags
from gippo_jax.errors import UserError

if TYPE_CHECKING:
  from gippo_jax.learning.policies import Policy
  from gippo_jax.parsing import Experiment
  from gippo_jax.programs.culprits import Culprit
  from gippo_jax.programs.gradients import Counts

FLAGS = Flags(
  "gradients",
  """
Says why gradients through an environment are not finite: python -m gippo_jax gradients --config=any:shac
--config.env.name=my_package.hover:Hover, or python -m gippo_jax gradients --workdir=DIR

Plays with random actions, or with the policy of the run in --workdir, and counts the steps whose own derivative is not
finite, and the samples whose gradient through a window of config.horizon steps is not. For some of these steps it finds
the operation that does it, its operands, and the line of source. Exit code 0 when all is finite, else 1.""",
  takes_config=True,
)
_WORKDIR = FLAGS.text(
  "workdir", None, "Folder of a run: its policy acts, in its own environment. Default: random actions."
)
_SEED = FLAGS.integer("seed", None, "Which of the run's seeds; the one of best evaluation by default.")
_POLICY = FLAGS.choice("policy", "best", ["best", "final"], "The run's best policy, or its last.")
_EXPLORE = FLAGS.switch("explore", True, "Draw actions from the policy, as training does; its mean with --noexplore.")
_NUM_ENVS = FLAGS.integer("num_envs", None, "Environments side by side. Default: config.num_envs.", minimum=1)
_NUM_STEPS = FLAGS.integer(
  "num_steps", None, "Steps of each, a multiple of config.horizon. Default: 4 windows.", minimum=1
)
_EPISODE_SEED = FLAGS.integer("episode_seed", 0, "Draws other starts and actions for each number.")
_EXAMPLES = FLAGS.integer("examples", 3, "Operations that are shown.", minimum=1)
_EXAMINED = FLAGS.integer("examined", 8, "Broken steps that are looked into, operation by operation.", minimum=1)
_OUT = FLAGS.text("out", None, "JSON file to write. Default: none.")


def main(words: Sequence[str]) -> int:
  """Plays, examines and reports."""
  del words
  given = FLAGS.config
  if _WORKDIR.value is None and given.source is None and "env.name" not in given.overrides:
    raise UserError("--config is missing; allowed: --config=any:shac --config.env.name=NAME, or --workdir=DIR of a run")
  from gippo_jax.cli.configuration import experiment_of
  from gippo_jax.programs.devices import configure_jax
  from gippo_jax.runs.stored import choose_seed, open_run

  stored, seed = None, None
  if _WORKDIR.value is not None:
    run = open_run(_WORKDIR.value)
    stored, seed = run.workdir.stored(), choose_seed(run.workdir, _SEED.value, _POLICY.value)
  experiment = experiment_of(given, stored)
  horizon = experiment.config.horizon
  num_steps = 4 * horizon if _NUM_STEPS.value is None else _NUM_STEPS.value
  if num_steps % horizon:
    raise UserError(f"--num_steps: {num_steps} is not allowed; allowed: a multiple of config.horizon = {horizon}")
  configure_jax(1)
  import jax

  from gippo_jax.programs.culprits import culprits_of
  from gippo_jax.programs.gradients import count
  from gippo_jax.runs.environments import make_environment

  env = make_environment(experiment.env)
  policy = None if seed is None else _policy(env, seed)
  num_envs = _NUM_ENVS.value or experiment.config.num_envs
  counts, samples, step = count(
    env,
    experiment.config,
    jax.random.key(_EPISODE_SEED.value),
    num_envs,
    num_steps // horizon,
    policy,
    _EXPLORE.value,
    _EXAMINED.value,
  )
  print("\n".join(_counted(experiment, counts, num_envs, num_steps)), flush=True)
  culprits = culprits_of(step, samples)  # takes longer
  print("\n".join(_examined(culprits, counts.broken, len(samples))), end="\n" if samples else "")
  if _OUT.value:
    _write(pathlib.Path(_OUT.value).expanduser(), experiment, counts, culprits, len(samples))
  return 1 if counts.failed or counts.broken or counts.lost else 0


def _policy(env, seed: int) -> "Policy":
  from gippo_jax.runs.stored import load_policy

  policy = load_policy(_WORKDIR.value, seed, _POLICY.value)
  size = policy.observation_statistics.mean.shape[0]
  if size != env.observation_size:
    raise UserError(
      f"--workdir: its policy sees {size} observations, the environment has {env.observation_size}; allowed: the run's "
      "own environment"
    )
  return policy


def _counted(experiment: "Experiment", counts: "Counts", num_envs: int, num_steps: int) -> list[str]:
  """The numbers in words."""
  actions = "random actions" if _WORKDIR.value is None else f"the {_POLICY.value} policy of {_WORKDIR.value}"
  share = lambda number: f"{100 * number / counts.samples:.3g} % ({number} of {counts.samples})"  # noqa: E731
  lines = [
    f"{experiment.env['name']}: {num_envs} environments, {num_steps} steps, {actions}",
    f"values not finite: {share(counts.failed)}",
    f"derivative of the step itself not finite: {share(counts.broken)}; largest finite norm {counts.largest_step:.4g}",
    f"gradient through windows of {experiment.config.horizon} steps not finite: {share(counts.lost)}; largest finite "
    f"norm {counts.largest_window:.4g}",
  ]
  if counts.norm_by_age:
    lines.append("mean norm by age, a window's first steps first: " + " ".join(f"{x:.3g}" for x in counts.norm_by_age))
  if counts.unexplained:
    lines.append(
      f"without a broken step from there to the window's end: {share(counts.unexplained)}; the product of finite "
      "derivatives left the range of floats (a shorter config.horizon), or the policy's is not finite"
    )
  if counts.leaves:
    most = sorted(counts.leaves.items(), key=lambda pair: -pair[1])
    lines.append("derivatives by: " + ", ".join(f"{name} ({number})" for name, number in most[:6]))
  return lines


def _examined(culprits: "list[Culprit]", broken: int, examined: int) -> list[str]:
  """The operations in words."""
  if not examined:
    return []
  lines = [f"operations, in {examined} of the {broken} broken steps, the ones that break most first:"]
  for culprit in culprits[: _EXAMPLES.value]:
    lines += ["", *culprit.lines(examined)]
  if not culprits:
    lines.append("none was found: operation by operation all is finite; what is compiled rounds differently")
  if len(culprits) > _EXAMPLES.value:
    lines += ["", f"and {len(culprits) - _EXAMPLES.value} more; --examples shows them"]
  return lines


def _write(
  out: pathlib.Path, experiment: "Experiment", counts: "Counts", culprits: "list[Culprit]", examined: int
) -> None:
  from gippo_jax.runs.files import unwritable, write_json

  report = {
    "environment": experiment.env,
    "horizon": experiment.config.horizon,
    **counts._asdict(),
    "examined": examined,
    "operations": [culprit.plain() for culprit in culprits],
  }
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, report)
  except OSError as error:
    raise unwritable("--out", out, error) from None
