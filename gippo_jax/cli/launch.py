r"""Hands a sweep out as jobs: `python -m gippo_jax launch slurm --shards=N [job's flags] [the sweep's flags]`.

For example:

  python -m gippo_jax launch slurm --shards=8 --partition=gpu --gpus=1 --time=120 \
    --config=experiments/configs/functions.py:ackley64 --sweep=ppo.learning_rate=0.01,0.02 --workdir=runs/rates

Each job runs `python -m gippo_jax sweep` with the sweep's flags and `--shard=i/N`. `local` in place of `slurm` runs the
jobs as processes of this machine.
"""

import argparse
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from gippo_jax.errors import UserError
from gippo_jax.sweep.shards import format_shard

_INSTALL = 'pip install "gippo_jax[slurm]"'


class ShardJob(NamedTuple):
  """What one job runs; called by submitit on the machine that got it.

  Attributes:
    command: program and arguments.
    folder: where the job was submitted from: paths in the flags are relative to it.
  """

  command: tuple[str, ...]
  folder: str

  def __call__(self) -> None:
    """Runs the command, its output in the job's log.

    Raises:
      subprocess.CalledProcessError: when it fails, so that SLURM counts the job as failed.
    """
    subprocess.run(self.command, cwd=self.folder, check=True)


def parse_arguments(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
  """The launcher's own flags, and the sweep's.

  Args:
    arguments: as `sys.argv[1:]`.

  Raises:
    UserError: for a value that is not allowed.
  """
  parser = argparse.ArgumentParser(
    prog="python -m gippo_jax launch",
    description="Hands a sweep out as jobs. All other flags are those of python -m gippo_jax.sweep.",
    allow_abbrev=False,
  )
  parser.error = _refuse
  parser.add_argument("cluster", choices=("slurm", "local"), help="a SLURM array, or processes of this machine")
  parser.add_argument("--shards", type=int, required=True, help="number of jobs")
  parser.add_argument("--at_once", type=int, help="most jobs that run at once")
  parser.add_argument("--partition", help="SLURM partition")
  parser.add_argument("--time", type=int, default=60, help="minutes until a job is stopped (default: 60)")
  parser.add_argument("--gpus", type=int, default=0, help="GPUs of a job (default: 0)")
  parser.add_argument("--cpus", type=int, default=1, help="CPU cores of a job (default: 1)")
  parser.add_argument("--memory", type=int, default=8, help="memory of a job in GB (default: 8)")
  parser.add_argument("--workdir", required=True, help="folder of the sweep; the jobs' logs go into its folder jobs")
  options, rest = parser.parse_known_args(list(arguments))
  for name, least in (("shards", 1), ("at_once", 1), ("time", 1), ("gpus", 0), ("cpus", 1), ("memory", 1)):
    value = getattr(options, name)
    if value is not None and value < least:
      raise UserError(f"--{name}: {value} is not allowed; allowed: integer >= {least}")
  for argument in rest:
    if argument.lstrip("-").split("=")[0] == "shard":
      raise UserError(f"{argument} is set by the launcher; allowed: --shards, the number of jobs")
  return options, [*rest, f"--workdir={options.workdir}"]


def jobs_of(shards: int, flags: Sequence[str], command: Sequence[str] = ("gippo_jax", "sweep")) -> list[ShardJob]:
  """One job per shard, run by this Python.

  Args:
    shards: number of jobs.
    flags: of the command.
    command: the module and its words; takes `--shard`.
  """
  return [
    ShardJob((sys.executable, "-m", *command, *flags, f"--shard={format_shard(index, shards)}"), os.getcwd())
    for index in range(shards)
  ]


def job_parameters(options: argparse.Namespace) -> dict[str, Any]:
  """What submitit is told about a job; names with `slurm_` count on SLURM alone."""
  parameters = {
    "name": pathlib.Path(options.workdir).name,
    "timeout_min": options.time,
    "gpus_per_node": options.gpus,
    "cpus_per_task": options.cpus,
    "mem_gb": options.memory,
    "slurm_array_parallelism": options.at_once or options.shards,
  }
  return parameters | ({"slurm_partition": options.partition} if options.partition else {})


def submit(options: argparse.Namespace, jobs: Sequence[ShardJob]) -> list[Any]:
  """Submits the jobs as one array.

  Args:
    options: from `parse_arguments`.
    jobs: from `jobs_of`.

  Returns:
    submitit's jobs.

  Raises:
    UserError: when submitit is missing, or there is no SLURM on this machine.
  """
  try:
    import submitit
  except ModuleNotFoundError:
    raise UserError(f"submitit is not installed; allowed: {_INSTALL}") from None
  try:
    executor = submitit.AutoExecutor(pathlib.Path(options.workdir) / "jobs", cluster=options.cluster)
  except RuntimeError as error:
    raise UserError(f"{options.cluster}: {error}; allowed: a machine with sbatch, or local") from None
  executor.update_parameters(**job_parameters(options))
  with executor.batch():
    submitted = [executor.submit(job) for job in jobs]
  return submitted


def main(arguments: Sequence[str]) -> int:
  """Parses and submits; waits only for local jobs. Returns the exit code."""
  options, flags = parse_arguments(arguments)
  submitted = submit(options, jobs_of(options.shards, flags))
  print(f"{len(submitted)} jobs, the first {submitted[0].job_id}; logs in {options.workdir}/jobs")
  if options.cluster == "slurm":
    return 0
  failed = [job.job_id for job in submitted if job.exception() is not None]
  for job_id in failed:
    print(f"job {job_id} failed; see {options.workdir}/jobs/{job_id}_0_log.err", file=sys.stderr)
  return 1 if failed else 0


def _refuse(message: str) -> None:
  raise UserError(message)
