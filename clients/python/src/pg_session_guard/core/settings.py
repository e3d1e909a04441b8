"""The settings that all adapters have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PREFIX = "SESSION_GUARD_"


class InvalidSetting(ValueError):
    """A setting that the adapter cannot work with."""


@dataclass(frozen=True)
class Settings:
    fail_open: bool = False
    # A login waits no longer than this for a change of its account that is not committed yet.
    lock_timeout: float = 2.0
    # None: no message.
    message: str | None = "Your session has ended. Please log in again."
    # The guarded table; None: that of the class of the users, or else the default guard.
    users: str | None = None
    # Each session has an id of its own, so that it can be ended alone.
    end_single_sessions: bool = False

    def __post_init__(self) -> None:
        timeout = self.lock_timeout
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
            raise InvalidSetting(f"{PREFIX}LOCK_TIMEOUT must be a number of seconds above 0")
        for name in ("fail_open", "end_single_sessions"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidSetting(f"{PREFIX}{name.upper()} must be True or False")
        for name in ("message", "users"):
            if not isinstance(getattr(self, name), (str, type(None))):
                raise InvalidSetting(f"{PREFIX}{name.upper()} must be a text or None")

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> Settings:
        """Refuses a name that is misspelt: it would leave a door as it was."""
        known = {PREFIX + name.upper(): name for name in cls.__dataclass_fields__}
        unknown = [name for name in config if name.startswith(PREFIX) and name not in known]
        if unknown:
            raise InvalidSetting(f"there is no setting {', '.join(sorted(unknown))}")
        return cls(**{known[name]: config[name] for name in known if name in config})

    @property
    def lock_timeout_text(self) -> str:
        """As PostgreSQL takes it. At least 1 ms: to PostgreSQL, 0 is no timeout."""
        return f"{max(1, round(self.lock_timeout * 1000))}ms"
