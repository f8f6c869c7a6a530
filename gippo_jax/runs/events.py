"""TensorBoard's events, written without a thread: what is written is in the file, and what fails is known at once."""

import math
import os
import pathlib
import socket
import struct
import time

from gippo_jax.plain import Plain

# What a row has besides metrics.
NO_METRICS = ("epoch", "seed", "steps", "steps_per_second")

# Groups of TensorBoard's tags, by the beginnings of metrics' names.
_GROUPS = (
  ("sample_gradient_", "gradient"),
  ("advantage_gradient_", "gradient"),
  ("advantage_", "advantage"),
  ("episodes", "return"),
  ("alpha_", "alpha"),
  ("critic_", "critic"),
  ("actor_", "actor"),
  ("action_", "actor"),
  ("ppo_", "ppo"),
  ("fault_", "faults"),
)
_TAGS = {
  "return": "return/mean",
  "best_return": "return/best",
  "episodes": "return/episodes",
  "alpha": "alpha/alpha",
  "sample_gradient_dropped": "faults/gradients_dropped",
  "episodes_nonfinite": "faults/episodes_nonfinite",
}


def tag_of(name: str) -> str:
  """TensorBoard's tag of a metric, `group/name`; what no group knows is the algorithm's own."""
  if "/" in name:
    return name
  if name in _TAGS:
    return _TAGS[name]
  for beginning, group in _GROUPS:
    if name.startswith(beginning):
      return f"{group}/{name.removeprefix(beginning)}"
  return f"algorithm/{name}"


def scalars(name: str, value: float | list[float]) -> list[tuple[str, float]]:
  """A metric as TensorBoard takes it: tags with a number each; the entries of a list are numbered."""
  tag = tag_of(name)
  if isinstance(value, list):
    return [(f"{tag}/{index}", number) for index, number in enumerate(value)]
  return [(tag, value)]


def event_file(folder: pathlib.Path) -> pathlib.Path:
  """A file of events that no other start of the run writes to."""
  return folder / f"events.out.tfevents.{time.time():.3f}.{socket.gethostname()}.{os.getpid()}"


def first_event(when: float) -> bytes:
  """The record that a file of events begins with."""
  return _record(_messages()[0](wall_time=when, file_version="brain.Event:2"))


def purge_event(when: float, step: int) -> bytes:
  """A record that takes back all events from a step on: a run goes on from before they were made."""
  make_event, _, make_session = _messages()
  return _record(make_event(wall_time=when, step=step, session_log=make_session(status=make_session.START)))


def row_event(when: float, row: Plain) -> bytes:
  """The record of a row of metrics; numbers that are not finite have no place in it."""
  make_event, make_summary, _ = _messages()
  values = [
    make_summary.Value(tag=tag, simple_value=number)
    for name, value in row.items()
    if name not in NO_METRICS
    for tag, number in scalars(name, value)
    if number is not None and math.isfinite(number)
  ]
  return _record(make_event(wall_time=when, step=row["steps"], summary=make_summary(value=values)))


def _messages():
  # Their classes are made when tensorboardX is imported, which only those who write events should pay for.
  from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
  from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

  return Event, Summary, SessionLog


def _record(event) -> bytes:
  """A record of TensorFlow's: length, its checksum, data, their checksum."""
  from tensorboardX.record_writer import masked_crc32c

  data = event.SerializeToString()
  length = struct.pack("<Q", len(data))
  return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))
