"""Shards of a sweep, and their jobs."""

import subprocess
import sys

import pytest

from gippo_jax.cli import launch
from gippo_jax.errors import UserError
from gippo_jax.sweep.shards import format_shard, parse_shard, shard_of

FLAGS = ("--config=a.py:b", "--grid=ppo.learning_rate=0.1,0.2", "--config.num_seeds=3")


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 3), (7, 3), (12, 4)])
def test_shards_are_a_partition(size, count):
  shards = [shard_of(range(size), index, count) for index in range(count)]
  assert sorted(item for shard in shards for item in shard) == list(range(size))
  lengths = [len(shard) for shard in shards]
  assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(("index", "count"), [(-1, 2), (2, 2), (0, 0)])
def test_a_shard_that_is_none_is_refused(index, count):
  with pytest.raises(ValueError, match=f"shard {index} of {count}"):
    shard_of([1, 2, 3], index, count)


def test_shards_are_written_and_read():
  assert parse_shard(format_shard(2, 5)) == (2, 5)
  for wrong in ("5/5", "1", "-1/3", "a/b", "1/2/3", ""):
    with pytest.raises(UserError, match="i/n with 0 <= i < n"):
      parse_shard(wrong)


def test_the_sweeps_flags_pass_through():
  options, rest = launch.parse_arguments(
    ["slurm", "--shards=2", "--partition=gpu", "--gpus=1", *FLAGS, "--workdir=runs/x", "--time=90"]
  )
  assert rest == [*FLAGS, "--workdir=runs/x"]
  first, second = launch.jobs_of(options.shards, rest)
  assert first.command[1:] == ("-m", "gippo_jax", "sweep", *rest, "--shard=0/2")
  assert second.command[-1] == "--shard=1/2"
  assert launch.job_parameters(options) == {
    "name": "x",
    "timeout_min": 90,
    "gpus_per_node": 1,
    "cpus_per_task": 1,
    "mem_gb": 8,
    "slurm_array_parallelism": 2,
    "slurm_partition": "gpu",
  }


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["slurm", "--shards=0", "--workdir=x"], "--shards: '0' is not allowed; allowed: a positive integer"),
    (["slurm", "--shards=2", "--gpus=-1", "--workdir=x"], "--gpus: '-1'"),
    (["slurm", "--shards=2"], "--workdir"),
    (["moon", "--shards=2", "--workdir=x"], "moon"),
    (["slurm", "--shards=two", "--workdir=x"], "two"),
    (["slurm", "--shards=2", "--workdir=x", "--shard=0/2"], "set by the launcher"),
  ],
)
def test_wrong_flags_end_in_one_line(arguments, words):
  with pytest.raises(UserError) as error:
    launch.parse_arguments(arguments)
  assert words in str(error.value)
  assert "\n" not in str(error.value)


def test_without_submitit_it_says_what_to_install(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, "submitit", None)
  options, rest = launch.parse_arguments(["local", "--shards=1", f"--workdir={tmp_path}"])
  with pytest.raises(UserError, match=r'pip install "gippo_jax\[slurm\]"'):
    launch.submit(options, launch.jobs_of(1, rest))


def test_local_jobs_run_and_failures_are_told(tmp_path):
  """Each job writes its last argument; one of three fails."""
  pytest.importorskip("submitit")
  code = (
    "import sys, pathlib; shard = sys.argv[1]; pathlib.Path('shard_' + shard[0]).write_text(shard); 1 / int(shard[0])"
  )
  options, _ = launch.parse_arguments(["local", "--shards=3", f"--workdir={tmp_path}/sweep"])
  jobs = [launch.ShardJob((sys.executable, "-c", code, format_shard(i, 3)), str(tmp_path)) for i in range(3)]
  submitted = launch.submit(options, jobs)
  assert [job.exception() is None for job in submitted] == [False, True, True]
  assert [(tmp_path / f"shard_{i}").read_text() for i in range(3)] == ["0/3", "1/3", "2/3"]
  assert "ZeroDivisionError" in submitted[0].stderr()


def test_no_slurm_is_told_in_one_line(tmp_path, monkeypatch):
  pytest.importorskip("submitit")
  monkeypatch.setenv("PATH", "")
  process = subprocess.run(
    [sys.executable, "-m", "gippo_jax", "launch", "slurm", "--shards=2", f"--workdir={tmp_path}"],
    capture_output=True,
    text=True,
    timeout=100,
    check=False,
  )
  assert process.returncode == 2
  assert process.stderr.startswith("error: slurm:")
  assert process.stderr.count("\n") == 1
