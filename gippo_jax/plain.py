"""Types of plain data, as JSON has it; its values are of any kind, and whoever takes one out knows which."""

from collections.abc import Mapping
from typing import Any, TypeAlias

Plain: TypeAlias = dict[str, Any]
PlainMapping: TypeAlias = Mapping[str, Any]
