"""What the user names by an import path: modules, and the classes and functions in them."""

import importlib
from types import ModuleType


class NotThereError(LookupError):
  """There is no such module, or no such name in it; the text says which."""


class BrokenModuleError(Exception):
  """A module of the user's own raised while it was imported; that error is the cause."""


def import_module(name: str) -> ModuleType:
  """The module of that name.

  Raises:
    NotThereError: when there is none.
    BrokenModuleError: when it raises.
  """
  try:
    return importlib.import_module(name)
  except ModuleNotFoundError as error:
    missing = error.name or ""
    if missing and f"{name}.".startswith(f"{missing}."):
      raise NotThereError(f"there is no module {missing!r}") from None
    raise _broken(error) from error
  except ValueError as error:  # an empty name
    raise NotThereError(str(error)) from None
  except Exception as error:  # whatever a user's module may raise
    raise _broken(error) from error


def import_object(path: str) -> object:
  """What `MODULE:NAME` names; the name may be dotted.

  Raises:
    NotThereError, BrokenModuleError: as `import_module`.
  """
  module_name, _, name = path.partition(":")
  found: object = import_module(module_name)
  for part in name.split("."):
    if not hasattr(found, part):
      raise NotThereError(f"module {module_name!r} has no {name!r}")
    found = getattr(found, part)
  return found


def _broken(error: Exception) -> BrokenModuleError:
  line = (str(error).strip().splitlines() or [""])[0]
  return BrokenModuleError(f"raised {type(error).__name__}: {line}")
