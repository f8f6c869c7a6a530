r"""Trains a policy: `python -m gippo_jax.main --config=FILE.py:ARGUMENT [--config.FIELD=VALUE ...] --workdir=DIR`.

For example:

  python -m gippo_jax.main --config=experiments/configs/functions.py:ackley64 --workdir=runs/ackley64
"""

import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from absl import app, flags
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "Configuration file with get_config(argument): PATH.py:ARGUMENT. --config.FIELD=VALUE changes a field.",
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the run's files; made if needed. Default: runs/NAME.")
_CACHE = flags.DEFINE_bool("compilation_cache", True, "Keep compiled programs on disk for the next run.")

_NO_CONFIG = """\
Nothing to train: give a configuration, for example

  python -m gippo_jax.main --config=experiments/configs/functions.py:ackley64 --workdir=runs/ackley64

Change any field with --config.FIELD=VALUE, e.g. --config.algorithm=ppo --config.num_seeds=5;
docs/configuration.md lists them. --help shows the flags."""


def main(arguments: Sequence[str]) -> int:
  """Parses, validates, runs; returns the exit code."""
  from gippo_jax.errors import UserError

  if len(arguments) > 1:
    raise UserError(f"{arguments[1]!r} is no flag; allowed: --config, --config.FIELD, --workdir, --help")
  if _CONFIG.value is None:
    print(_NO_CONFIG)
    return 2

  import envs
  from gippo_jax.parsing import parse
  from gippo_jax.workdir import Workdir

  experiment = parse(_CONFIG.value)
  configure_jax(experiment.run.num_seeds)  # first: environments may make arrays
  try:
    env = envs.make(**experiment.env)
  except ValueError as error:
    raise UserError(f"config.{error}") from None

  workdir = Workdir(_WORKDIR.value or pathlib.Path("runs") / experiment.label)
  workdir.check(experiment.to_dict())
  summary = workdir.finished_summary()
  if summary is not None:
    print(f"{workdir.path} holds this run, {summary['status']}; nothing to do.")
  else:
    from gippo_jax.differentiability import probe_gradients
    from gippo_jax.progress import default_progress
    from gippo_jax.runner import run

    if experiment.run.gradient_probe:
      probe_gradients(env, experiment.config)
    workdir.open(experiment.to_dict())
    summary = run(experiment, env, workdir, default_progress())
  print(_result_line(summary, workdir))
  for seed, reason in zip(summary["seeds"], summary["reasons"], strict=True):
    if reason:
      print(f"seed {seed} was given up: {reason}", file=sys.stderr)
  return {"interrupted": 130, "diverged": 1}.get(summary["status"], 0)


def configure_jax(num_members: int) -> None:
  """One host device per member up to the number of cores, and compiled programs kept on disk."""
  import jax

  if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    jax.config.update("jax_num_cpu_devices", min(num_members, len(os.sched_getaffinity(0))))
  if _CACHE.value and not jax.config.jax_compilation_cache_dir:
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "gippo_jax"
    try:
      cache.mkdir(parents=True, exist_ok=True)
    except OSError:
      return
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _result_line(summary: dict, workdir) -> str:
  def mean(name):
    values = [value for value in summary[name] if value is not None]
    return f"{sum(values) / len(values):.6g}" if values else "none"

  seeds = f"{len(summary['seeds'])} seed{'s' if len(summary['seeds']) > 1 else ''}"
  return (
    f"{summary['status']}: {summary['algorithm']}, {seeds}, {summary['epochs']} epochs; best return "
    f"{mean('best_return')}, evaluation return {mean('evaluation_return')} (of the best policy "
    f"{mean('best_evaluation_return')}); compiled in {summary['compile_seconds']:.1f} s, ran "
    f"{summary['run_seconds']:.1f} s, peak memory {summary['memory_bytes']['peak'] / 2**20:.0f} MiB; files in "
    f"{workdir.path}"
  )


def console(run: Callable[[Sequence[str]], int] = main) -> None:
  """Runs a command: errors of the user end in one line and exit code 2.

  absl's own `app.run` is used for help alone: its errors are pages long, and it turns on the logs of other packages.
  """
  if any(argument in ("--help", "-h", "-help", "--helpfull") for argument in sys.argv[1:]):
    app.run(run)
  from gippo_jax.command_line import parse_flags
  from gippo_jax.errors import UserError

  try:
    sys.exit(run(parse_flags(sys.argv)))
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
  console()
