"""What the numbers of a run mean, as a version: numbers that were counted in different ways are not to be compared."""

from collections.abc import Mapping

from gippo_jax.errors import UserError
from gippo_jax.plain import Plain

# Counted up when a return, or another number that is compared, is from then on counted otherwise.
CURRENT = 1


def version_of(cell: Plain) -> int:
  """The version of a table's cell; 1 where nothing says it."""
  return cell.get("metrics_version", 1)


def require_one_version(versions: Mapping[str, int], command: str) -> None:
  """Refuses to set numbers of different meanings beside each other.

  Args:
    versions: by the name of what has them.
    command: or flag, that the message begins with.

  Raises:
    UserError: naming two of different versions.
  """
  first, *others = versions.items() or [("", 0)]
  for name, version in others:
    if version != first[1]:
      raise UserError(
        f"{command}: the metrics of {name} are of version {version}, those of {first[0]} of version {first[1]}, which "
        "counted them otherwise; allowed: runs of one version"
      )
