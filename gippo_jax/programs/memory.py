"""How much memory there is, how much a compiled program takes of it, and how much was taken."""

import math
import os
import pathlib
import re
import resource
import sys

import jax

from gippo_jax.envs.base import PyTree
from gippo_jax.errors import UserError

_MEBIBYTE = 2**20
_LESS = "less of config.num_seeds, num_envs, horizon, evaluation_episodes, actor.units, critic.units or config.env"


def program_bytes(compiled: jax.stages.Compiled) -> dict[str, int]:
  """What a compiled program holds on one device.

  Returns:
    `state`: arguments and results, shared ones counted once; `temporary`: everything else, above all what the backward
    pass keeps of the forward one. In bytes; empty where the backend does not tell.
  """
  analysis = compiled.memory_analysis()
  if analysis is None:
    return {}
  state = analysis.argument_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
  return {"state": state, "temporary": analysis.temp_size_in_bytes}


def require(needed: float, what: str) -> None:
  """Refuses what cannot fit, before it is tried.

  Args:
    needed: bytes, at least.
    what: needs them, in words.

  Raises:
    UserError: when there is less.
  """
  available = available_bytes()
  if needed > available:
    raise UserError(
      f"memory: {what} takes at least {describe_bytes(needed)} of the {describe_bytes(available)} there are; allowed: "
      f"{_LESS}"
    )


def require_program(program: dict[str, int]) -> None:
  """Refuses a compiled program that cannot fit, before it is run.

  Args:
    program: `program_bytes`, of one device.

  Raises:
    UserError: when there is less memory.
  """
  on_cpu = jax.local_devices()[0].platform == "cpu"  # whose devices share the machine's memory
  require(sum(program.values()) * (jax.local_device_count() if on_cpu else 1), "a chunk of this run")


def tree_bytes(shapes: PyTree) -> int:
  """Of all leaves, which may be shapes."""
  return sum(math.prod(leaf.shape) * _item_bytes(leaf) for leaf in jax.tree.leaves(shapes))


def available_bytes() -> float:
  """Memory of a device, or of the machine when devices are cores of its processor, that nothing uses yet."""
  statistics = jax.local_devices()[0].memory_stats()
  if statistics and "bytes_limit" in statistics:
    return statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
  linux = pathlib.Path("/proc/meminfo")
  found = re.search(r"MemAvailable:\s+(\d+)", linux.read_text()) if linux.exists() else None
  # What the system calls available counts the cache of files, which gives way.
  machine = int(found[1]) * 1024 if found else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  return min(machine, _container_bytes(), _limit_bytes())


def peak_bytes() -> int:
  """The most that was in use at once: on the first accelerator, or by the whole process on a CPU."""
  statistics = jax.local_devices()[0].memory_stats()
  if statistics and "peak_bytes_in_use" in statistics:
    return statistics["peak_bytes_in_use"]
  scale = 1 if sys.platform == "darwin" else 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def describe(program: dict[str, int]) -> str:
  """`program_bytes` in words."""
  if not program:
    return "memory: the backend does not tell"
  state, temporary = (program[name] / _MEBIBYTE for name in ("state", "temporary"))
  return f"memory of the compiled chunk: {temporary:.1f} MiB for rollout and gradients, {state:.1f} MiB state"


def describe_bytes(count: float) -> str:
  """In MiB, GiB or TiB."""
  for size, unit in ((2**40, "TiB"), (2**30, "GiB")):
    if count >= size:
      return f"{count / size:.1f} {unit}"
  return f"{count / _MEBIBYTE:.2f} MiB"


def _item_bytes(leaf: jax.ShapeDtypeStruct) -> int:
  is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  return 8 if is_key else leaf.dtype.itemsize


def _container_bytes() -> float:
  """What the control group of this process leaves of its limit."""
  folder = pathlib.Path("/sys/fs/cgroup")
  try:
    limit, used = ((folder / name).read_text() for name in ("memory.max", "memory.current"))
    return math.inf if limit.strip() == "max" else max(0, int(limit) - int(used))
  except (OSError, ValueError):
    return math.inf


def _limit_bytes() -> float:
  """The process's own limit (`ulimit -v`)."""
  limit, _ = resource.getrlimit(resource.RLIMIT_AS)
  return math.inf if limit == resource.RLIM_INFINITY else limit
