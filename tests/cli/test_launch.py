"""Workers of a sweep as jobs: what they run, what sbatch is told, and what becomes of a job whose time is up."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from gippo_jax.cli import jobs, launch
from gippo_jax.cli.jobs import Job
from gippo_jax.errors import UserError
from tests.commands import CONFIG, SMALL, check_error, command, execute

FLAGS = ("--config=a.py:b", "--grid=ppo.learning_rate=0.1,0.2", "--config.num_seeds=3")


def test_the_sweeps_flags_pass_through():
  options, rest = launch.parse_arguments(
    ["slurm", "--jobs=2", "--partition=gpu", "--gpus=1", *FLAGS, "--workdir=runs/x", "--time=90"]
  )
  assert rest == [*FLAGS, "--workdir=runs/x"]
  first, second = jobs.jobs_of(options.jobs, rest)
  assert first.command[1:] == ("-m", "gippo_jax", "sweep", *rest, "--workers=2")
  assert first.command == second.command
  assert jobs.job_parameters(options) == {
    "name": "x",
    "timeout_min": 90,
    "gpus_per_node": 1,
    "cpus_per_task": 1,
    "mem_gb": 8,
    "slurm_array_parallelism": 2,
    "slurm_additional_parameters": {"requeue": True},
    "slurm_partition": "gpu",
  }


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["slurm", "--jobs=0", "--workdir=x"], "--jobs: '0' is not allowed; allowed: a positive integer"),
    (["slurm", "--jobs=2", "--gpus=-1", "--workdir=x"], "--gpus: '-1'"),
    (["slurm", "--jobs=2"], "--workdir"),
    (["slurm", "--workdir=x"], "--jobs is missing"),
    (["moon", "--jobs=2", "--workdir=x"], "'moon' is not allowed; allowed: any of slurm, local, ray"),
    (["slurm", "--jobs=two", "--workdir=x"], "two"),
    (["slurm", "--jobs=2", "--workdir=x", "--workers=2"], "set by the launcher"),
  ],
)
def test_wrong_flags_end_in_one_line(arguments, words):
  with pytest.raises(UserError) as error:
    launch.parse_arguments(arguments)
  assert words in str(error.value)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(("cluster", "module", "extra"), [("local", "submitit", "slurm"), ("ray", "ray", "ray")])
def test_without_its_extra_it_says_what_to_install(monkeypatch, tmp_path, cluster, module, extra):
  monkeypatch.setitem(sys.modules, module, None)
  with pytest.raises(UserError, match=rf'pip install "gippo_jax\[{extra}\]"'):
    launch.main([cluster, "--jobs=1", f"--workdir={tmp_path}"])


def test_local_jobs_run_and_failures_are_told(tmp_path):
  pytest.importorskip("submitit")
  options, _ = launch.parse_arguments(["local", "--jobs=2", f"--workdir={tmp_path}/sweep"])
  codes = ("1 / 0", "open('done', 'w')")
  submitted = jobs.submit(options, [Job((sys.executable, "-c", code), str(tmp_path)) for code in codes])
  assert [job.exception() is None for job in submitted] == [False, True]
  assert (tmp_path / "done").exists()
  assert "ZeroDivisionError" in submitted[0].stderr()


def test_no_slurm_is_told_in_one_line(run, tmp_path, monkeypatch):
  pytest.importorskip("submitit")
  monkeypatch.setenv("PATH", "")
  process = subprocess.run(
    [sys.executable, "-m", "gippo_jax", "launch", "slurm", "--jobs=2", f"--workdir={tmp_path}"],
    capture_output=True,
    text=True,
    timeout=100,
    check=False,
  )
  check_error(process, "error: slurm:")


SBATCH = """#!/bin/sh
cd "$(dirname "$0")"
number=$(($(ls script.* 2>/dev/null | wc -l) + 100))
cp "$1" script.$number
echo "Submitted batch job $number"
"""
SCONTROL = """#!/bin/sh
cd "$(dirname "$0")"
case "$1 $2" in
  "show config") echo "MaxArraySize            = 3" ;;
  "show job") echo "JobId=$4 JobName=x JobState=$(cat state) Reason=None" ;;
  *) echo "$@" >> asked ;;
esac
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
  """A folder with commands that look like SLURM's, first on the path."""
  pytest.importorskip("submitit")
  folder = tmp_path / "bin"
  folder.mkdir()
  for name, text in (("sbatch", SBATCH), ("scontrol", SCONTROL), ("srun", "#!/bin/sh\n")):
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
  (folder / "state").write_text("RUNNING")
  monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
  return folder


