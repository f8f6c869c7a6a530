"""Workers of a sweep as jobs of submitit: on SLURM, or on this machine."""

import contextlib
import itertools
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

from gippo_jax.errors import UserError

if TYPE_CHECKING:
  import submitit

_INSTALL = 'pip install "gippo_jax[slurm]"'
# SLURM's own default for MaxArraySize.
_ARRAY_SIZE = 1001
# A signal for the whole job may end the sweep before this process has heard of it.
_SECONDS_TO_A_SIGNAL = 2.0


class JobOptions(NamedTuple):
  """What a job asks for; see `launch --help`."""

  cluster: str
  jobs: int
  at_once: int | None
  partition: str | None
  time: int
  requeues: int
  gpus: int
  cpus: int
  memory: int
  workdir: str


class Job:
  """What one job runs; called by submitit on the machine that got it, and again after it was queued again.

  SLURM says a while before a job's time is up that it will be (submitit asks for SIGUSR2; SIGUSR1 is understood, too),
  and sends SIGTERM to a job that is to make room. The sweep then ends in peace: it saves where its chunk is and gives
  it back, so that another worker can go on with it at once; the job is queued again. A job that was cancelled is not.

  Args:
    command: program and arguments.
    folder: where the job was submitted from: paths in the flags are relative to it.
  """

  def __init__(self, command: Sequence[str], folder: str):
    self.command, self.folder = tuple(command), folder
    self._process: subprocess.Popen[bytes] | None = None

  def __call__(self) -> None:
    """Runs the command, its output in the job's log.

    Raises:
      subprocess.CalledProcessError: when it fails, so that SLURM counts the job as failed.
    """
    signal.signal(signal.SIGTERM, self._terminated)
    if _requeue_signal() != signal.SIGUSR1:
      signal.signal(signal.SIGUSR1, _queue_again)
    self._process = subprocess.Popen(self.command, cwd=self.folder)
    code = self._process.wait()
    if code != 0:
      time.sleep(_SECONDS_TO_A_SIGNAL)
      raise subprocess.CalledProcessError(code, self.command)

  def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
    """Ends the sweep in peace; called by submitit when the job is about to be queued again, while `__call__` waits.

    Returns:
      What the job runs then.
    """
    from submitit.helpers import DelayedSubmission

    if self._process is not None:
      self._process.terminate()
      with contextlib.suppress(ChildProcessError):  # it has ended already
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
    return DelayedSubmission(Job(self.command, self.folder))

  def _terminated(self, number: int, frame: FrameType | None) -> None:
    if _is_running():
      _queue_again(number, frame)
    elif self._process is not None:
      self._process.terminate()


def _requeue_signal() -> signal.Signals:
  """What submitit takes for the wish to queue the job again."""
  from submitit.helpers import JobEnvironment

  return signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]


def _queue_again(number: int, frame: FrameType | None) -> None:
  del number, frame
  signal.raise_signal(_requeue_signal())


def _is_running() -> bool:
  """Whether SLURM takes this job for one that runs: neither cancelled, nor queued again or ended already."""
  job = os.environ.get("SLURM_JOB_ID")
  if job is None:
    return False
  return "JobState=RUNNING" in _scontrol("show", "job", "-o", job).split()


def _scontrol(*words: str) -> str:
  """What SLURM says; nothing when it cannot be asked."""
  try:
    return subprocess.run(["scontrol", *words], capture_output=True, text=True, timeout=30, check=True).stdout
  except (OSError, subprocess.SubprocessError):
    return ""


def array_size() -> int:
  """Jobs of an array that this cluster allows."""
  match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _scontrol("show", "config"), re.MULTILINE)
  return max(int(match[1]), 1) if match else _ARRAY_SIZE


def jobs_of(count: int, flags: Sequence[str], command: Sequence[str] = ("gippo_jax", "sweep")) -> list[Job]:
  """Workers of a sweep, run by this Python; they share the work among themselves.

  Args:
    count: number of jobs.
    flags: of the command.
    command: the module and its words; takes `--workers`.
  """
  words = (sys.executable, "-m", *command, *flags, f"--workers={count}")
  return [Job(words, os.getcwd()) for _ in range(count)]


def job_parameters(options: JobOptions) -> dict[str, object]:
  """What submitit is told about a job; names with `slurm_` count on SLURM alone."""
  parameters: dict[str, object] = {
    "name": pathlib.Path(options.workdir).name,
    "timeout_min": options.time,
    "gpus_per_node": options.gpus,
    "cpus_per_task": options.cpus,
    "mem_gb": options.memory,
    "slurm_array_parallelism": options.at_once or options.jobs,
    # After the loss of a machine, or when it makes room for others, SLURM queues a job again by itself.
    "slurm_additional_parameters": {"requeue": True},
  }
  return parameters | ({"slurm_partition": options.partition} if options.partition else {})


def submit(options: JobOptions, jobs: Sequence[Job]) -> "list[submitit.Job]":
  """Submits the jobs, on SLURM as an array, or as several where the cluster's arrays are shorter.

  Args:
    options: from `launch.parse_arguments`.
    jobs: from `jobs_of`.

  Returns:
    submitit's jobs.

  Raises:
    UserError: when submitit is missing, there is no SLURM on this machine, or it refuses the jobs.
  """
  try:
    import submitit
    from submitit.core.utils import FailedJobError
  except ModuleNotFoundError:
    raise UserError(f"submitit is not installed; allowed: {_INSTALL}") from None
  folder = pathlib.Path(options.workdir) / "jobs"
  try:
    executor = submitit.AutoExecutor(folder, cluster=options.cluster, slurm_max_num_timeout=options.requeues)
  except RuntimeError as error:
    raise UserError(f"{options.cluster}: {error}; allowed: a machine with sbatch, or local") from None
  parameters = job_parameters(options)
  submitted: list[submitit.Job] = []
  for array in _arrays(jobs, array_size() if options.cluster == "slurm" else len(jobs)):
    if submitted and options.at_once:  # the limit is an array's: the next one begins when all jobs of this have ended
      parameters["slurm_dependency"] = f"afterany:{submitted[-1].job_id.partition('_')[0]}"
    executor.update_parameters(**parameters)
    try:
      with executor.batch():
        here = [executor.submit(job) for job in array]
    except FailedJobError as error:
      raise UserError(f"{options.cluster}: {str(error).strip().splitlines()[-1]}; allowed: what sbatch takes") from None
    submitted += here
  return submitted


def _arrays(jobs: Sequence[Job], size: int) -> list[Sequence[Job]]:
  """As few arrays as there must be, about equally long."""
  count = -(-len(jobs) // size)
  bounds = [len(jobs) * index // count for index in range(count + 1)]
  return [jobs[begin:end] for begin, end in itertools.pairwise(bounds)]
