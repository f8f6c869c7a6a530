"""XLA's own account of what it ran."""

import pathlib
import tempfile
from collections.abc import Callable

import jax

# Operations that only hold others.
_CONTAINERS = ("while", "call", "conditional")


def operations_run(run: Callable[[], object]) -> int:
  """Number of XLA's operations that `run` starts, loops as often as they go round.

  Args:
    run: launches compiled programs and waits for them.
  """
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      run()
    (file,) = pathlib.Path(folder).rglob("*.xplane.pb")
    events = (
      event
      for plane in jax.profiler.ProfileData.from_file(str(file)).planes
      for line in plane.lines
      for event in line.events
    )
    return sum("hlo_op" in dict(event.stats) and event.name.split(".")[0] not in _CONTAINERS for event in events)
