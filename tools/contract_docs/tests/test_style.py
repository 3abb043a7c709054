"""The style sheet is readable in both modes (WCAG 2.2, 1.4.3 and 1.4.11)."""

import re

import pytest

TEXT = 4.5
# A control's border has to stand out less than text does.
BORDER = 3.0
GROUNDS = ("paper", "card", "shade")
INKS = [(ink, ground) for ink in ("ink", "soft", "link", "bad") for ground in GROUNDS]
TINTS = [(kind, f"{kind}-paper") for kind in ("command", "reply", "event", "bad")]
KINDS = [(kind, "card") for kind in ("command", "reply", "event")]
NAMES = [("ink", f"{kind}-paper") for kind in ("command", "reply", "event")]


def modes(style: str) -> dict[str, dict[str, str]]:
    """The colours by name, for each mode; what the dark one does not say is as in the light one."""
    light, dark = style.split("@media screen and (prefers-color-scheme: dark)")
    colours = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", text)) for text in (light, dark)]
    return {"light": colours[0], "dark": colours[0] | colours[1]}


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_stands_out_from_its_ground(mode: str, site: dict[str, str]) -> None:
    colours = modes(site["style.css"])[mode]
    for ink, ground in INKS + TINTS + KINDS + NAMES:
        assert contrast(colours[ink], colours[ground]) >= TEXT, f"{ink} on {ground}"


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_borders_that_mean_something_stand_out(mode: str, site: dict[str, str]) -> None:
    colours = modes(site["style.css"])[mode]
    for ground in ("card", "paper"):
        assert contrast(colours["soft"], colours[ground]) >= BORDER


def test_every_class_that_is_styled_is_used(site: dict[str, str]) -> None:
    pages = " ".join(text for name, text in site.items() if name.endswith(".html"))
    used = {name for value in re.findall(r'class="([^"]*)"', pages) for name in value.split()}
    rules = re.sub(r"/\*.*?\*/", "", site["style.css"], flags=re.DOTALL)
    styled = set(re.findall(r"\.([a-z][a-z0-9-]*)", rules))
    # Nesting that deep, and these methods, are there for contracts to come.
    spare = {"in4", "in5", "in6", "in7", "in8", "patch", "delete"}
    assert styled - used <= spare
