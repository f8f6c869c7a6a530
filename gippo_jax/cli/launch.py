"""`python -m gippo_jax launch`."""

import sys
from collections.abc import Sequence

from gippo_jax.cli import jobs, ray_workers, sweep
from gippo_jax.cli.flags import Flags
from gippo_jax.cli.jobs import JobOptions
from gippo_jax.errors import UserError

_CLUSTERS = ("slurm", "local", "ray")
_WANTED = {"jobs": "the number of workers", "workdir": "the folder of the sweep"}

FLAGS = Flags(
  "launch",
  r"""
Hands a sweep out to workers: python -m gippo_jax launch slurm --jobs=N [job's flags] [the sweep's flags]

For example:

  python -m gippo_jax launch slurm --jobs=8 --partition=gpu --gpus=1 --time=120 \
    --config=functions:ackley64 --grid="ppo.learning_rate=0.01,0.02" --workdir=runs/rates

Each job runs python -m gippo_jax sweep with the sweep's flags and --workers=N; what there is to train they share among
themselves. In place of slurm, local runs the jobs as processes of this machine, and ray as actors of a Ray cluster. All
other flags are those of python -m gippo_jax sweep.""",
  words=_CLUSTERS,
  passes_on=True,
)
_JOBS = FLAGS.integer("jobs", None, "Number of jobs.", minimum=1)
_AT_ONCE = FLAGS.integer("at_once", None, "SLURM: most jobs that run at once.", minimum=1)
_PARTITION = FLAGS.text("partition", None, "SLURM: the partition.")
_TIME = FLAGS.integer("time", 60, "SLURM, local: minutes until a job is stopped.", minimum=1)
_REQUEUES = FLAGS.integer("requeues", 10, "How often a job is queued again whose time is up, or whose machine is lost.")
_ADDRESS = FLAGS.text("address", None, "Ray: of the cluster. Default: Ray's own, or a new one on this machine.")
_GPUS = FLAGS.integer("gpus", 0, "GPUs of a job.")
_CPUS = FLAGS.integer("cpus", 1, "CPU cores of a job.", minimum=1)
_MEMORY = FLAGS.integer("memory", 8, "Memory of a job in GB.", minimum=1)
_WORKDIR = FLAGS.text("workdir", None, "Folder of the sweep; the jobs' logs go into its folder jobs.")


def parse_arguments(arguments: Sequence[str]) -> tuple[JobOptions, list[str]]:
  """The launcher's own flags, and the sweep's.

  Args:
    arguments: without the program's name.

  Raises:
    UserError: for a value that is not allowed, or a flag that is neither the launcher's nor the sweep's.
  """
  words = FLAGS.parse_known(arguments)
  if not words or words[0] not in _CLUSTERS:
    given = repr(words[0]) if words else "nothing"
    raise UserError(f"launch: {given} is not allowed; allowed: any of {', '.join(_CLUSTERS)}, then the flags")
  for flag in (_JOBS, _WORKDIR):
    if flag.value is None:
      raise UserError(f"--{flag.name} is missing; allowed: {_WANTED[flag.name]}")
  rest = [*words[1:], f"--workdir={_WORKDIR.value}"]
  for argument in rest:
    if argument.lstrip("-").split("=")[0] == "workers":
      raise UserError(f"{argument} is set by the launcher; allowed: --jobs, the number of workers")
  sweep.FLAGS.parse(rest)  # so that a wrong flag is told here, not in the jobs' logs
  flags = (_JOBS, _AT_ONCE, _PARTITION, _TIME, _REQUEUES, _GPUS, _CPUS, _MEMORY, _WORKDIR)
  return JobOptions(words[0], *(flag.value for flag in flags)), rest


def main(words: Sequence[str]) -> int:
  """Parses and submits; does not wait for jobs on SLURM. Returns the exit code."""
  options, flags = parse_arguments(words)
  if options.cluster == "ray":
    return _train_with_ray(options, flags)
  submitted = jobs.submit(options, jobs.jobs_of(options.jobs, flags))
  print(f"{len(submitted)} jobs, the first {submitted[0].job_id}; logs in {options.workdir}/jobs")
  if options.cluster == "slurm":
    return 0
  failed = [job.job_id for job in submitted if job.exception() is not None]
  for job_id in failed:
    print(f"job {job_id} failed; see {options.workdir}/jobs/{job_id}_0_log.err", file=sys.stderr)
  return 1 if failed else 0


def _train_with_ray(options: JobOptions, flags: Sequence[str]) -> int:
  actors = ray_workers.ActorOptions(
    options.jobs, _ADDRESS.value, options.gpus, options.cpus, options.memory, options.requeues
  )
  failed = [outcome for outcome in ray_workers.train(actors, flags) if outcome]
  for outcome in failed:
    print(f"a worker failed: {outcome}", file=sys.stderr)
  return 1 if failed else 0
