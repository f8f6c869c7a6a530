"""A compiled chunk of epochs, timed."""

import time
from typing import NamedTuple

import numpy as np

from gippo_jax.experiments.speed.tracing import operations_run
from gippo_jax.parsing import Experiment
from gippo_jax.programs.members import Runs


class Chunk(NamedTuple):
  """How a chunk ran.

  Attributes:
    seconds: for an epoch of a member, the least of the repeats.
    metrics: means over the members and epochs of the last repeat.
    num_bytes: of the program on one device.
    num_operations: of XLA, started in the epoch after the last repeat; `None` where they were not counted.
  """

  seconds: float
  metrics: dict[str, float]
  num_bytes: int
  num_operations: int | None = None


def make_runs(experiment: Experiment, num_members: int, capacity: int, num_devices: int, by_environment: bool) -> Runs:
  """Members on the first devices, or with their environments spread over them."""
  import jax

  from gippo_jax import envs
  from gippo_jax.programs.members import make_members
  from gippo_jax.programs.sharded import ShardedMembers

  env = envs.make(**experiment.env)
  if by_environment:
    return ShardedMembers(env, experiment.config, num_members, capacity)
  devices = jax.local_devices()[:num_devices]
  return make_members(env, experiment.config, num_members, capacity, devices=devices)


def time_chunk(
  experiment: Experiment,
  num_epochs: int,
  num_members: int = 1,
  num_devices: int = 1,
  by_environment: bool = False,
  repeats: int = 1,
  counts_operations: bool = False,
) -> Chunk:
  """Compiles a chunk of `num_epochs`, times it after a first one, counts the operations of another epoch if asked."""
  runs = make_runs(experiment, num_members, num_epochs, num_devices, by_environment)
  states = runs.init(list(range(1, num_members + 1)))
  runs.compile(states)
  seconds, metrics = [], {}
  for _ in range(1 + repeats):
    begin = time.perf_counter()
    states, pending = runs.launch(states, num_epochs)
    metrics = runs.fetch(pending)
    seconds.append(time.perf_counter() - begin)
  means = {name: float(np.mean(values)) for name, values in metrics.items()}
  num_operations = operations_run(lambda: runs.fetch(runs.launch(states, 1)[1])) if counts_operations else None
  num_bytes = sum(runs.program_bytes.values())
  return Chunk(min(seconds[1:]) / (num_epochs * num_members), means, num_bytes, num_operations)
