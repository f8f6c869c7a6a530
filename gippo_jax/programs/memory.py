"""How much memory a compiled program asks for, and how much a run took."""

import resource
import sys

import jax

_MEBIBYTE = 2**20


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
