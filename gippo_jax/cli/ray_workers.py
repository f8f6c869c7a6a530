"""Workers of a sweep as actors of Ray, on whatever machines its cluster has."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from gippo_jax.errors import UserError

_INSTALL = 'pip install "gippo_jax[ray]"'


class ActorOptions(NamedTuple):
  """What an actor asks for; see `launch --help`."""

  workers: int
  address: str | None
  gpus: int
  cpus: int
  memory: int
  restarts: int


class Worker:
  """Trains chunks of a sweep until there are none; what an actor is.

  It claims them in the sweep's folder as any other worker does, so that Ray has nothing to hand out: it says on which
  machine a worker runs, and starts it again elsewhere when that machine is lost.

  Args:
    folder: where the sweep was launched from: paths in the flags are relative to it.
    cpus: cores that are its own.
  """

  def __init__(self, folder: str, cpus: int):
    os.chdir(folder)
    # Ray counts cores, but lets a process use all of them.
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
      flags = (os.environ.get("XLA_FLAGS", ""), f"--xla_force_host_platform_device_count={cpus}")
      os.environ["XLA_FLAGS"] = " ".join(flags).strip()

  def train(self, flags: Sequence[str]) -> str:
    """Runs `python -m gippo_jax sweep` in this process.

    Args:
      flags: of the sweep.

    Returns:
      What went wrong, in one line; nothing when nothing did.
    """
    from gippo_jax.cli import sweep

    try:
      code = sweep.main(sweep.FLAGS.parse(flags))
    except UserError as error:
      return str(error)
    return "" if code == 0 else f"it ended with {code}"


def train(options: ActorOptions, flags: Sequence[str]) -> list[str]:
  """Trains a sweep with actors, and waits for them.

  Args:
    options: of the actors.
    flags: of the sweep.

  Returns:
    For each worker what went wrong, in one line; empty for nothing.

  Raises:
    UserError: when Ray is missing, there is no cluster at the address, or it can never hold such an actor.
  """
  try:
    import ray  # pyright: ignore[reportMissingImports]
    from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]
  except ModuleNotFoundError:
    raise UserError(f"Ray is not installed; allowed: {_INSTALL}") from None
  try:
    ray.init(address=options.address, include_dashboard=False if options.address is None else None)
  except (ConnectionError, ValueError) as error:
    raise UserError(f"--address: {options.address!r}: {str(error).splitlines()[0]}") from None
  try:
    wanted = {"CPU": options.cpus, "GPU": options.gpus, "memory": options.memory * 2**30}
    there = ray.cluster_resources()
    for name, amount in wanted.items():
      if amount > there.get(name, 0):
        raise UserError(f"{name}: a worker asks for {amount:g}, the cluster has {there.get(name, 0):g}; allowed: less")
    actor: Any = ray.remote(Worker).options(  # whose methods Ray makes at run time
      num_cpus=options.cpus,
      num_gpus=options.gpus,
      memory=options.memory * 2**30,
      max_restarts=options.restarts,
      max_task_retries=options.restarts,
    )
    words = [*flags, f"--workers={options.workers}"]
    actors = [actor.remote(os.getcwd(), options.cpus) for _ in range(options.workers)]
    workers = {worker.train.remote(words): worker for worker in actors}
    del actors
    outcomes = []
    while workers:
      (ended, *_), _ = ray.wait(list(workers))
      try:
        outcomes.append(ray.get(ended))
      except RayError as error:
        outcomes.append(str(error).strip().splitlines()[0])
      del workers[ended]  # with it goes the actor, which makes room for one that waits
    return outcomes
  finally:
    ray.shutdown()
