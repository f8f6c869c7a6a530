"""What a run knows of itself besides its states; kept with them in every checkpoint."""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.plain import Plain, PlainMapping
from gippo_jax.programs.devices import num_threads
from gippo_jax.runs.arrays import DamagedFile, Leaf, read_header

# The epoch after which states are hashed: late enough that everything has moved, early enough that a second run is
# soon compared with the first.
HASH_EPOCH = 10


class History(NamedTuple):
  """What goes on from start to start.

  Attributes:
    run_seconds: in which epochs were trained that count.
    processor_seconds: of this process's cores in them.
    wall_seconds: of all starts, also of epochs that a kill took back.
    compile_seconds: of the first start.
    starts: how often the run was started.
    saved_at: time of the checkpoint, seconds since 1970.
    watch: of `DivergenceWatch`.
    hashes: of each member's state after `HASH_EPOCH` epochs; empty before.
    precision: default float type.
    software: versions of what computes, and on what.
    deterministic: whether every start asked accelerators for the same bits.
  """

  run_seconds: float = 0.0
  processor_seconds: float = 0.0
  wall_seconds: float = 0.0
  compile_seconds: float = 0.0
  starts: int = 1
  saved_at: float = 0.0
  watch: Mapping[str, list] = {}
  hashes: list[str] = []
  precision: str = ""
  software: PlainMapping = {}
  deterministic: bool = False

  def plain(self) -> Plain:
    """As JSON."""
    return self._asdict()


def history_of(values: object) -> History:
  """What `History.plain` gave.

  Raises:
    ValueError: when it is something else.
  """
  if not isinstance(values, Mapping) or set(values) != set(History._fields):
    raise ValueError("no history of a run")
  return History(**values)


def of_member(history: History, member: int) -> History:
  """The history of one of the members, as if it had run alone."""
  watch = {name: values[member : member + 1] for name, values in history.watch.items()}
  return history._replace(watch=watch, hashes=history.hashes[member : member + 1])


def precision() -> str:
  """The default float type."""
  return jnp.zeros(()).dtype.name


def require_precision(stored: str, where: object) -> None:
  """Refuses to go on in another float type.

  Raises:
    UserError: when the stored one is not today's.
  """
  if stored != precision():
    flag = "1" if stored == "float64" else "0"
    raise UserError(
      f"JAX_ENABLE_X64: {where} was trained in {stored}, this process computes in {precision()}; allowed: "
      f"JAX_ENABLE_X64={flag}, or another folder"
    )


def software(by_environment: bool) -> Plain:
  """What bits depend on besides the configuration.

  Args:
    by_environment: whether environments are spread over devices, not seeds.
  """
  device = jax.devices()[0]
  threads = {"threads": num_threads()} if device.platform == "cpu" else {}  # the order of sums follows their number
  return {
    "jax": jax.__version__,
    "jaxlib": jaxlib.__version__,
    "device": f"{device.platform} {device.device_kind}",
    "spread": f"environments over {jax.device_count()} devices" if by_environment else "seeds over devices",
    **threads,
  }


def changes(before: PlainMapping, now: PlainMapping) -> list[str]:
  """What of the software is not what it was, in words; what was not written down then is left out."""
  return [
    f"{name} is {now[name]!r}, it was {before[name]!r}" for name in now if before.get(name, now[name]) != now[name]
  ]


def spreads_environments(file: pathlib.Path) -> bool:
  """Whether the run of a checkpoint spread its environments over devices.

  Raises:
    UserError: when the file cannot be read.
  """
  try:
    history = history_of(read_header(file).get("history"))
  except ValueError:
    raise DamagedFile(f"{file} is of another version; allowed: checkpoints of this one") from None
  return str(history.software.get("spread")).startswith("environments")


def state_hashes(leaves: Mapping[str, Leaf]) -> list[str]:
  """A hash of every member's state: names, types, shapes and bytes.

  Args:
    leaves: of the states, `[num_members, ...]`, from `named_leaves`.
  """
  num_members = next(iter(leaves.values())).array.shape[0]
  return [_hash(leaves, member) for member in range(num_members)]


def _hash(leaves: Mapping[str, Leaf], member: int) -> str:
  digest = hashlib.sha256()
  for name in sorted(leaves):
    array = np.ascontiguousarray(leaves[name].array[member])
    digest.update(f"{name} {leaves[name].key} {array.dtype.name} {array.shape}\n".encode())
    digest.update(array.tobytes())
  return digest.hexdigest()[:16]
