"""The command as a user runs it: files, resume, errors."""

import csv
import json
import re
import signal
import subprocess

import pytest

from gippo_jax.runs.stored import choose_seed, load_policy, open_run
from tests.commands import CONFIG, ROOT, SMALL, call, check_error, command, snapshot

GRID = "likelihood_ratio.learning_rate=1e-4,1e-2"
BASE = (f"--config={CONFIG}:dejong1", "--config.algorithm=lr", "--config.num_epochs=60", *SMALL)


@pytest.fixture(scope="module")
def finished(run, tmp_path_factory):
  """Two settings with two seeds each, in two chunks: folder, arguments and process."""
  arguments = (*BASE, "--config.num_seeds=2", f"--grid={GRID}", "--members-per-chunk=2", "--csv")
  folder = tmp_path_factory.mktemp("sweeps") / "dejong1"
  return folder, arguments, run("gippo_jax", "sweep", *arguments, f"--workdir={folder}")


def results_of(folder):
  return json.loads((folder / "sweep.json").read_text())


def test_a_sweep_leaves_its_files(finished):
  folder, _, process = finished
  assert process.returncode == 0, process.stderr
  assert "2 settings, 4 members in 1 groups" in process.stdout
  assert re.search(
    r"group 1: .*4 members; 2 chunks of at most 2, [\d.]+ MiB of the .* there are; map over", process.stdout
  )
  assert "finished: best setting likelihood_ratio.learning_rate=" in process.stdout
  results = results_of(folder)
  assert results["status"] == "finished"
  assert [entry["values"] for entry in results["settings"]] == [
    {"likelihood_ratio.learning_rate": 1e-4},
    {"likelihood_ratio.learning_rate": 1e-2},
  ]
  means = [entry["best_return"]["mean"] for entry in results["settings"]]
  best = means.index(max(means))
  assert results["ranking"][0] == results["best"]["setting"] == best
  assert all("interval_95" in entry["best_return"] for entry in results["settings"])
  of_best = [row for row in results["members"] if row["setting"] == best]
  assert results["best"]["member"] == max(of_best, key=lambda row: row["best_return"])["member"]
  summary = json.loads((folder / "best" / "summary.json").read_text())
  assert summary["best_return"] == [results["members"][results["best"]["member"]]["best_return"]]
  with (folder / "sweep.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert [(row["likelihood_ratio.learning_rate"], row["seed"], row["status"]) for row in rows] == [
    (rate, seed, "finished") for rate in ("0.0001", "0.01") for seed in ("1", "2")
  ]
  assert {path.name for path in folder.iterdir()} == {
    *("best", "definition.json", "members", "sweep.csv", "sweep.json"),
    *("heat_map.csv", "heat_map.png", "parallel_coordinates.csv", "parallel_coordinates.png"),
  }
  for row in results["members"]:
    member = folder / "members" / row["folder"]
    assert len(list(member.glob(f"tensorboard/seed_{row['seed']}/events*"))) == 1
    assert len((member / "metrics.csv").read_text().splitlines()) == 8  # epochs 1, 10, ... 60, and their names
    assert (member / "learning_curve.png").exists() == (row["member"] == results["best"]["member"])


def test_a_finished_sweep_is_left_alone(finished, run):
  folder, arguments, _ = finished
  table = next(folder.glob("members/*/metrics.csv"))  # as if only this start asked for it
  table.unlink()
  before = {path: stamp for path, stamp in snapshot(folder / "members").items() if path.is_file()}
  process = run("gippo_jax", "sweep", *arguments, f"--workdir={folder}", "--criterion=final_return")
  assert process.returncode == 0, process.stderr
  assert "nothing to train" in process.stdout
  assert before.items() <= snapshot(folder / "members").items()
  assert table.exists()
  assert results_of(folder)["criterion"] == "final_return"


def test_other_commands_work_on_a_member(finished, run):
  folder, _, _ = finished
  member = folder / "members" / results_of(folder)["members"][3]["folder"]
  same = (*BASE, "--config.likelihood_ratio.learning_rate=1e-2", "--config.seed=2")
  for arguments in ((), same):
    process = run("gippo_jax.main", *arguments, f"--workdir={member}")
    assert process.returncode == 0, process.stderr
    assert "holds this run, finished; nothing to do" in process.stdout
  stored = open_run(member)
  assert choose_seed(stored.workdir, None, "best") == 2
  assert stored.experiment.config.likelihood_ratio.learning_rate == pytest.approx(1e-2)
  assert load_policy(member)([0.0]).shape == (1,)


@pytest.mark.slow
def test_a_member_equals_the_same_configuration_run_alone_in_float32(finished, run, tmp_path):
  """Bit for bit, where the members of a device run one after the other."""
  row = results_of(finished[0])["members"][3]
  alone = (*BASE, "--config.likelihood_ratio.learning_rate=1e-2", "--config.seed=2", f"--workdir={tmp_path}")
  process = run("gippo_jax.main", *alone)
  assert process.returncode == 0, process.stderr
  assert json.loads((tmp_path / "summary.json").read_text())["best_return"] == [row["best_return"]]


