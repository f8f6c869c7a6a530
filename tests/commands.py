"""Commands as a user runs them, in processes of their own."""

import os
import pathlib
import subprocess
import sys

import jaxlib

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = ROOT / "experiments" / "configs" / "functions.py"
SMALL = ("--config.actor.units=(8,)", "--config.critic.units=(8,)", "--config.critic.num_iterations=2")
# Compilation is most of what the tests cost, and nothing runs as long as it compiles: no optimisation, one module for
# LLVM, and the older code generator, which takes half the time of the newer one. An unknown flag ends the process, and
# jaxlib 0.11 has no other generator any more.
_QUICK = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
if jaxlib.version.__version_info__ < (0, 11):
  _QUICK.append("--xla_cpu_use_fusion_emitters=false")
QUICK = " ".join(_QUICK)


def environment_of(**variables):
  """Environment variables of a command that runs the package as it lies here, with further ones."""
  return {**os.environ, "PYTHONPATH": str(ROOT), **variables}


def command(module, *arguments):
  return [sys.executable, "-m", module, *arguments]


def execute(environment, *words):
  return subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def check_error(process, *words):
  """A user's error is one line that says all of `words`."""
  assert process.returncode == 2, process.stdout + process.stderr
  assert process.stderr.count("\n") == 1
  assert "Traceback" not in process.stderr
  for word in words:
    assert word in process.stderr


def snapshot(folder):
  """When each file was written, and its size."""
  return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*"))}
