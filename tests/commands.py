"""Commands as a user runs them, in processes of their own; what they refuse, in this one."""

import contextlib
import io
import os
import pathlib
import runpy
import subprocess
import sys
from unittest import mock

import jax
import jaxlib
from absl.flags import FLAGS

from gippo_jax.cli.commands import COMMANDS, module_of
from gippo_jax.programs import devices
from gippo_jax.runs import interrupt

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


@contextlib.contextmanager
def own_flags():
  """absl's flags without those of modules that were imported before; what is defined meanwhile is forgotten."""
  known = {flag.name: flag for flag in map(FLAGS.__getitem__, FLAGS)}  # each once, though some have a short name, too
  for name in list(FLAGS):
    delattr(FLAGS, name)
  try:
    yield
  finally:
    for name in list(FLAGS):
      delattr(FLAGS, name)
    for name, flag in known.items():
      FLAGS[name] = flag
    FLAGS.unparse_flags()


def call(module, *words, cwd=ROOT):
  """What `execute(environment, *command(module, *words))` would be, in this process: no start of Python and JAX.

  For what is refused before anything is trained. JAX counts as in a command, but its devices are those of the tests.
  """
  if module == "gippo_jax" and words[0] in COMMANDS:
    module_of(words[0]).FLAGS.values.unparse_flags()  # of an earlier call
  code, output, errors = 0, io.StringIO(), io.StringIO()
  with (
    contextlib.redirect_stdout(output),
    contextlib.redirect_stderr(errors),
    contextlib.chdir(cwd),
    mock.patch.object(sys, "argv", [module, *words]),
    mock.patch.object(sys, "path", [*sys.path]),
    mock.patch.dict(os.environ),
    mock.patch.object(devices, "configure_jax"),
    mock.patch.object(interrupt, "end_at_once"),
    own_flags(),
    jax.enable_x64(False),
    jax.numpy_dtype_promotion("standard"),
    jax.numpy_rank_promotion("allow"),
  ):
    try:
      runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
      code = end.code
  return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())


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
