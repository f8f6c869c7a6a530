"""Where a result comes from: versions, commit, device."""

import pathlib
import platform
import subprocess
import sys

import jax
import jaxlib

import gippo_jax


def versions() -> dict[str, str | None]:
  """Versions that a result depends on; the commit when the package runs from a git work tree."""
  return {
    "jax": jax.__version__,
    "jaxlib": jaxlib.__version__,
    "python": platform.python_version(),
    "package": gippo_jax.__version__,
    "git_commit": _git_commit(),
  }


def _git_commit() -> str | None:
  package = pathlib.Path(__file__).parent
  try:
    tracked = subprocess.run(
      ["git", "ls-files", "--error-unmatch", __file__], cwd=package, capture_output=True, check=False
    )
    if tracked.returncode:
      return None
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=package, capture_output=True, check=True, text=True)
  except (OSError, subprocess.CalledProcessError):
    return None
  return head.stdout.strip()


def describe_device() -> str:
  """Kind and number of the devices a run used."""
  devices = jax.devices()
  kind = devices[0].device_kind if devices[0].platform != "cpu" else f"{platform.machine()} {sys.platform}"
  return f"{devices[0].platform} ({kind}) x {len(devices)}"
