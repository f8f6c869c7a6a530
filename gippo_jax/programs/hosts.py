"""Several processes as one run: who writes, and how what one process knows reaches all of them.

Every process runs the same program on its own devices, so they must take the same decisions in the same order. With one
process every function here returns at once.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.plain import Plain

T = TypeVar("T")

# How long a process that ends waits for the others; one that failed need not hold the rest for JAX's five minutes.
_SHUTDOWN_SECONDS = 30

# What a message begins with.
_RESULT, _ERROR = b"result:", b"error:"


class Decision(NamedTuple):
  """What all processes do next.

  Attributes:
    chunk: epochs of the next chunk.
    save: whether to write a checkpoint now.
    stop: whether to end the run.
  """

  chunk: int
  save: bool
  stop: bool


def connect(coordinator_address: str | None, num_processes: int | None, process_id: int | None) -> None:
  """Joins this process to the others; before JAX is used for anything else.

  Args:
    coordinator_address: `HOST:PORT` of process 0; `None` takes what JAX finds out (SLURM, Open MPI, TPU pods).
    num_processes, process_id: likewise.

  Raises:
    UserError: when JAX cannot tell who the others are, or cannot reach them.
  """
  try:
    jax.distributed.initialize(
      coordinator_address, num_processes, process_id, shutdown_timeout_seconds=_SHUTDOWN_SECONDS
    )
  except (RuntimeError, ValueError) as error:
    raise UserError(
      f"--distributed: {str(error).splitlines()[0]}; allowed: under SLURM, Open MPI or on a TPU pod without more, "
      "elsewhere with --coordinator_address=HOST:PORT, --num_processes and --process_id"
    ) from None


def is_first() -> bool:
  """Whether this is the process that writes files and talks to the user."""
  return jax.process_index() == 0


def of_first(compute: Callable[[], T]) -> T:
  """The result of `compute` on the first process, on all of them: plain data, as JSON has it.

  Raises:
    UserError: on all processes, when `compute` does so on the first.
  """
  return of_first_encoded(compute, lambda value: json.dumps(value).encode(), json.loads)


def of_first_encoded(compute: Callable[[], T], encode: Callable[[T], bytes], decode: Callable[[bytes], T]) -> T:
  """As `of_first`, for a value that is sent as bytes.

  Args:
    compute: run on the first process.
    encode: its result as bytes.
    decode: undoes it, on every other process.
  """
  if jax.process_count() == 1:
    return compute()
  result: Any = None
  failed: UserError | None = None
  message = b""
  if is_first():
    try:
      result = compute()
      message = _RESULT + encode(result)
    except UserError as error:
      failed, message = error, _ERROR + str(error).encode()
  message = _broadcast(message)
  if message.startswith(_ERROR):
    raise failed or UserError(message.removeprefix(_ERROR).decode())
  return result if is_first() else decode(message.removeprefix(_RESULT))


def _broadcast(message: bytes) -> bytes:
  from jax.experimental import multihost_utils

  # As bytes: numbers would pass through a sum over processes, which does not keep all of them as they are.
  length = int(multihost_utils.broadcast_one_to_all(np.int32(len(message))))
  sent = np.zeros(length, np.uint8)
  if is_first():
    sent[:] = np.frombuffer(message, np.uint8)
  return np.asarray(multihost_utils.broadcast_one_to_all(sent)).tobytes()


def agree(mine: Decision) -> Decision:
  """The first process's decision; any process may stop the run.

  Args:
    mine: what this process would do by its own clock and its own signals.
  """
  if jax.process_count() == 1:
    return mine
  from jax.experimental import multihost_utils

  everyone = np.asarray(multihost_utils.process_allgather(np.asarray(mine, np.int32)))
  chunk, save, _ = everyone[0].tolist()
  return Decision(chunk, bool(save), bool(everyone[:, 2].any()))


def require_same(experiment: Plain) -> None:
  """Refuses processes that were started for different runs.

  Args:
    experiment: the experiment as plain data.

  Raises:
    UserError: on all processes, when any has another experiment than the first.
  """
  experiment = json.loads(json.dumps(experiment))  # as the others get it
  theirs = of_first(lambda: experiment)
  names = [name for name in experiment if experiment[name] != theirs[name]]
  if agree(Decision(0, False, stop=bool(names))).stop:
    where = (
      f"config.{names[0]} is {experiment[names[0]]!r}, {theirs[names[0]]!r} on process 0"
      if names
      else ("another process was started with another configuration")
    )
    raise UserError(f"--distributed: {where}; allowed: the same command on every process")
