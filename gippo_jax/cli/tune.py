r"""Tunes hyper-parameters: `python -m gippo_jax tune --config=FILE.py:ARGUMENT --space=FILE.py --trials=N`.

For example:

  python -m gippo_jax tune --config=experiments/configs/functions.py:ackley64 --space=experiments/spaces/functions.py \
      --trials=20 --workdir=runs/tune_ackley64

The same command resumes an interrupted study; a larger --trials continues a finished one.
"""

import os
import pathlib
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from gippo_jax.cli.train import configure_jax
from gippo_jax.errors import UserError

_SPACE = flags.DEFINE_string(
  "space", None, "Python file with get_space(trial) -> {field: value}. Default: the GI-PPO authors' ranges."
)
_TRIALS = flags.DEFINE_integer("trials", 20, "Trials in the end, with those the folder already has.", lower_bound=1)
_BATCH = flags.DEFINE_integer(
  "batch",
  None,
  "Trials trained side by side in one compiled program. Default: as many as keep the cores busy; 8 on a GPU.",
  lower_bound=1,
)
_SAMPLER_SEED = flags.DEFINE_integer("sampler_seed", 0, "Seed of the sampler.", lower_bound=0)
_PRUNE = flags.DEFINE_bool("prune", True, "Give up trials that fall below the median of earlier ones.")

_ACCELERATOR_BATCH = 8


def main(arguments: Sequence[str]) -> int:
  """Parses, validates, tunes; returns the exit code."""
  if len(arguments) > 1:
    raise UserError(f"{arguments[1]!r} is no flag; allowed: --config, --config.FIELD, --space, --trials, --workdir")
  if flags.FLAGS.config is None:
    raise UserError("--config is missing; allowed: PATH.py:ARGUMENT, e.g. experiments/configs/functions.py:ackley64")
  try:
    import optuna
  except ImportError:
    raise UserError('tuning needs Optuna: pip install "gippo_jax[tune]"') from None
  optuna.logging.set_verbosity(optuna.logging.WARNING)

  from gippo_jax import envs
  from gippo_jax.parsing import parse
  from gippo_jax.programs.probe import probe_gradients
  from gippo_jax.runs.progress import default_progress
  from gippo_jax.runs.workdir import Workdir
  from gippo_jax.tune.results import best_trial, training_command, write_results
  from gippo_jax.tune.space import PAPER_SPACE, Space
  from gippo_jax.tune.study import Options, make_programs, num_finished, open_study, tune

  experiment = parse(flags.FLAGS.config)
  if _SPACE.value is None and experiment.config.algorithm != "gippo":
    raise UserError(
      f"--space is missing; allowed: PATH.py (the default is for gippo, not {experiment.config.algorithm})"
    )
  space = Space(pathlib.Path(_SPACE.value) if _SPACE.value else PAPER_SPACE)
  space.check(experiment)
  num_seeds = experiment.run.num_seeds
  configure_jax((_BATCH.value or len(os.sched_getaffinity(0))) * num_seeds)  # first: environments may make arrays
  try:
    env = envs.make(**experiment.env)
  except ValueError as error:
    raise UserError(f"config.{error}") from None
  if experiment.run.gradient_probe:
    probe_gradients(env, experiment.config)

  workdir = Workdir(flags.FLAGS.workdir or pathlib.Path("runs") / f"tune_{experiment.label}")
  options = Options(_TRIALS.value, _BATCH.value or default_batch(num_seeds), _SAMPLER_SEED.value, _PRUNE.value)
  interrupted = False
  with open_study(workdir, experiment, space, options) as study:
    if num_finished(study) >= options.num_trials:
      print(f"{workdir.path} holds {num_finished(study)} finished trials; nothing to do.")
    try:
      programs = make_programs(env, experiment)
      tune(study, experiment, programs, space, options, workdir.path, default_progress())
    except KeyboardInterrupt:
      interrupted = True
    write_results(study, workdir.path)
    count, best = num_finished(study), best_trial(study)
    status = "interrupted" if interrupted else "finished"
    if best is None:
      print(f"{status}: {count} trials, none complete; reasons in {workdir.path / 'trials.csv'}", file=sys.stderr)
    else:
      config = flags.FLAGS["config"]
      command = training_command(
        config_flags.get_config_filename(config),
        config_flags.get_override_values(config),
        best,
        workdir.path / "best",
      )
      print(f"{status}: {count} trials; the best is trial {best.number}, {best.value:.6g}. To train it:\n{command}")
  if interrupted:
    return 130
  return 0 if best is not None else 1


def default_batch(num_seeds: int) -> int:
  """As many trials as keep all devices busy on CPUs, where a larger batch only tells the sampler later; 8 elsewhere."""
  import jax

  devices = jax.local_devices()
  return -(-len(devices) // num_seeds) if devices[0].platform == "cpu" else _ACCELERATOR_BATCH
