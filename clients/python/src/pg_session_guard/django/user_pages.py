"""What is added to the users' own pages: an action with its confirmation, an account's state and
its history."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from pg_session_guard.core.administration import LONGEST_NOTE, Busy, Rights
from pg_session_guard.django import administration
from pg_session_guard.django.conf import is_guarded, writing_connection

ACTION = "end_all_sessions"
FIELDS = ("session_guard_state", "session_guard_history")
# How many of the selected are named where they are confirmed.
MOST_NAMES = 50
END, SEE = "pg_session_guard.end_sessions", "pg_session_guard.view_event"


class SessionsOfUsers(admin.ModelAdmin):  # type: ignore[type-arg]
    """Before the app's own ModelAdmin of the users."""

    # --- The action ---

    def get_actions(self, request: HttpRequest) -> Any:
        actions: Any = super().get_actions(request)
        if IS_POPUP_VAR not in request.GET and _may(request, END):
            text = "End all sessions of selected %(verbose_name_plural)s"
            actions[ACTION] = (_end_of_selected, ACTION, text)
        return actions

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.end_sessions_of_user)
        name = f"{self.opts.app_label}_{self.opts.model_name}_end_sessions"
        return [path("<path:object_id>/end_sessions/", view, name=name), *super().get_urls()]

    def end_sessions_of_user(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user: Any = self.get_object(request, unquote(object_id))
        if not _may(request, END) or not self.has_view_permission(request, user):
            raise PermissionDenied
        if user is None:
            raise Http404
        users = self.get_queryset(request).filter(pk=user.pk)
        return self.confirm_or_end(request, users, self.address("change", user.pk))

    def confirm_or_end(self, request: Any, users: Any, back: str) -> HttpResponse:
        problem = administration.rights().end
        if problem is None and request.method == "POST" and "confirmed" in request.POST:
            self._end(request, users)
            return HttpResponseRedirect(back)
        count = users.count()
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": "End all sessions",
            "opts": self.opts,
            "problem": problem,
            "count": count,
            "named": users[:MOST_NAMES],
            "unnamed": max(0, count - MOST_NAMES),
            "own": users.filter(pk=request.user.pk).exists(),
            "longest_note": LONGEST_NOTE,
            "back": back,
            "action": ACTION,
            "checkbox": helpers.ACTION_CHECKBOX_NAME,
            "selected": request.POST.getlist(helpers.ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "pg_session_guard/end_sessions.html", context)

    def _end(self, request: Any, users: Any) -> None:
        ids = list(users.values_list("pk", flat=True))
        administrator, note = request.user.get_username(), request.POST.get("note", "")
        try:
            count = administration.end_sessions(ids, administrator, note)
        except Busy:
            text = "Nothing was ended: somebody is changing one of the accounts. Try again."
            self.message_user(request, text, messages.ERROR)
            return
        whose = "1 user" if count == 1 else f"{count} users"
        self.message_user(request, f"All sessions of {whose} have ended.", messages.SUCCESS)

    def address(self, page: str, *arguments: Any) -> str:
        names = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(names, args=arguments)

    # --- The user's page ---

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return [*fieldsets, ("Sessions", {"fields": FIELDS})] if _shows(request, obj) else fieldsets

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for name in super().get_fields(request, obj) if name not in FIELDS]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        if not _shows(request, obj):
            return fields
        obj.session_guard_may_end = _may(request, END)
        return [*fields, *FIELDS]

    @admin.display(description="State")
    def session_guard_state(self, user: Any) -> str:
        problem = _rights(user).see
        context = {
            "problem": problem,
            "account": None if problem else administration.account(user),
            "end": self.address("end_sessions", user.pk) if user.session_guard_may_end else None,
        }
        return render_to_string("pg_session_guard/state.html", context)

    @admin.display(description="History")
    def session_guard_history(self, user: Any) -> str:
        if _rights(user).see:
            return "-"
        events, more = administration.history(user)
        record = reverse(f"{self.admin_site.name}:pg_session_guard_event_changelist")
        context = {"events": events, "more": more, "record": record, "user_id": str(user.pk)}
        return render_to_string("pg_session_guard/history.html", context)


def _end_of_selected(pages: SessionsOfUsers, request: HttpRequest, users: Any) -> HttpResponse:
    # The app's own ModelAdmin may list whom it does not show.
    if not all(pages.has_view_permission(request, user) for user in users.iterator(2000)):
        raise PermissionDenied
    return pages.confirm_or_end(request, users, request.get_full_path())


def _may(request: Any, permission: str) -> bool:
    """With SQLite there is nothing to see and to end."""
    return is_guarded(writing_connection()) and request.user.has_perm(permission)


def _shows(request: HttpRequest, user: Any) -> bool:
    return user is not None and _may(request, SEE)


def _rights(user: Any) -> Rights:
    """Read once a page."""
    if not hasattr(user, "session_guard_rights"):
        user.session_guard_rights = administration.rights()
    rights: Rights = user.session_guard_rights
    return rights
