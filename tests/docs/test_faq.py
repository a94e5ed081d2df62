"""The page of questions quotes messages that the code has, and every reason of a failed image."""

from __future__ import annotations

import re
from pathlib import Path

from cacl.errors import Reason


def test_every_quoted_message_is_one_of_the_code(checkout: Path) -> None:
    text = " ".join((checkout / "docs" / "faq.md").read_text(encoding="utf-8").split())
    quoted = re.findall("“([^”]+)”", text)
    assert len(quoted) > 15
    sources = [*(checkout / "cacl").rglob("*.py"), *(checkout / "workflow").rglob("*.smk")]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    joined = re.sub(r'"\s*\n\s*f?"', "", code)
    assert [message for message in quoted if message not in joined] == []


def test_every_reason_has_its_row(checkout: Path) -> None:
    text = (checkout / "docs" / "faq.md").read_text(encoding="utf-8")
    for reason in Reason:
        again = "yes" if reason.is_temporary else "when its file changes"
        assert f"| [`{reason}`](#{reason}) | {reason.__doc__} | {again} |" in text
