"""Gate `lint`: the rules of the house, each of which keeps an outage or a confusion away.

One guarantee: every rule either passes everywhere, or the place where it does not is exempted by
name and with a reason.
"""

from collections.abc import Iterator

from contract_gates.check.context import Context
from contract_gates.check.lint import bounds, growth, layout, names, refusals, types, words
from contract_gates.check.lint.breach import Breach, Rule
from contract_gates.check.lint.exemptions import EXEMPTIONS
from contract_gates.findings import Finding
from contract_gates.sources import Sources

RULES: tuple[Rule, ...] = (
    names.command_names_are_imperative,
    names.events_and_replies_are_past_tense,
    names.operation_keys_say_action_and_message,
    names.operation_ids_are_snake_case,
    names.schemas_are_named_after_their_files,
    names.properties_are_snake_case,
    words.properties_are_described,
    words.messages_are_described,
    words.http_is_described,
    words.messages_have_examples,
    words.bodies_have_examples,
    growth.readers_are_tolerant,
    growth.absent_is_not_null,
    growth.enums_of_events_are_closed,
    bounds.strings_are_bounded,
    bounds.integers_are_bounded,
    bounds.arrays_are_bounded,
    types.times_are_named_as_such,
    types.money_is_common_money,
    types.ids_are_common_ids,
    refusals.refusals_are_problems,
    refusals.refusals_are_foreseen,
    layout.keys_have_an_order,
    layout.keys_stand_once,
)


def name_of(rule: Rule) -> str:
    """The name under which a rule is found and exempted."""
    return rule.__name__.replace("_", "-")


def lint(context: Context) -> Iterator[Finding]:
    """Every breach of a rule that is not exempted, and every exemption without a breach."""
    needless = {(rule, place) for rule, places in EXEMPTIONS.items() for place in places}
    for rule in RULES:
        reported = set()
        for breach in rule(context.sources):
            place = _place(context.sources, breach)
            if place in EXEMPTIONS.get(name_of(rule), {}):
                needless.discard((name_of(rule), place))
            elif place not in reported:
                reported.add(place)
                yield context.sources.finding(
                    breach.part, f"lint/{name_of(rule)}", breach.what, breach.remedy
                )
    for rule_name, place in sorted(needless):
        file, _, pointer = place.partition("#")
        yield Finding(
            file,
            0,
            "lint/needless-exemption",
            f"{pointer} is exempted from {rule_name}, which it does not break",
            "Remove it from check/lint/exemptions.py",
        )


def _place(sources: Sources, breach: Breach) -> str:
    """File and pointer, as exemptions name a part."""
    document, pointer = breach.part.document, breach.part.pointer
    return f"{sources.folders.shown(document.path)}#/{'/'.join(map(str, pointer))}"
