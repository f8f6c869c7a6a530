"""The one exception that means: the user asked for something that cannot be done, and here is why in one line."""


class UserError(ValueError):
  """Shown to the user as one line without a traceback; the program ends with exit code 2."""
