"""The pages as a whole: complete, sound and standing alone."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from contract_docs import render
from contract_docs.__main__ import ROOT
from contract_docs.documents import Documents

# All other tags are closed by hand, even where HTML would do it.
VOID = {"br", "input", "link", "meta", "wbr"}
MAX_BYTES = 1_000_000
LOADED = {"src", "srcset", "data", "poster", "action"}


@dataclass
class Page(HTMLParser):
    """What a page holds; `faults` are tags out of balance."""

    text: str
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self._note(tag, dict(attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> in line {self.getpos()[0]} closes nothing")

    def _note(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.ids += [value for name, value in attributes.items() if name == "id" and value]
        self.labels += (attributes.get("aria-labelledby") or "").split()
        self.loads += [value for name, value in attributes.items() if name in LOADED and value]
        href = attributes.get("href")
        if href is not None:
            (self.loads if tag == "link" else self.links).append(href)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)


@pytest.fixture(scope="module")
def pages(site: dict[str, str]) -> dict[str, Page]:
    return {name: Page(text) for name, text in site.items() if name.endswith(".html")}


def test_tags_are_balanced_and_ids_are_unique(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert page.faults == [], name
        assert len(page.ids) == len(set(page.ids)), name


def test_every_link_and_anchor_leads_somewhere(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert page.links
        for link in page.links:
            path, _, anchor = link.partition("#")
            target = pages[path or name]
            assert not anchor or anchor in target.ids, f"{name} links to {link}"
        assert set(page.labels) <= set(page.ids)


def test_nothing_is_loaded_but_the_style_sheet(
    site: dict[str, str], pages: dict[str, Page]
) -> None:
    for name, page in pages.items():
        assert [load for load in page.loads if load != "data:,"] == ["style.css"], name
        assert not [link for link in page.links if urlsplit(link).scheme], name
    for name, text in site.items():
        assert not re.search(r"@import|url\((?!#)|https?://(?!example\.com)", text), name


def test_every_message_is_described_with_all_its_fields_at_both_ends(
    documents: Documents, site: dict[str, str], pages: dict[str, Page]
) -> None:
    for message in documents.messages:
        ends = {*documents.senders(message.name), *documents.receivers(message.name)}
        for service in ends | {message.owner}:
            page = f"{service}.html"
            assert message.name in pages[page].ids
            section = site[page].split(f'id="{message.name}"')[1].split("</section>")[0]
            assert message.schema["$id"] in section
            for name in message.schema["properties"]:
                assert f"<code>{name}</code>" in section
            for other in ends - {service}:
                assert f'href="{other}.html"' in section


def test_the_first_page_names_every_message_and_every_operation(
    documents: Documents, pages: dict[str, Page]
) -> None:
    links = pages["index.html"].links
    for message in documents.messages:
        # On the map, in words and in the list.
        assert links.count(documents.href(message.name)) >= 3
    for service, document in documents.openapi.items():
        for operation in operations(document):
            assert f"{service}.html#{operation['operationId']}" in links


def test_every_operation_shows_its_parameters_and_statuses(
    documents: Documents, site: dict[str, str]
) -> None:
    for service, document in documents.openapi.items():
        for operation in operations(document):
            section = site[f"{service}.html"].split(f'id="{operation["operationId"]}"')[1]
            section = section.split("</section>")[0]
            for status in operation["responses"]:
                assert f"<b>{status}</b>" in section
            for parameter in operation.get("parameters", []):
                if "name" in parameter:
                    assert f"<code>{parameter['name']}</code>" in section


def operations(document: dict[str, dict[str, dict[str, dict[str, object]]]]) -> list[dict]:
    return [
        operation
        for item in document["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    ]


def test_headings_leave_out_no_level(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        levels = [int(heading[1]) for heading in page.headings]
        assert levels.count(1) == 1, name
        steps = pairwise(levels)
        assert all(deeper <= level + 1 for level, deeper in steps), name


def test_the_site_is_small(site: dict[str, str]) -> None:
    assert sum(len(text.encode()) for text in site.values()) < MAX_BYTES


def test_what_is_committed_is_what_the_contracts_give_whatever_the_hash_seed() -> None:
    for seed in ("1", "2"):
        checked = subprocess.run(
            [sys.executable, "-m", "contract_docs", "--check"],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_new_service_gets_a_page_and_a_place_on_the_map(copied: Path) -> None:
    document = yaml.safe_load((copied / "search" / "asyncapi.yaml").read_text(encoding="utf-8"))
    document["info"] |= {"title": "Loyalty service", "description": "Counts <points>."}
    (copied / "loyalty").mkdir()
    (copied / "loyalty" / "asyncapi.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    site = render(copied)
    assert "Loyalty service" in site["loyalty.html"]
    assert "Counts &lt;points&gt;." in site["index.html"]
    assert site["index.html"].count('class="service is-loyalty"') == 2
    assert 'href="loyalty.html"' in site["catalog.html"]
    for text in (site["index.html"], site["loyalty.html"]):
        assert Page(text).faults == []
