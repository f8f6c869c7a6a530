"""`python -m gippo_jax tune`."""

import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gippo_jax.cli.flags import ConfigFlags, Flags
from gippo_jax.errors import UserError

if TYPE_CHECKING:
  from optuna.trial import FrozenTrial

FLAGS = Flags(
  "tune",
  r"""
Tunes hyper-parameters: python -m gippo_jax tune --config=PRESET --space=FILE.py --trials=N --workdir=DIR

For example:

  python -m gippo_jax tune --config=functions:ackley64 --space=experiments/spaces/functions.py --trials=20 \
    --workdir=runs/tune_ackley64

The same command resumes an interrupted study; a larger --trials continues a finished one.""",
  takes_config=True,
)
_WORKDIR = FLAGS.text("workdir", None, "Folder of the study; made if needed. Default: runs/tune_NAME.")
_SPACE = FLAGS.text(
  "space", None, "Python file with get_space(trial) -> {field: value}. Default: the GI-PPO authors' ranges."
)
_TRIALS = FLAGS.integer("trials", 20, "Trials of the study in the end, with those it already has.", minimum=1)
_BATCH = FLAGS.integer(
  "batch",
  None,
  "Trials trained side by side in one compiled program. Default: as many as keep the cores busy; 8 on a GPU.",
  minimum=1,
)
_SAMPLER_SEED = FLAGS.integer("sampler_seed", 0, "Seed of the sampler.")
_PRUNE = FLAGS.switch("prune", True, "Give up trials that fall below the median of earlier ones.")
_STORAGE = FLAGS.text(
  "storage",
  None,
  "Where the study is kept: journal:PATH or a database's URL, for several processes at once; sqlite:///PATH, for one. "
  "Default: a file in the folder, for one.",
)
_STUDY = FLAGS.text("study", None, "Name of the study in the storage. Default: the experiment's.")
_CACHE = FLAGS.switch("compilation_cache", True, "Keep compiled programs on disk for the next run.")

_ACCELERATOR_BATCH = 8


def main(words: Sequence[str]) -> int:
  """Parses, validates, tunes; returns the exit code."""
  del words
  if FLAGS.config.source is None and "env.name" not in FLAGS.config.overrides:
    raise UserError("--config is missing; allowed: PRESET or PATH.py:ARGUMENT, e.g. functions:ackley64")
  try:
    import optuna
  except ImportError:
    raise UserError('tuning needs Optuna: pip install "gippo_jax[tune]"') from None
  optuna.logging.set_verbosity(optuna.logging.WARNING)

  from gippo_jax.cli.configuration import experiment_of
  from gippo_jax.programs import estimate
  from gippo_jax.programs.devices import configure_jax, num_cores
  from gippo_jax.programs.probe import probe_gradients
  from gippo_jax.runs.environments import make_environment
  from gippo_jax.runs.interrupt import raised
  from gippo_jax.runs.progress import default_progress
  from gippo_jax.runs.workdir import Workdir
  from gippo_jax.tune.opening import open_study
  from gippo_jax.tune.results import best_trial, write_results
  from gippo_jax.tune.space import PAPER_SPACE, Space
  from gippo_jax.tune.storage import parse_storage
  from gippo_jax.tune.study import Options, make_programs, num_finished, tune

  experiment = experiment_of(FLAGS.config)
  storage = parse_storage(_STORAGE.value) if _STORAGE.value is not None else None
  if _SPACE.value is None and experiment.config.algorithm != "gippo":
    raise UserError(
      f"--space is missing; allowed: PATH.py (the default is for gippo, not {experiment.config.algorithm})"
    )
  space = Space(pathlib.Path(_SPACE.value) if _SPACE.value else PAPER_SPACE)
  space.check(experiment)
  num_seeds = experiment.run.num_seeds
  configure_jax((_BATCH.value or num_cores()) * num_seeds, _CACHE.value)  # first: environments may make arrays
  env = make_environment(experiment.env)
  estimate.require_run(env, experiment.config, num_seeds, experiment.run.evaluation_episodes)
  if experiment.run.gradient_probe:
    probe_gradients(env, experiment.config)

  workdir = Workdir(_WORKDIR.value or pathlib.Path("runs") / f"tune_{experiment.label}")
  batch = _BATCH.value or default_batch(num_seeds)
  options = Options(_TRIALS.value, batch, _SAMPLER_SEED.value, _PRUNE.value, storage, _STUDY.value)
  interrupted = False
  with open_study(workdir, experiment, space, options) as study:
    if num_finished(study) >= options.num_trials:
      print(f"{workdir.path} holds {num_finished(study)} finished trials; nothing to do.")
    try:
      with raised():
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
      command = training_command(FLAGS.config, best, workdir.path / "best")
      print(f"{status}: {count} trials; the best is trial {best.number}, {best.value:.6g}. To train it:\n{command}")
  if interrupted:
    return 130
  return 0 if best is not None else 1


def default_batch(num_seeds: int) -> int:
  """As many trials as keep all devices busy on CPUs, where a larger batch only tells the sampler later; 8 elsewhere."""
  import jax

  devices = jax.local_devices()
  return -(-len(devices) // num_seeds) if devices[0].platform == "cpu" else _ACCELERATOR_BATCH


def training_command(given: ConfigFlags, best: "FrozenTrial", workdir: pathlib.Path) -> str:
  """The command line that trains a trial's configuration.

  Args:
    given: what the study's command line said of the configuration; the trial's own fields win.
    best: the trial.
    workdir: folder for the run.
  """
  from gippo_jax.tune.results import as_text

  fields = {**given.overrides, **{name: as_text(value) for name, value in best.user_attrs["fields"].items()}}
  changes = [f"--config.{name}={text}" for name, text in fields.items()]
  plugins = [f"--plugin={plugin}" for plugin in given.plugins]
  source = [f"--config={given.source}"] if given.source else []
  return shlex.join(["python", "-m", "gippo_jax.main", *source, *plugins, *changes, f"--workdir={workdir}"])
