"""The exceptions that mean: the user asked for something that cannot be done, and here is why in one line."""


class UserError(ValueError):
  """Shown to the user as one line without a traceback; the program ends with exit code 2."""


class UserCodeError(UserError):
  """Code of the user's own failed; its cause is what that code raised, whose traceback is shown below the line."""
