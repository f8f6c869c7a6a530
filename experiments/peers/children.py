"""Trainers' processes, seen from the one that starts them."""

import json
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator

import gippo_jax
from gippo_jax.errors import UserError
from gippo_jax.experiments.peers.lines import Event, Request, event_of

_ROOT = pathlib.Path(gippo_jax.__file__).parents[1]


class ChildError(Exception):
  """A trainer's process that ended badly, in one line."""


def require_interpreter(python: str) -> None:
  """Checks that the peers' interpreter is there.

  Raises:
    UserError: when it is not.
  """
  path = pathlib.Path(python)
  if not (path.is_file() and os.access(path, os.X_OK)):
    raise UserError(
      f"--peers_python: there is no {python}; allowed: an interpreter with the peers, which `make peers` makes"
    )


def events(python: str, module: str, request: Request) -> Iterator[Event]:
  """Runs a trainer in a process of its own.

  The compilation cache is a folder of this process alone: its first seed compiles everything, the others read it.

  Args:
    python: the interpreter.
    module: below `gippo_jax.experiments.peers`.
    request: what it is to train.

  Yields:
    The process's events, as they come.

  Raises:
    ChildError: when it writes something else, or ends badly.
  """
  command = [python, "-m", "gippo_jax.experiments.peers.child", module, json.dumps(request._asdict())]
  with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
    variables = {
      **os.environ,
      "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")])),
      "JAX_COMPILATION_CACHE_DIR": folder,
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    try:
      for line in process.stdout:
        try:
          yield event_of(line)
        except ValueError:
          raise ChildError(f"{module} wrote {line.strip()[:80]!r}, which is not an event") from None
      if process.wait():
        errors.seek(0)
        said = errors.read().strip().splitlines() or ["nothing"]
        raise ChildError(f"{module} ended with {process.returncode} and said: {said[-1][:200]}")
    finally:
      process.stdout.close()
      if process.poll() is None:
        process.kill()
        process.wait()
