"""HTTP APIs of two releases: do old clients and the new services still understand each other?

One guarantee: every endpoint that the last release declares is either still there and compared on
both sides, or reported.

    request     what old clients send, the new service must accept
    response    what the new service answers, old clients must understand; they ignore fields that
                they do not know, and take an unknown refusal (4xx, 5xx) by its class
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from contract_gates.diff.documents import Located
from contract_gates.diff.inclusion import (
    FIELD_UNREAD,
    FIELD_UNWRITTEN,
    NOTES,
    Reason,
    accepts,
    meaning,
)
from contract_gates.diff.messages import Release
from contract_gates.diff.notes import Cause, Notes, Place, at, plain
from contract_gates.findings import Level

_METHODS = ("get", "put", "post", "delete", "patch")
_KEEP = "Take it back, or offer the new form beside the old: a field or an endpoint more"
_ARE_SURE = "Make sure that none of them needs it, or keep it"
# How a parameter is written where the document does not say (OpenAPI, "Parameter Object").
_STYLES = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}
# A client that does not know one of these does not know what became of its request.
_OUTCOMES = ("2", "3")


def compare_http(base: Release, head: Release, notes: Notes) -> None:
    """What the APIs of the services that both releases have break for old clients."""
    for service in base.contracts.services:
        if service in head.contracts.sends:
            old = base.folder.read(f"{service}/openapi.yaml")
            new = head.folder.read(f"{service}/openapi.yaml")
            _Api(service, notes).compare(old, new)


class _Operation:
    """One method of one path. `parameters` are by place and name; those in the path by position."""

    def __init__(self, document: Located, path: str, method: str) -> None:
        item = document["paths"][path]
        self.name = f"{method.upper()} {path}"
        self.node: Located = item[method]
        self.security = _security(document, self.node)
        self.servers = {each["url"] for each in _nearest("servers", self.node, item, document)}
        slots = re.findall(r"{([^}]*)}", path)
        self.parameters: Mapping[tuple[str, str | int], Any] = {
            _key(each, slots): each
            for each in (*item.get("parameters", ()), *self.node.get("parameters", ()))
        }


class _Api:
    """One service's API: what of its operations is noted, and as what."""

    def __init__(self, service: str, notes: Notes) -> None:
        self._service = service
        self._notes = notes

    def compare(self, old: Located, new: Located) -> None:
        present = dict(_operations(new))
        for key, was in _operations(old):
            now = present.get(key)
            if now is None:
                text = "{subjects} is gone, and old clients of {hit} get 404 or 405"
                place = self._notes.at(new, "paths")
                self._removed(place, "endpoint-removed", text, was.name, was.node)
                continue
            self._parameters(was, now)
            self._body(was, now)
            self._responses(was, now)
            if meaning(was.security) != meaning(now.security):
                text = "{subjects} asks for other credentials than old clients of {hit} give"
                self._note(self._notes.at(now.node), "security-changed", text, was.name)
            if gone := was.servers - now.servers:
                where = plain(", ".join(sorted(gone)))
                text = f"{{subjects}} is no longer at {where}, where old clients of {{hit}} ask"
                self._note(self._notes.at(new, "servers"), "server-removed", text, was.name)

    def _parameters(self, old: _Operation, new: _Operation) -> None:
        for key, was in old.parameters.items():
            subject = f"{old.name} {was['in']} parameter {was['name']}"
            now = new.parameters.get(key)
            if now is None:
                text = (
                    "{subjects} is gone: what old clients of {hit} say by it is ignored or refused"
                )
                self._removed(self._notes.at(new.node), "parameter-removed", text, subject, was)
            else:
                self._parameter(subject, was, now)
        for key in new.parameters.keys() - old.parameters.keys():
            added = new.parameters[key]
            if added.get("required"):
                subject = f"{old.name} {added['in']} parameter {added['name']}"
                text = "{subjects} is new and required, and old clients of {hit} do not send it"
                place = self._notes.at(added, "required")
                self._note(place, "parameter-required", text, subject, "Make it optional")

    def _parameter(self, subject: str, was: Located, now: Located) -> None:
        if now.get("required") and not was.get("required"):
            text = "{subjects} is required now, and old clients of {hit} may leave it out"
            place = self._notes.at(now, "required")
            self._note(place, "parameter-required", text, subject, "Make it optional")
        if _writing(was) != _writing(now):
            text = "{subjects} is written in another way than old clients of {hit} write it"
            self._note(self._notes.at(now), "parameter-style", text, subject)
        old, new = _schema(was), _schema(now)
        self._request(accepts(new, old), subject)
        before, after = old.get("default"), new.get("default")
        if before != after:
            text = (
                f"{{subjects}} is {plain(str(after))} instead of {plain(str(before))} where old "
                "clients of {hit} leave it out"
            )
            place = self._notes.at(now)
            remedy = "Make sure that this is meant for them, too"
            self._note(place, "default-changed", text, subject, remedy, "warning")

    def _body(self, old: _Operation, new: _Operation) -> None:
        was, now = old.node.get("requestBody"), new.node.get("requestBody")
        subject = f"{old.name} body"
        if now is not None and now.get("required") and not (was or {}).get("required"):
            text = "{subjects} is required now, and old clients of {hit} may send none"
            place = self._notes.at(now, "required")
            self._note(place, "body-required", text, subject, "Make it optional")
        if was is None:
            return
        if now is None:
            text = "{subjects} is taken no more, and what old clients of {hit} send is ignored"
            self._note(self._notes.at(new.node), "body-removed", text, subject)
            return
        for media, content in was["content"].items():
            if media not in now["content"]:
                text = (
                    f"{{subjects}} is taken as {media} no more, and old clients of {{hit}} get 415"
                )
                self._note(self._notes.at(now, "content"), "media-type-removed", text, subject)
                continue
            schema = now["content"][media].get("schema", True)
            self._request(accepts(schema, content.get("schema", True)), subject)

    def _responses(self, old: _Operation, new: _Operation) -> None:
        was, now = old.node["responses"], new.node["responses"]
        for status in now.keys() - was.keys():
            if status.startswith(_OUTCOMES):
                text = (
                    f"{{subjects}} may answer {status}, which old clients of {{hit}} do not expect"
                )
                place = self._notes.at(new.node, "responses", status)
                self._note(place, "status-added", text, old.name)
        for status, response in was.items():
            if status in now:
                self._response(f"{old.name} answer {status}", response, now[status])
            elif status.startswith(_OUTCOMES):
                text = (
                    f"{{subjects}} never answers {status}, and old clients of {{hit}} may want it"
                )
                place = self._notes.at(new.node, "responses")
                self._note(place, "status-removed", text, old.name, _ARE_SURE, "warning")

    def _response(self, subject: str, was: Located, now: Located) -> None:
        headers = {name.lower(): header for name, header in now.get("headers", {}).items()}
        for name, header in was.get("headers", {}).items():
            self._header(f"{subject} header {name}", header, headers.get(name.lower()), now)
        contents = now.get("content", {})
        for media, content in was.get("content", {}).items():
            if media not in contents:
                text = f"{{subjects}} is not given as {media}, which old clients of {{hit}} read"
                self._note(self._notes.at(now), "media-type-removed", text, subject)
                continue
            schema = contents[media].get("schema", True)
            self._answer(accepts(content.get("schema", True), schema), subject)

    def _header(self, subject: str, was: Located, now: Located | None, around: Located) -> None:
        if now is None:
            text = "{subjects} is gone, which old clients of {hit} may read"
            self._note(self._notes.at(around), "header-removed", text, subject)
            return
        if was.get("required") and not now.get("required"):
            text = "{subjects} may be absent, and old clients of {hit} rely on it"
            self._note(self._notes.at(now), "header-optional", text, subject)
        self._answer(accepts(_schema(was), _schema(now)), subject)

    def _request(self, reasons: Iterable[Reason], subject: str) -> None:
        for reason in reasons:
            place = self._notes.place_of(reason, is_reader_ours=True)
            what = at(subject, reason.pointer)
            if reason.kind == FIELD_UNREAD:
                text = "{subjects} is gone: what old clients of {hit} say by it is ignored"
                field = reason.writer["properties"][reason.pointer.rpartition("/")[2]]
                self._removed(place, "request-field-removed", text, what, field)
            elif reason.kind not in NOTES:
                text = f"{{subjects}}: {plain(reason.text)}; old clients of {{hit}} are refused"
                self._note(place, f"request-{reason.kind}", text, what)

    def _answer(self, reasons: Iterable[Reason], subject: str) -> None:
        for reason in reasons:
            place = self._notes.place_of(reason, is_reader_ours=False)
            what = at(subject, reason.pointer)
            if reason.kind == FIELD_UNWRITTEN:
                text = "{subjects} is no longer given, and old clients of {hit} may read it"
                self._note(place, "response-field-removed", text, what, _ARE_SURE, "warning")
            elif reason.kind not in NOTES:
                why = plain(reason.text)
                text = f"{{subjects}}: {why}; old clients of {{hit}} do not understand it"
                self._note(place, f"response-{reason.kind}", text, what)

    def _removed(self, place: Place, rule: str, text: str, subject: str, was: Located) -> None:
        """An error, unless the last release announced it."""
        level: Level = "warning" if was.get("deprecated") else "error"
        remedy = "Announce it first, for a release, by `deprecated: true`; see that nobody uses it"
        self._note(place, rule, text, subject, remedy, level)

    def _note(
        self,
        place: Place,
        rule: str,
        text: str,
        subject: str,
        remedy: str = _KEEP,
        level: Level = "error",
    ) -> None:
        cause = Cause(place, f"diff/{rule}", text, remedy, level)
        self._notes.add(cause, subject, [self._service])


