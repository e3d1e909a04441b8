"""The record and the findings."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import DataError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from pg_session_guard.core.administration import KINDS, Problem, role, whom
from pg_session_guard.django import administration
from pg_session_guard.django.conf import writing_connection
from pg_session_guard.django.models import Event


class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def page(self, request: Any, template: str, **context: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        context |= {**self.admin_site.each_context(request), "opts": self.opts}
        context.setdefault("title", str(self.opts.verbose_name_plural).capitalize())
        return TemplateResponse(request, template, context)

    def problem_page(self, request: HttpRequest, problem: Problem) -> HttpResponse:
        return self.page(request, "pg_session_guard/problem.html", problem=problem)


class GuardFilter(admin.SimpleListFilter):
    title, parameter_name = "users table", "guard"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in administration.guards()[0]]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(guard=self.value()) if self.value() else queryset


class KindFilter(admin.SimpleListFilter):
    title, parameter_name = "reason", "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(KINDS.items())

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        kind = self.value()
        if not kind:
            return queryset
        return queryset.filter(Q(reason=kind) | Q(reason__startswith=f"{kind}:"))


class RecordList(ChangeList):
    """Reads the users of a page at once."""

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except (DataError, OverflowError) as error:
            # Such as of a NUL, or of a time that is none in UTC. Django looks at types alone.
            raise IncorrectLookupParameters from error
        events = list(self.result_list)
        ours = administration.guards()[1]
        ids = [event.user_id for event in events if event.user_id and event.guard == ours]
        users = administration.users_by_id(ids) if ids else {}
        for event in events:
            event.user = users.get(event.user_id) if event.guard == ours else None
        self.result_list = events


class RecordAdmin(ReadOnly):
    list_display = ("at", "user", "reason", "role", "client")
    list_display_links = None
    list_filter = ("at", KindFilter, GuardFilter)
    list_per_page = 50
    ordering = ("-at", "-id")
    search_fields = ("user_id",)
    search_help_text = "A user's name or id, or how a reason begins, such as admin: by jane"
    actions = None
    show_full_result_count = False
    fields = (
        *("at", "guard", "user_id", "scope", "subject", "epoch", "reason"),
        *("login_role", "acting_role", "application_name", "client_addr"),
    )

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:
        return RecordList

    def get_queryset(self, request: HttpRequest) -> Any:
        queryset = Event.record.using(writing_connection().alias)
        return queryset.order_by(*self.get_ordering(request))

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """By the index of the users, unless it is the reason that is asked for."""
        term = search_term.strip().replace("\0", "")
        if not term:
            return queryset, False
        if term.split(":")[0] in KINDS:
            return queryset.filter(reason__startswith=term), False
        ours = Q(user_id__in=administration.ids_by_name(term), guard=administration.guards()[1])
        return queryset.filter(ours | Q(user_id=term)), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        problem = administration.rights().see
        if problem:
            return self.problem_page(request, problem)
        titles = {"title": "Ended sessions", **(extra_context or {})}
        return super().changelist_view(request, titles)

    def changeform_view(self, request: HttpRequest, *arguments: Any, **named: Any) -> Any:
        problem = administration.rights().see
        if problem:
            return self.problem_page(request, problem)
        return super().changeform_view(request, *arguments, **named)

    @admin.display(description="user", ordering="user_id")
    def user(self, event: Any) -> str:
        if event.user is None:
            return whom(event.user_id, event.scope, event.subject)
        meta = get_user_model()._meta
        name = f"{self.admin_site.name}:{meta.app_label}_{meta.model_name}_change"
        try:
            address = reverse(name, args=[event.user.pk])
        except NoReverseMatch:
            return str(event.user)
        return format_html('<a href="{}">{}</a>', address, event.user)

    @admin.display(description="database role")
    def role(self, event: Any) -> str:
        return role(event.login_role, event.acting_role)

    @admin.display(description="client")
    def client(self, event: Any) -> str:
        return " ".join(filter(None, (event.application_name, event.client_addr))) or "-"


class FindingsAdmin(ReadOnly):
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        problem = administration.rights().health
        if problem:
            return self.problem_page(request, problem)
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = administration.findings()
        wrong = [one for one in found if not one.ok]
        right = [one for one in found if one.ok]
        return self.page(request, "pg_session_guard/findings.html", wrong=wrong, right=right)

    def changeform_view(self, request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
        return self.changelist_view(request)
