"""The manifest: how a participant is started, and what makes sense to say to it.

Guarantee: what is loaded is complete and free of typing errors; everything else ends in one
ConformanceError that names file, place and fault.

Texts may hold {placeholders}: in commands and environment those of `conformance.surroundings` and
`conformance.participant`; in a story what an earlier step captured, and any other name stands for a
fresh UUID, the same throughout the story.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from conformance.errors import ConformanceError

FILE_NAME = "conformance.yaml"
METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpStep(_Part):
    """A request to the participant: `http: POST /orders`.

    `answer` is a part of the JSON that has to come back; a GET is repeated until it does. `capture`
    maps names to `$.path.in.the.answer`.
    """

    http: str = Field(pattern=rf"^({'|'.join(METHODS)}) /")
    body: Any = None
    status: int | None = None
    answer: Any = None
    capture: dict[str, str] = Field(default_factory=dict)


class SendStep(_Part):
    """A message to the participant, with the contract's example as data, ids made fresh.

    An id of the examples becomes the same fresh one in the whole story. `data` replaces fields.
    """

    send: str
    data: dict[str, Any] = Field(default_factory=dict)


class ExpectStep(_Part):
    """A message that the participant has to send about the story's ids; `data` as in `answer`."""

    expect: str
    data: dict[str, Any] = Field(default_factory=dict)
    capture: dict[str, str] = Field(default_factory=dict)


def _kind(step: Any) -> str | None:
    for kind in ("http", "send", "expect"):
        if (kind in step) if isinstance(step, dict) else hasattr(step, kind):
            return kind
    return None


Step = Annotated[
    Annotated[HttpStep, Tag("http")]
    | Annotated[SendStep, Tag("send")]
    | Annotated[ExpectStep, Tag("expect")],
    Discriminator(
        _kind,
        custom_error_type="step",
        custom_error_message="a step is one of `http:`, `send:` and `expect:`",
    ),
]


class Story(_Part):
    """Steps in order. What the participant sends about it beyond `expect` has to be in `may_send`.

    `proves: reordering` makes it that check's: its messages come in an order that nobody meant.
    """

    name: str
    steps: Annotated[list[Step], Field(min_length=1)]
    may_send: list[str] = Field(default_factory=list)
    proves: Literal["handling", "reordering"] = "handling"

    @property
    def sends(self) -> list[str]:
        """The messages that the kit sends in it."""
        return [step.send for step in self.steps if isinstance(step, SendStep)]

    @property
    def last_send(self) -> int:
        """Which step is the last one that sends; there has to be one."""
        return max(i for i, step in enumerate(self.steps) if isinstance(step, SendStep))


class ProcessSpec(_Part):
    """One process of the participant; {port} is its own."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    command: Annotated[list[str], Field(min_length=1)]
    env: dict[str, str] = Field(default_factory=dict)


class Manifest(_Part):
    """All that the kit is told. The first process is the one that is asked over HTTP.

    `load` names the story whose last `send` is delivered in numbers, twice, late and during
    crashes. `messages` are data for messages whose example means nothing by itself. `stand_in`
    answers for other services: `GET /books: {books: []}`, reachable as {stand_in}.
    `comes_back_seconds`: after how long a killed worker's messages are handed out again (its
    visibility timeout); the deadlines go by it.
    `one_instance`: why there can never be two, if so.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    contracts: str | None = None
    processes: Annotated[list[ProcessSpec], Field(min_length=1)]
    migrate: list[str] | None = None
    needs: list[Literal["postgres", "redis", "stripe"]] = Field(default_factory=list)
    stand_in: dict[str, Any] = Field(default_factory=dict)
    env: dict[str, str] = Field(default_factory=dict)
    ready: str = Field(default="/health/ready", pattern="^/")
    comes_back_seconds: float = Field(default=5.0, gt=0)
    drain_seconds: float = Field(default=10.0, gt=0)
    one_instance: str | None = None
    messages: dict[str, dict[str, Any]] = Field(default_factory=dict)
    stories: list[Story] = Field(default_factory=list)
    load: str | None = None
    folder: Path = Field(default=Path(), exclude=True)

    def story(self, name: str) -> Story:
        """The story of that name; raises ConformanceError."""
        for story in self.stories:
            if story.name == name:
                return story
        told = ", ".join(repr(story.name) for story in self.stories) or "none"
        raise ConformanceError(f"{self.name}: no story {name!r} is told (there is {told})")


def load_manifest(path: Path) -> Manifest:
    """Read a manifest; raises ConformanceError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        manifest = Manifest.model_validate(document)
    except OSError as error:
        raise ConformanceError(f"{path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConformanceError(f"{path} is no YAML: {error}") from None
    except ValidationError as error:
        lines = [f"{path} is no manifest:"]
        for fault in error.errors():
            where = ".".join(str(part) for part in fault["loc"]) or "(the file)"
            lines.append(f"  {where}: {fault['msg']}")
        raise ConformanceError("\n".join(lines)) from None
    return manifest.model_copy(update={"folder": path.absolute().parent})


def find_manifests(root: Path, names: Sequence[str] = ()) -> list[Manifest]:
    """Those of the services below `root`, or of the named ones; raises ConformanceError."""
    found = {path.parent.name: path for path in sorted(root.glob(f"services/*/{FILE_NAME}"))}
    if not found:
        raise ConformanceError(
            f"no services/*/{FILE_NAME} below {root}: run it at the project's root, "
            "or name a manifest with --manifest"
        )
    for name in names:
        if name not in found:
            raise ConformanceError(
                f"services/{name}/{FILE_NAME} is not there; there are {', '.join(found)}"
            )
    return [load_manifest(found[name]) for name in (names or found)]
