"""`python -m gippo_jax launch`."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from gippo_jax.cli import sweep
from gippo_jax.cli.flags import Flags
from gippo_jax.errors import UserError

if TYPE_CHECKING:
  import submitit

_INSTALL = 'pip install "gippo_jax[slurm]"'

_CLUSTERS = ("slurm", "local")
_WANTED = {"shards": "the number of jobs", "workdir": "the folder of the sweep"}

FLAGS = Flags(
  "launch",
  r"""
Hands a sweep out as jobs: python -m gippo_jax launch slurm --shards=N [job's flags] [the sweep's flags]

For example:

  python -m gippo_jax launch slurm --shards=8 --partition=gpu --gpus=1 --time=120 \
    --config=functions:ackley64 --grid="ppo.learning_rate=0.01,0.02" --workdir=runs/rates

Each job runs python -m gippo_jax sweep with the sweep's flags and --shard=i/N. local in place of slurm runs the jobs as
processes of this machine. All other flags are those of python -m gippo_jax sweep.""",
  words=_CLUSTERS,
  passes_on=True,
)
_SHARDS = FLAGS.integer("shards", None, "Number of jobs.", minimum=1)
_AT_ONCE = FLAGS.integer("at_once", None, "Most jobs that run at once.", minimum=1)
_PARTITION = FLAGS.text("partition", None, "SLURM partition.")
_TIME = FLAGS.integer("time", 60, "Minutes until a job is stopped.", minimum=1)
_GPUS = FLAGS.integer("gpus", 0, "GPUs of a job.")
_CPUS = FLAGS.integer("cpus", 1, "CPU cores of a job.", minimum=1)
_MEMORY = FLAGS.integer("memory", 8, "Memory of a job in GB.", minimum=1)
_WORKDIR = FLAGS.text("workdir", None, "Folder of the sweep; the jobs' logs go into its folder jobs.")


class LaunchOptions(NamedTuple):
  """The launcher's flags; see `--help`."""

  cluster: str
  shards: int
  at_once: int | None
  partition: str | None
  time: int
  gpus: int
  cpus: int
  memory: int
  workdir: str


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


def parse_arguments(arguments: Sequence[str]) -> tuple[LaunchOptions, list[str]]:
  """The launcher's own flags, and the sweep's.

  Args:
    arguments: without the program's name.

  Raises:
    UserError: for a value that is not allowed, or a flag that is neither the launcher's nor the sweep's.
  """
  words = FLAGS.parse_known(arguments)
  if not words or words[0] not in _CLUSTERS:
    given = repr(words[0]) if words else "nothing"
    raise UserError(f"launch: {given} is not allowed; allowed: {' or '.join(_CLUSTERS)}, then the flags")
  for flag in (_SHARDS, _WORKDIR):
    if flag.value is None:
      raise UserError(f"--{flag.name} is missing; allowed: {_WANTED[flag.name]}")
  rest = [*words[1:], f"--workdir={_WORKDIR.value}"]
  for argument in rest:
    if argument.lstrip("-").split("=")[0] == "shard":
      raise UserError(f"{argument} is set by the launcher; allowed: --shards, the number of jobs")
  sweep.FLAGS.parse(rest)  # so that a wrong flag is told here, not in the jobs' logs
  options = LaunchOptions(
    words[0],
    *(flag.value for flag in (_SHARDS, _AT_ONCE, _PARTITION, _TIME, _GPUS, _CPUS, _MEMORY, _WORKDIR)),
  )
  return options, rest


def jobs_of(shards: int, flags: Sequence[str], command: Sequence[str] = ("gippo_jax", "sweep")) -> list[ShardJob]:
  """One job per shard, run by this Python.

  Args:
    shards: number of jobs.
    flags: of the command.
    command: the module and its words; takes `--shard`.
  """
  from gippo_jax.sweep.shards import format_shard

  return [
    ShardJob((sys.executable, "-m", *command, *flags, f"--shard={format_shard(index, shards)}"), os.getcwd())
    for index in range(shards)
  ]


def job_parameters(options: LaunchOptions) -> dict[str, object]:
  """What submitit is told about a job; names with `slurm_` count on SLURM alone."""
  parameters: dict[str, object] = {
    "name": pathlib.Path(options.workdir).name,
    "timeout_min": options.time,
    "gpus_per_node": options.gpus,
    "cpus_per_task": options.cpus,
    "mem_gb": options.memory,
    "slurm_array_parallelism": options.at_once or options.shards,
  }
  return parameters | ({"slurm_partition": options.partition} if options.partition else {})


def submit(options: LaunchOptions, jobs: Sequence[ShardJob]) -> "list[submitit.Job]":
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


def main(words: Sequence[str]) -> int:
  """Parses and submits; waits only for local jobs. Returns the exit code."""
  options, flags = parse_arguments(words)
  submitted = submit(options, jobs_of(options.shards, flags))
  print(f"{len(submitted)} jobs, the first {submitted[0].job_id}; logs in {options.workdir}/jobs")
  if options.cluster == "slurm":
    return 0
  failed = [job.job_id for job in submitted if job.exception() is not None]
  for job_id in failed:
    print(f"job {job_id} failed; see {options.workdir}/jobs/{job_id}_0_log.err", file=sys.stderr)
  return 1 if failed else 0
