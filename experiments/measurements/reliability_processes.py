"""Commands that are killed, that meet a full disk or another limit, and that are started twice."""

import json
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from gippo_jax.runs import checkpoint as checkpoints
from gippo_jax.runs.arrays import read_arrays
from gippo_jax.runs.rows import read_lines
from gippo_jax.runs.workdir import Workdir

_CONFIG = ("--config=functions:dejong1", "--config.critic.num_iterations=2", "--config.evaluation_episodes=4")
# Every chunk is saved, so that many a kill meets a checkpoint that is being written.
_OFTEN = "--config.checkpoint_seconds=0"
_SPACE = (
  'def get_space(trial):\n  return {"alpha.initial": trial.suggest_float("alpha.initial", 1e-5, 1e-3, log=True)}\n'
)


class Command(NamedTuple):
  """A command that writes a folder.

  Attributes:
    words: after `python -m`, without the folder.
    flag: that names the folder.
    left: what must be the same however often it was killed.
  """

  words: tuple[str, ...]
  flag: str
  left: Callable[[pathlib.Path], object]

  def line(self, folder: pathlib.Path) -> list[str]:
    """As it is started."""
    return [sys.executable, "-m", *self.words, f"{self.flag}={folder}"]


def commands(folder: pathlib.Path) -> dict[str, Command]:
  """The commands that write, small.

  Args:
    folder: receives the search space.
  """
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "space.py").write_text(_SPACE)
  return {
    "main": Command(("gippo_jax.main", *_CONFIG, _OFTEN, "--config.num_epochs=4000"), "--workdir", _of_run),
    "sweep": Command(
      ("gippo_jax", "sweep", *_CONFIG, _OFTEN, "--config.num_epochs=1000", "--grid=alpha.initial=1e-5,1e-4,1e-3",
       "--members-per-chunk=1", "--pictures=best"),
      "--workdir", lambda path: {member.name: _of_run(member) for member in sorted((path / "members").iterdir())},
    ),
    "tune": Command(
      ("gippo_jax", "tune", *_CONFIG, "--config.num_epochs=400", f"--space={folder / 'space.py'}", "--trials=6",
       "--batch=1"),
      "--workdir", _of_study,
    ),
    "table": Command(
      ("gippo_jax.experiments.table", "functions", "--preset=quick", "--problems=dejong1", "--algorithms=lr,rp",
       "--seeds=1"),
      "--out", lambda path: {run.name: _of_run(run) for run in sorted(path.iterdir()) if run.is_dir()},
    ),
  }  # fmt: skip


class Killed(NamedTuple):
  """A command that was killed again and again.

  Attributes:
    kills: how often it was.
    lost: whether what it left in the end differs from what it leaves undisturbed.
    wrong: outputs of starts that ended neither by a kill nor in peace.
  """

  kills: int
  lost: bool
  wrong: list[str]


def kill(command: Command, folder: pathlib.Path, num_kills: int, seed: int = 0) -> Killed:
  """Kills a command at random moments, starting it again each time, until it has ended or was killed often enough.

  A command that ends before is begun anew in another folder.

  Args:
    command: to be killed.
    folder: for its folders.
    num_kills: how often.
    seed: of the moments.
  """
  undisturbed = folder / "undisturbed"
  begin = time.monotonic()
  subprocess.run(command.line(undisturbed), capture_output=True, check=True)
  begin = time.monotonic()
  subprocess.run(command.line(folder / "timed"), capture_output=True, check=True)  # compiled by now
  longest = time.monotonic() - begin
  expected, draw = command.left(undisturbed), random.Random(seed)
  kills, number, lost, wrong = 0, 0, False, []
  while kills < num_kills:
    disturbed = folder / f"killed_{number}"
    number += 1
    while True:
      process = subprocess.Popen(command.line(disturbed), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
      try:
        output, _ = process.communicate(timeout=None if kills >= num_kills else draw.uniform(0.3, longest))
        break
      except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    if process.returncode != 0:
      wrong.append(output[-500:])
    lost |= command.left(disturbed) != expected
    shutil.rmtree(disturbed)
  return Killed(kills, lost, wrong)


class Limited(NamedTuple):
  """A command under a limit.

  Attributes:
    name: of the limit.
    code: exit code; `None` when it hung.
    traceback: whether it printed one.
    resumed: whether it went on to the same end without the limit.
  """

  name: str
  code: int | None
  traceback: bool
  resumed: bool


def limit(command: Command, folder: pathlib.Path) -> list[Limited]:
  """Runs a command where files may not grow, there are few descriptors, or something is in the way.

  Args:
    command: `main`.
    folder: for its folders.
  """
  undisturbed = folder / "undisturbed"
  subprocess.run(command.line(undisturbed), capture_output=True, check=True)
  cases: dict[str, tuple[Callable[[], None] | None, Callable[[pathlib.Path], object] | None]] = {
    f"no file above {size} bytes": (_limit_files(size), None)
    for size in (0, 500, 2_000, 20_000, 60_000, 70_000, 200_000)
  }
  cases |= {
    "64 open files": (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)), None),
    "checkpoint is a file": (None, lambda run: (run / "checkpoint").write_text("")),
    "metrics.jsonl is a folder": (None, lambda run: (run / "metrics.jsonl").mkdir()),
    "tensorboard is a file": (None, lambda run: (run / "tensorboard").write_text("")),
    "summary.json is a folder": (None, lambda run: (run / "summary.json").mkdir()),
  }
  return [_limit(command, folder, name, *case) for name, case in cases.items()]


