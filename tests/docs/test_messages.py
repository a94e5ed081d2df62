"""Every message of the code leads to a section of the FAQ."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from cacl import errors
from docs import messages
from docs.messages import Message


@pytest.fixture(scope="module")
def collected(checkout: Path) -> list[Message]:
    return messages.collect(checkout)


@pytest.fixture(scope="module")
def anchors(checkout: Path) -> set[str]:
    """Anchors of the headings of the FAQ, as the site makes them."""
    text = (checkout / "docs/faq.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#{2,3} (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_message_leads_to_a_section(collected: list[Message], anchors: set[str]) -> None:
    assert len(collected) > 270
    assert [message for message in collected if message.section not in anchors] == []


def test_every_exception_and_every_reason_has_a_section(anchors: set[str]) -> None:
    classes = {
        name
        for name, found in inspect.getmembers(errors, inspect.isclass)
        if name.endswith("Error")
    }
    assert classes == set(messages.SECTIONS) - {"WorkflowError", "error"}
    assert set(errors.Reason) <= anchors


def test_modules_with_a_section_of_their_own_exist(
    checkout: Path, collected: list[Message]
) -> None:
    for start, section in messages.MODULES.items():
        used = [each for each in collected if each.module.startswith(start)]
        assert any(message.section == section for message in used), start


def test_texts_are_collected_from_the_forms_that_the_code_uses(collected: list[Message]) -> None:
    by_text = {message.text: message for message in collected}
    joined = by_text["segment.radius_px must be at least 0, got …"]
    assert (joined.exception, joined.section) == ("ConfigError", "configuration")
    of_rules = next(message for text, message in by_text.items() if "true mask per image" in text)
    assert (of_rules.exception, of_rules.module) == ("WorkflowError", "workflow/rules/common.smk")
    constant = next(text for text in by_text if text.startswith("The benchmark has no true masks"))
    assert by_text[constant].section == "masks-and-drawings"
    of_reason = [message for message in collected if message.section == "several_images"]
    assert {message.exception for message in of_reason} == {"ImageError"}


def test_page_lists_every_message_below_its_section(
    checkout: Path, collected: list[Message]
) -> None:
    page = messages.page(checkout)
    assert sum(line.startswith("- ") for line in page.splitlines()) == len(
        {(message.section, message.text) for message in collected}
    )
    assert page.count("[What to do](../faq.md#") == len({message.section for message in collected})