def _key(parameter: Mapping[str, Any], slots: list[str]) -> tuple[str, str | int]:
    name = parameter["name"]
    if parameter["in"] == "path":
        return "path", slots.index(name)
    return parameter["in"], name.lower() if parameter["in"] == "header" else name


def _nearest(key: str, *nodes: Mapping[str, Any]) -> Any:
    """What the innermost of the nodes says that says something; nothing where none does."""
    return next((node[key] for node in nodes if key in node), ())


def _security(document: Mapping[str, Any], operation: Mapping[str, Any]) -> list[Any]:
    """The alternatives that an operation asks for, each scheme with what it is."""
    schemes = document.get("components", {}).get("securitySchemes", {})
    return [
        sorted([name, scopes, schemes.get(name)] for name, scopes in alternative.items())
        for alternative in _nearest("security", operation, document)
    ]


def _writing(parameter: Mapping[str, Any]) -> tuple[Any, ...]:
    """How a parameter is written in a URL or a header, whether the document says it or not."""
    style = parameter.get("style", _STYLES[parameter["in"]])
    explode = parameter.get("explode", style == "form")
    return style, explode, parameter.get("allowReserved", False), *parameter.get("content", ())


def _schema(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A parameter's or a header's schema, which may stand below the one media type of its own."""
    holders = (part, *part.get("content", {}).values())
    return next((each["schema"] for each in holders if "schema" in each), {})


def _operations(document: Located) -> Iterator[tuple[tuple[str, str], _Operation]]:
    """Every operation by its method and path; the names of the path's variables do not matter."""
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield (method, re.sub(r"{[^}]*}", "{}", path)), _Operation(document, path, method)
