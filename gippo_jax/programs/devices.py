"""The machine's cores and devices, and how JAX is told to use them."""

import os
import pathlib

import jax


def num_cores() -> int:
  """Cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):  # not on macOS
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def num_threads() -> int:
  """Threads on which XLA's programs run on a CPU: one per core or `PJRT_NPROC`, and no fewer than there are devices."""
  wanted = os.environ.get("PJRT_NPROC", "")
  return max(int(wanted) if wanted.isdigit() else num_cores(), jax.local_device_count())


# What XLA is told so that a GPU computes the same bits every time: no atomics, no choice of kernels by their speed.
_DETERMINISTIC = ("--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0")


def make_deterministic() -> None:
  """Makes accelerators compute the same bits in every run, at a price in speed; before JAX is used."""
  flags = os.environ.get("XLA_FLAGS", "").split()
  os.environ["XLA_FLAGS"] = " ".join([*flags, *(flag for flag in _DETERMINISTIC if flag not in flags)])


def is_deterministic() -> bool:
  """Whether `make_deterministic` was called, or a user asked XLA for the same."""
  return set(_DETERMINISTIC) <= set(os.environ.get("XLA_FLAGS", "").split())


def configure_jax(num_devices: int, compilation_cache: bool = True) -> None:
  """So many host devices, up to the number of cores, and compiled programs kept on disk; before JAX is used.

  Args:
    num_devices: that a CPU is to be; accelerators are what they are.
    compilation_cache: keep compiled programs for the next run, in `$XDG_CACHE_HOME/gippo_jax` or `~/.cache/gippo_jax`.
  """
  if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    jax.config.update("jax_num_cpu_devices", min(num_devices, num_cores()))
  if compilation_cache and not jax.config.values["jax_compilation_cache_dir"]:
    try:
      cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "gippo_jax"
      cache.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home, as a container's user may have none, or one that cannot be written
      return
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
