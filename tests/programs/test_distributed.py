"""Two processes on this machine as one run, against one process."""

import json
import shutil
import signal
import socket
import subprocess

import pytest

from gippo_jax.programs import hosts
from gippo_jax.programs.hosts import Decision
from tests.commands import CONFIG, ROOT, command, environment_of

SMALL = (
  f"--config={CONFIG}:ackley2",
  "--config.num_envs=8",
  "--config.critic.num_minibatches=1",
  "--config.critic.num_iterations=1",
  "--config.actor.units=(4,)",
  "--config.critic.units=(4,)",
  "--config.log_interval=1",
)
SHAC = (*SMALL, "--config.algorithm=shac", "--config.num_epochs=2")


def start(workdir, *arguments):
  """A process with one device, in 64 bits: what remains of a difference is the order of sums."""
  environment = environment_of(JAX_PLATFORMS="cpu", JAX_ENABLE_X64="1")
  words = command("gippo_jax.main", *arguments, f"--workdir={workdir}")
  return subprocess.Popen(words, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_pair(workdir, arguments, other_arguments=None):
  """Two processes of one run; the second is given a folder that it must never touch."""
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
  common = ("--distributed", f"--coordinator_address=127.0.0.1:{port}", "--num_processes=2")
  return [
    start(workdir, *arguments, *common, "--process_id=0"),
    start(f"{workdir}_second", *(other_arguments or arguments), *common, "--process_id=1"),
  ]


def finish(*processes, code=0):
  try:
    outputs = [process.communicate(timeout=240) for process in processes]
  finally:
    for process in processes:
      process.kill()
  assert [process.returncode for process in processes] == [code] * len(processes), outputs
  return outputs


def assert_same_run(first, second):
  summaries = [json.loads((folder / "summary.json").read_text()) for folder in (first, second)]
  assert [summary["status"] for summary in summaries] == ["finished", "finished"]
  for name in ("best_return", "final_return", "evaluation_return"):
    assert summaries[0][name] == pytest.approx(summaries[1][name], rel=1e-9)
  rows = [[json.loads(line) for line in (f / "metrics.jsonl").read_text().splitlines()] for f in (first, second)]
  assert [row["epoch"] for row in rows[0]] == [row["epoch"] for row in rows[1]]
  for one, other in zip(*rows, strict=True):
    assert one["critic_loss"] == pytest.approx(other["critic_loss"], rel=1e-9)


def test_two_processes_compute_what_one_does(tmp_path):
  pair, alone = tmp_path / "pair", tmp_path / "alone"
  (first, _), (second, _) = finish(*start_pair(pair, SHAC))
  finish(start(alone, *SHAC))
  assert_same_run(pair, alone)
  assert json.loads((pair / "summary.json").read_text())["device"].endswith("x 2")
  assert "finished" in first
  assert "finished" not in second
  assert not (tmp_path / "pair_second").exists()
  assert [path.name for path in (pair / "checkpoint").iterdir()] == ["2.ckpt"]


@pytest.mark.slow
def test_a_stopped_run_resumes_with_any_number_of_processes(tmp_path):
  """SIGTERM to the second process alone ends the run of both, with a checkpoint that both arrangements resume from."""
  arguments = (*SMALL, "--config.algorithm=shac", "--config.num_epochs=100", "--config.checkpoint_seconds=0")
  pair, alone, whole = tmp_path / "pair", tmp_path / "alone", tmp_path / "whole"
  processes = start_pair(pair, arguments)
  for line in processes[0].stdout:
    if line.startswith("epoch"):
      break
  processes[1].send_signal(signal.SIGTERM)
  finish(*processes, code=130)
  summary = json.loads((pair / "summary.json").read_text())
  assert summary["status"] == "interrupted"
  assert 0 < summary["epochs"] < 100
  shutil.copytree(pair, alone)
  finish(start(alone, *arguments))
  finish(*start_pair(pair, arguments))
  finish(start(whole, *arguments))
  assert_same_run(pair, whole)
  assert_same_run(alone, whole)


@pytest.mark.slow
def test_processes_of_different_runs_are_refused(tmp_path):
  outputs = finish(*start_pair(tmp_path / "pair", SHAC, (*SHAC, "--config.seed=7")), code=2)
  assert "another process was started with another configuration" in outputs[0][1]
  assert "config.seed is 7, 1 on process 0" in outputs[1][1]
  assert not (tmp_path / "pair").exists()


@pytest.mark.slow
def test_what_the_first_process_refuses_ends_all(tmp_path):
  outputs = finish(*start_pair(tmp_path / "pair", (*SHAC, "--config.num_envs=7")), code=2)
  for _, error in outputs:
    assert "config.num_envs: 7 is not allowed" in error


def test_one_process_decides_for_itself():
  decision = Decision(3, save=True, stop=False)
  assert hosts.agree(decision) is decision
  assert hosts.of_first(lambda: "value") == "value"
  assert hosts.is_first()
  hosts.require_same({"seed": 1})
