from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import PasswordChangeForm


class PasswordOnlyChangeForm(PasswordChangeForm):
    """Writes the password alone. Django's form writes the whole row, as it was read: that enables
    an account again which has been disabled since."""

    def save(self, commit: bool = True) -> Any:
        user = super().save(commit=False)
        if commit:
            user.save(update_fields=["password"])
        return user
