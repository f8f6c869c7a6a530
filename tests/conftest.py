"""Strict arithmetic for the whole suite: 64-bit floats, no silent promotion of dtype or rank; two host devices."""

import os
import signal
import tempfile

import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook

from tests.commands import QUICK, command, environment_of, execute

# The shapes at the doors of the mathematics are checked in every call that a test makes.
DOORS = ["advantages", "agreement", "batch_importance", "gaussian", "gradient_health", "mixers", "output_gradients"]
install_import_hook([f"gippo_jax.learning.{door}" for door in DOORS], "beartype.beartype")

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 2)


def pytest_configure(config):
  """One cache of compiled programs for the commands of all tests, whichever worker runs them.

  And quick compilation in all tests but the slow ones, which train.
  """
  # A shell starts what it runs in the background with Ctrl-C ignored, and the commands of the tests would inherit that.
  signal.signal(signal.SIGINT, signal.default_int_handler)
  if not hasattr(config, "workerinput"):  # the workers inherit it
    folder = tempfile.TemporaryDirectory(prefix="gippo_jax_tests_", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["XDG_CACHE_HOME"] = folder.name
  if config.getoption("markexpr") == "not slow":
    os.environ.setdefault("XLA_FLAGS", QUICK)


# The same examples every time: a red run must be a change's fault, not a draw's.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def environment():
  """Environment variables of commands."""
  return environment_of()


@pytest.fixture(scope="session")
def run(environment):
  """Runs a module as a command: `run(module, *arguments)` is the finished process."""
  return lambda module, *arguments: execute(environment, *command(module, *arguments))
