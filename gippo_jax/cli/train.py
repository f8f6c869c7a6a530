r"""Trains a policy: `python -m gippo_jax.main --config=FILE.py:ARGUMENT [--config.FIELD=VALUE ...] --workdir=DIR`.

For example:

  python -m gippo_jax.main --config=experiments/configs/functions.py:ackley64 --workdir=runs/ackley64
"""

import json
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from absl import app, flags
from ml_collections import ConfigDict, config_flags

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "Configuration file with get_config(argument): PATH.py:ARGUMENT. --config.FIELD=VALUE changes a field.",
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the run's files; made if needed. Default: runs/NAME.")
_CACHE = flags.DEFINE_bool("compilation_cache", True, "Keep compiled programs on disk for the next run.")
_SHARD = flags.DEFINE_bool(
  "shard_environments",
  False,
  "Split the environments of one run over all devices, not the seeds; see docs/sweeps_devices.md.",
)
_DISTRIBUTED = flags.DEFINE_bool(
  "distributed", False, "Run as one of several processes, started alike; implies --shard_environments."
)
_COORDINATOR = flags.DEFINE_string("coordinator_address", None, "HOST:PORT of process 0. Default: found by JAX.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes. Default: found by JAX.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of the processes this is. Default: found by JAX.")

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
  values = _CONFIG.value or _stored_config(_WORKDIR.value)
  if values is None:
    print(_NO_CONFIG)
    return 2

  from gippo_jax import envs
  from gippo_jax.parsing import parse
  from gippo_jax.runs.workdir import Workdir

  experiment = parse(values)
  by_environment = _SHARD.value or _DISTRIBUTED.value
  configure_jax(_num_cpu_devices(experiment))  # first: environments may make arrays
  from gippo_jax.programs import hosts

  if _DISTRIBUTED.value:
    hosts.connect(_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    hosts.require_same(experiment.to_dict())
  try:
    env = envs.make(**experiment.env)
  except ValueError as error:
    raise UserError(f"config.{error}") from None

  workdir = Workdir(_WORKDIR.value or pathlib.Path("runs") / experiment.label)
  summary = hosts.of_first(lambda: _prepare(experiment, env, workdir, by_environment))
  if summary is None:
    from gippo_jax.programs.members import Members
    from gippo_jax.programs.sharded import ShardedMembers
    from gippo_jax.runs.progress import NoProgress, default_progress
    from gippo_jax.runs.runner import run

    progress = default_progress() if hosts.is_first() else NoProgress()
    summary = run(experiment, env, workdir, progress, ShardedMembers if by_environment else Members)
  elif hosts.is_first():
    print(f"{workdir.path} holds this run, {summary['status']}; nothing to do.")
  if hosts.is_first():
    print(_result_line(summary, workdir))
    for seed, reason in zip(summary["seeds"], summary["reasons"], strict=True):
      if reason:
        print(f"seed {seed} was given up: {reason}", file=sys.stderr)
  return {"interrupted": 130, "diverged": 1}.get(summary["status"], 0)


def _stored_config(path: str | None) -> ConfigDict | None:
  """The configuration of the run in a folder, which `--workdir` alone takes up again; `None` where there is none."""
  file = pathlib.Path(path or os.devnull) / "config.json"
  return ConfigDict(json.loads(file.read_text())) if file.is_file() else None


def _prepare(experiment, env, workdir, by_environment: bool) -> dict | None:
  """Makes the folder ready for a run, after all that could speak against one; the summary of a run that is done."""
  import jax

  from gippo_jax.programs.probe import probe_gradients
  from gippo_jax.programs.sharded import check_divisible

  workdir.check(experiment.to_dict())
  summary = workdir.finished_summary()
  if summary is None:
    if by_environment:
      check_divisible(experiment.config.num_envs, len(jax.devices()))
    if experiment.run.gradient_probe:
      probe_gradients(env, experiment.config)
    workdir.open(experiment.to_dict())
  return summary


def _num_cpu_devices(experiment) -> int:
  """Devices that a CPU is to be: one per core for environments, at most one per seed, one per process of several."""
  if _DISTRIBUTED.value:
    return 1
  return len(os.sched_getaffinity(0)) if _SHARD.value else experiment.run.num_seeds


def configure_jax(num_devices: int) -> None:
  """So many host devices, up to the number of cores, and compiled programs kept on disk."""
  import jax

  if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    jax.config.update("jax_num_cpu_devices", min(num_devices, len(os.sched_getaffinity(0))))
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
  from gippo_jax.cli.flags import parse_flags
  from gippo_jax.errors import UserError

  try:
    sys.exit(run(parse_flags(sys.argv)))
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