def overlap(command: Command, folder: pathlib.Path, num_overlaps: int) -> list[str]:
  """Starts a command twice at once, at moments that differ.

  Args:
    command: to be started.
    folder: for its folders.
    num_overlaps: how often.

  Returns:
    What went wrong, in words: not exactly one that ended in peace, or something lost.
  """
  undisturbed = folder / "undisturbed"
  subprocess.run(command.line(undisturbed), capture_output=True, check=True)
  expected, draw, wrong = command.left(undisturbed), random.Random(0), []
  for number in range(num_overlaps):
    both = folder / f"both_{number}"
    first = _start(command, both)
    time.sleep(draw.uniform(0, 4))
    second = _start(command, both)
    outputs = [process.communicate()[0] for process in (first, second)]
    codes = [first.returncode, second.returncode]
    refused = [output for output, code in zip(outputs, codes, strict=True) if code == 2]
    peaceful = sorted(codes) == [0, 2] and "is being written by process" in refused[0]
    one_after_the_other = codes == [0, 0] and "nothing to" in outputs[1]
    if not (peaceful or one_after_the_other) or "Traceback" in "".join(outputs):
      wrong.append(f"exit codes {codes}: {outputs[0][-300:]} {outputs[1][-300:]}")
    if command.left(both) != expected:
      wrong.append("something was lost")
    shutil.rmtree(both)
  return wrong


def _start(command: Command, folder: pathlib.Path) -> subprocess.Popen:
  return subprocess.Popen(command.line(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _limit(
  command: Command,
  folder: pathlib.Path,
  name: str,
  before: Callable[[], None] | None,
  in_the_way: Callable[[pathlib.Path], object] | None,
) -> Limited:
  run = folder / name.replace(" ", "_")
  if in_the_way is not None:
    run.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "undisturbed" / "config.json", run)
    in_the_way(run)
  try:
    process = subprocess.run(
      command.line(run), capture_output=True, text=True, timeout=120, preexec_fn=before, check=False
    )
    code, traceback = process.returncode, "Traceback" in process.stderr
  except subprocess.TimeoutExpired:
    code, traceback = None, False
  way = run / name.split()[0]
  if in_the_way is not None and way.exists():
    way.rmdir() if way.is_dir() else way.unlink()
  subprocess.run(command.line(run), capture_output=True, text=True, check=False)
  return Limited(name, code, traceback, run.exists() and _states_of(run) == _states_of(folder / "undisturbed"))


def _limit_files(size: int) -> Callable[[], None]:
  return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _states_of(path: pathlib.Path) -> object:
  file = checkpoints.latest(path / "checkpoint")
  leaves = read_arrays(file)[0] if file else {}
  return file and file.name, {name: leaf.array.tobytes() for name, leaf in leaves.items()}


def _of_run(path: pathlib.Path) -> object:
  """State and rows of a run that has ended, without times; that no leftover lies beside them."""
  lines = read_lines(Workdir(path))
  rows = [{**row, "steps_per_second": 0} for row in lines.rows]
  leftovers = [file.name for file in path.rglob("*.tmp")]
  summary = json.loads((path / "summary.json").read_text())
  kept = {name: summary[name] for name in ("status", "epochs", "best_return", "evaluation_return")}
  return _states_of(path), rows, lines.unreadable, leftovers, kept


def _of_study(path: pathlib.Path) -> object:
  """What the complete trials gave; a kill's own trials are marked as failed."""
  rows = (path / "trials.csv").read_text().splitlines()
  return [row.split(",")[1:] for row in rows if ",fail," not in row], json.loads((path / "best.json").read_text())[
    "value"
  ]
