"""The record of ended sessions, for the pages of the admin. The extension's own table: no migration
makes or changes it."""

from __future__ import annotations

from typing import Any

from django.db import models


class NotDumped(models.Manager[Any]):
    """What dumpdata asks. The record is dumped with its database; an app's role may not even be
    allowed to read it, and where the database is another one it is not there."""

    def get_queryset(self) -> Any:
        return super().get_queryset().none()


class Event(models.Model):
    id: Any = models.BigIntegerField(primary_key=True)
    at: Any = models.DateTimeField("time")
    guard: Any = models.TextField("users table", null=True)
    user_id: Any = models.TextField("user", null=True)
    scope: Any = models.TextField(null=True)
    subject: Any = models.TextField(null=True)
    epoch: Any = models.DateTimeField("ended what began before")
    reason: Any = models.TextField()
    login_role: Any = models.TextField("database role")
    acting_role: Any = models.TextField()
    application_name: Any = models.TextField(null=True)
    client_addr: Any = models.GenericIPAddressField("address of the client", null=True)

    objects = NotDumped()
    record: models.Manager[Any] = models.Manager()

    class Meta:
        managed = False
        db_table = '"session_guard"."event"'
        default_manager_name = base_manager_name = "objects"
        default_permissions = ("view",)
        permissions = (("end_sessions", "Can end all sessions of users"),)
        verbose_name = "ended session"
        verbose_name_plural = "ended sessions"

    def __str__(self) -> str:
        return f"{self.reason}, {self.at:%Y-%m-%d %H:%M:%S}"


class Finding(Event):
    """A finding of health(). There is no table of them: a model is what the admin has permissions
    and a place in its index for."""

    class Meta:
        proxy = True
        default_permissions = ("view",)
        verbose_name = "finding"
        verbose_name_plural = "findings"
