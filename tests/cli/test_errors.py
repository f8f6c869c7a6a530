"""What goes wrong outside of the package's own checks still ends in one line."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

from gippo_jax.cli.console import finish
from tests.commands import CONFIG, ROOT, call, check_error, command


def outcome(capsys, function):
  with pytest.raises(SystemExit) as caught:
    finish(function)
  return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
  ("error", "line"),
  [
    (OSError(28, "No space left on device", "/runs/x"), "error: /runs/x: No space left on device\n"),
    (MemoryError(), "error: memory: there is not enough for this; allowed: smaller numbers\n"),
    (
      RuntimeError("RESOURCE_EXHAUSTED: Out of memory"),
      "error: memory: there is not enough for this; allowed: smaller",
    ),
  ],
)
def test_the_machine_s_errors_end_in_one_line(capsys, error, line):
  """Broken by catching a user's errors alone: a traceback."""

  def fails():
    raise error

  code, shown = outcome(capsys, fails)
  assert code == 2
  assert shown.startswith(line)
  assert shown.count("\n") == 1


def test_our_own_errors_are_not_hidden():
  def fails():
    raise RuntimeError("a bug")

  with pytest.raises(RuntimeError, match="a bug"):
    finish(fails)


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("import sys\nsys.exit(3)", "raised SystemExit: 3"),
    ("def get_config(name):\n  raise KeyError(name)", "get_config of"),
    ("def get_config():\n  return 3", "returned int; allowed: a ConfigDict or a dict"),
    ("def get_config():\n  return {'horizon': object()}", "config.horizon: <object"),
    ("def get_config():\n  return {'env': 3}", "config.env.name is missing"),
  ],
)
def test_configuration_files_that_go_wrong(tmp_path, text, words):
  file = tmp_path / "mine.py"
  file.write_text(text)
  argument = ":x" if "name" in text.split("\n")[0] else ""
  process = call("gippo_jax", "train", f"--config={file}{argument}", f"--workdir={tmp_path / 'run'}")
  assert process.returncode == 2
  assert process.stderr.startswith("error: ")
  assert words in process.stderr.splitlines()[0]
  assert not (tmp_path / "run").exists()


def test_paths_that_are_too_long(tmp_path):
  long = tmp_path / ("a" * 5000)
  check_error(
    call("gippo_jax", "train", f"--config={CONFIG}:dejong1", f"--workdir={long}"), "--workdir", "name too long"
  )
  check_error(call("gippo_jax", "train", f"--config={long}.py"), "name too long")


@pytest.mark.skipif(not pathlib.Path("/proc/self/maps").exists(), reason="looks at the process's libraries")
@pytest.mark.parametrize("module", [("gippo_jax.main",), ("gippo_jax", "train")])
def test_an_early_interrupt_says_nothing(environment, module):
  """Broken by a KeyboardInterrupt: an abort or an ImportError of whatever extension it met, or none at all."""
  for seconds in (0, 0.02, 0.1, 0.3):
    process = subprocess.Popen(
      command(*module, "--config=functions:dejong1", "--workdir=runs/never"),
      env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
      cwd=ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    while process.poll() is None and "jaxlib" not in pathlib.Path(f"/proc/{process.pid}/maps").read_text():
      time.sleep(0.001)  # so that the first one comes while an extension starts
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == ""
