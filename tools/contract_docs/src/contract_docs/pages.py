"""Renders the pages: the map, one page a service, the shared schemas and their style sheet.

One guarantee: the same contracts give the same bytes. Nothing else is read, no clock and no
environment, and nothing that a page loads or links lies outside of what is rendered.
"""

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from contract_docs import drawing
from contract_docs.documents import COMMON_PAGE, Documents, read_documents
from contract_docs.http_api import HttpApi, read_http_api
from contract_docs.text import FILTERS
from contract_docs.views import (
    common_by_title,
    common_views,
    envelope_notes,
    file_lookup,
    message_view,
)
from contracts.generate.source import ContractsError

STYLE = "style.css"
# What tells a page of ours from any other file in the output folder.
GENERATOR = "contract_docs"


def render(contracts_root: Path) -> dict[str, str]:
    """Every file's text by its path below the site's folder.

    Raises ContractsError if the contracts contradict themselves.
    """
    documents = read_documents(contracts_root)
    common = common_by_title(documents)
    apis = {
        service: read_http_api(documents.openapi[service], common, file_lookup(documents))
        for service in documents.services
        if service in documents.openapi
    }
    environment = _environment(documents)
    site = {
        STYLE: files("contract_docs").joinpath("templates", STYLE).read_text(encoding="utf-8"),
        "index.html": _index(environment, documents, apis),
        COMMON_PAGE: environment.get_template(COMMON_PAGE).render(
            here=COMMON_PAGE,
            envelope=documents.contracts.common["envelope"],
            notes=envelope_notes(documents),
            schemas=common_views(documents),
        ),
    }
    for service in documents.services:
        if f"{service}.html" in site:
            raise ContractsError([f"no service can be named {service}: the site has such a page"])
        site[f"{service}.html"] = _service(environment, documents, service, apis.get(service))
    return site


def _environment(documents: Documents) -> Environment:
    environment = Environment(
        loader=PackageLoader("contract_docs"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= FILTERS | {
        "path": drawing.path,
        "number": drawing.number,
        "count_of": drawing.count_of,
    }
    environment.globals |= {
        "documents": documents,
        "system": documents.topology["bus"].capitalize(),
        "generator": GENERATOR,
        "style": STYLE,
        "common_page": COMMON_PAGE,
    }
    return environment


def _index(environment: Environment, documents: Documents, apis: dict[str, HttpApi]) -> str:
    layers = {service: role.layer for service, role in documents.roles.items()}
    return environment.get_template("index.html").render(
        here="index.html",
        drawings=drawing.drawings(layers, documents.routes),
        metrics=drawing,
        messages=[message_view(documents, message.name) for message in documents.messages],
        apis=apis,
    )


def _service(
    environment: Environment, documents: Documents, service: str, api: HttpApi | None
) -> str:
    contracts = documents.contracts
    received = contracts.receives[service]
    listed = {
        "receives": received,
        # What it also receives has its place already.
        "sends": [name for name in contracts.sends[service] if name not in received],
        "declares": documents.owned_only(service),
    }
    return environment.get_template("service.html").render(
        here=f"{service}.html",
        service=service,
        role=documents.roles[service],
        listed={
            section: [message_view(documents, name) for name in names]
            for section, names in listed.items()
        },
        routes=[route for route in documents.routes if service in (route.sender, route.receiver)],
        api=api,
        place=documents.topology["services"][service],
    )