def files_of(folder):
  """What members have learned, and their rows without times."""
  rows = {
    path.parent.name: re.sub(r'"steps_per_second": [^,}]*', "", path.read_text())
    for path in folder.glob("members/*/metrics.jsonl")
  }
  return {path.parent.name: path.read_bytes() for path in folder.glob("members/*/policy_seed_*.npz")}, rows


def check_equal(folder, whole):
  """A sweep that several workers have trained is that of one, bit for bit."""
  results, expected = results_of(folder), results_of(whole)
  assert results["status"] == "finished"
  assert results["members"] == expected["members"]
  assert files_of(folder) == files_of(whole)
  assert not (folder / "chunks").exists()


@pytest.fixture
def start(finished, environment, tmp_path):
  """Starts a worker on the same sweep; all are ended with the test."""
  processes = []

  def start(*arguments):
    words = command("gippo_jax", "sweep", *finished[1], *arguments, f"--workdir={tmp_path}")
    process = subprocess.Popen(
      words, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    processes.append(process)
    return process

  yield start
  for process in processes:
    process.kill()
    process.communicate()


def until(process, beginning):
  """Reads what a process prints, to a line that begins so."""
  for line in process.stdout:
    if line.startswith(beginning):
      return
  pytest.fail(process.stderr.read())


def test_a_killed_worker_costs_its_chunk_which_another_goes_on_with(finished, start, tmp_path):
  """Broken by fixed shares, or by waiting for the lease: the other one ends without it."""
  killed = start("--workers=2")
  until(killed, "training members 0 to 1")
  killed.send_signal(signal.SIGSTOP)  # so that it holds its chunk while the other trains the rest
  other = start("--workers=2")
  until(other, f"what is left is being trained by process {killed.pid} on")
  done = snapshot(tmp_path / "members")
  assert [row["status"] for row in results_of(tmp_path)["members"]] == ["not done"] * 2 + ["finished"] * 2
  killed.send_signal(signal.SIGKILL)
  output, errors = other.communicate(timeout=100)
  assert other.returncode == 0, errors
  assert "training members 0 to 1" in output
  after = snapshot(tmp_path / "members")
  assert all(after[path] == stamp for path, stamp in done.items() if path.name in ("summary.json", "metrics.jsonl"))
  check_equal(tmp_path, finished[0])


@pytest.mark.slow
def test_workers_side_by_side_train_each_member_once(finished, start, tmp_path):
  workers = [start("--workers=2") for _ in range(2)]
  outputs = [worker.communicate(timeout=200) for worker in workers]
  assert [worker.returncode for worker in workers] == [0, 0], outputs
  trained = [line for output, _ in outputs for line in re.findall(r"training members (\d+ to \d+)", output)]
  assert sorted(trained) == ["0 to 1", "2 to 3"]
  check_equal(tmp_path, finished[0])


def test_a_killed_sweep_loses_nothing_but_the_current_chunk(finished, run, start, tmp_path):
  process = start()
  until(process, "training members 2 to 3")
  process.send_signal(signal.SIGKILL)
  process.wait()
  first = snapshot(tmp_path / "members")
  assert len([path for path in first if path.name == "summary.json"]) == 2
  assert results_of(tmp_path)["status"] == "running"
  resumed = run("gippo_jax", "sweep", *finished[1], f"--workdir={tmp_path}")
  assert resumed.returncode == 0, resumed.stderr
  assert "2 members, 2 done before; 1 chunk of at most 2" in resumed.stdout
  after = snapshot(tmp_path / "members")
  assert all(after[path] == stamp for path, stamp in first.items() if path.name in ("summary.json", "metrics.jsonl"))
  check_equal(tmp_path, finished[0])


BAD = {
  "no such field": (("--grid=ppo.nosuch=1",), "config.ppo.nosuch is not a field"),
  "bad environment": (("--grid=env.dimension=1,0",), "config.env.dimension: 0 is not allowed"),
  "no space": ((), "--grid, --sweep: one of them is needed"),
  "another sweep": (("--grid=likelihood_ratio.learning_rate=1e-4",), "holds a sweep with other settings"),
  "a chunk too large": (
    ("--grid=discount=0.9,0.8", "--members_per_chunk=2", "--memory-gib=1e-6"),
    "--members-per-chunk: 2 is not allowed",
  ),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_ends_in_one_line_before_anything_is_trained(finished, tmp_path, case):
  arguments, words = BAD[case]
  folder = finished[0] if case == "another sweep" else tmp_path / "sweep"
  before = snapshot(folder)
  check_error(call("gippo_jax", "sweep", *BASE, *arguments, f"--workdir={folder}"), words)
  assert snapshot(folder) == before
  assert folder.exists() == (case == "another sweep")