@pytest.mark.parametrize(
  ("flags", "dependency"), [((), None), (("--at_once=2",), "afterany:100")], ids=["all", "two at once"]
)
def test_more_jobs_than_an_array_may_have_are_several_arrays(slurm, tmp_path, flags, dependency):
  """Broken by one array: sbatch refuses it. With a limit, which is an array's, they come one after the other."""
  options, rest = launch.parse_arguments(["slurm", "--jobs=5", f"--workdir={tmp_path}/sweep", *flags])
  submitted = jobs.submit(options, jobs.jobs_of(5, rest))
  assert [job.job_id for job in submitted] == ["100_0", "100_1", "101_0", "101_1", "101_2"]
  first, second = ((slurm / f"script.{number}").read_text() for number in (100, 101))
  at_once = options.at_once or 5
  assert f"#SBATCH --array=0-1%{min(2, at_once)}\n" in first
  assert f"#SBATCH --array=0-2%{min(3, at_once)}\n" in second
  assert "--dependency" not in first
  assert re.findall(r"#SBATCH --dependency=(\S+)", second) == ([dependency] if dependency else [])
  assert all("#SBATCH --requeue\n" in script for script in (first, second))


# Trains until it is told to stop, as a sweep does; started again, it ends at once.
WORKER = """
import pathlib, signal, sys, time
if pathlib.Path("stopped").exists():
  pathlib.Path("done").touch()
  sys.exit(0)
def stop(*_):
  time.sleep(0.3)
  pathlib.Path("stopped").touch()
  sys.exit(130)
signal.signal(signal.SIGTERM, stop)
pathlib.Path("at_work").touch()
time.sleep(60)
"""


@pytest.fixture
def start(slurm, environment, tmp_path):
  """Submits the worker, and starts the job as SLURM would, as often as it is called."""
  options, _ = launch.parse_arguments(["slurm", "--jobs=1", f"--workdir={tmp_path}/sweep"])
  (job,) = jobs.submit(options, [Job((sys.executable, "-c", WORKER), str(tmp_path))])
  variables = {
    "SUBMITIT_EXECUTOR": "slurm",
    "SLURM_JOB_ID": job.job_id,
    "SLURM_PROCID": "0",
    "PATH": os.environ["PATH"],
  }
  words = [sys.executable, "-u", "-m", "submitit.core._submit", str(tmp_path / "sweep" / "jobs")]
  processes = []

  def start(until):
    processes.append(subprocess.Popen(words, env=environment | variables, stderr=subprocess.PIPE))
    while not (tmp_path / until).exists():
      assert processes[-1].poll() is None, processes[-1].communicate()
      time.sleep(0.01)
    return processes[-1]

  yield start
  for process in processes:
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_a_job_whose_time_is_up_is_queued_again_once_its_sweep_has_ended(start, slurm, tmp_path, number):
  """Broken by leaving it to submitit: it kills the sweep in the midst of a chunk, which falls back to a checkpoint."""
  job = start("at_work")
  job.send_signal(number)
  assert job.wait(60) != 0
  assert (tmp_path / "stopped").exists()
  assert (slurm / "asked").read_text() == "requeue 100\n"
  assert start("done").wait(60) == 0
  assert (slurm / "asked").read_text() == "requeue 100\n"


def test_a_cancelled_job_is_not_queued_again(start, slurm, tmp_path):
  """Broken by queueing again at every SIGTERM: nobody could end such a job."""
  job = start("at_work")
  (slurm / "state").write_text("CANCELLED")
  job.send_signal(signal.SIGTERM)
  job.wait(60)
  assert (tmp_path / "stopped").exists()
  assert not (slurm / "asked").exists()


def test_ray_s_actors_train_a_sweep_together(run, environment, tmp_path):
  pytest.importorskip("ray", reason='Ray is not installed: pip install "gippo_jax[ray]"')
  sweep = (f"--config={CONFIG}:dejong1", "--config.algorithm=lr", "--config.num_epochs=60", *SMALL)
  sweep = (*sweep, "--config.num_seeds=2", "--grid=likelihood_ratio.learning_rate=1e-4,1e-2", "--members-per-chunk=1")
  words = command("gippo_jax", "launch", "ray", "--jobs=2", "--memory=1", *sweep, f"--workdir={tmp_path}/ray")
  process = execute(environment | {"RAY_DEDUP_LOGS": "0"}, *words)  # lines that differ in numbers are equal to it
  assert process.returncode == 0, process.stderr
  trained = re.findall(r"\(Worker pid=(\d+)\).*training members (\d)", process.stdout + process.stderr)
  assert sorted(member for _, member in trained) == ["0", "1", "2", "3"]
  assert len({pid for pid, _ in trained}) == 2
  alone = run("gippo_jax", "sweep", *sweep, f"--workdir={tmp_path}/alone")
  assert alone.returncode == 0, alone.stderr
  for folder in (tmp_path / "alone" / "members").iterdir():
    for policy in folder.glob("policy_*.npz"):
      assert policy.read_bytes() == (tmp_path / "ray" / "members" / folder.name / policy.name).read_bytes()
