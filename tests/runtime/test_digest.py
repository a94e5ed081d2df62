from __future__ import annotations

from cacl.runtime.digest import digest_of


def test_equal_parts_give_equal_digests() -> None:
    assert digest_of("a", 1) == digest_of("a", 1)


def test_digest_depends_on_the_boundaries_of_the_parts() -> None:
    assert len({digest_of("ab", "c"), digest_of("a", "bc"), digest_of("abc")}) == 3
