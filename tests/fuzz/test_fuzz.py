"""Readers of files from outside raise only errors of this package, whatever the file."""

from __future__ import annotations

import pytest

from tests.fuzz.engine import genome_of, run_genomes, run_hypothesis, run_seeded
from tests.fuzz.genome import Genome
from tests.fuzz.targets import BY_NAME, TARGETS

CASES = 2_000
NAMES = [target.name for target in TARGETS]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_readers_raise_only_errors_of_this_package(name: str) -> None:
    tally = run_seeded(name, range(CASES // 2))
    tally.add(run_hypothesis(name, CASES // 2))
    texts = [
        f"{outcome}\ngenome {each.genome}\n{each.text}" for outcome, each in tally.findings.items()
    ]
    assert not texts, "\n\n".join(texts)
    assert tally.cases >= CASES


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_genome_is_a_file_that_the_reader_accepts(name: str) -> None:
    assert run_genomes(name, [b""]).outcomes == {"accepted": 1}


def test_a_number_gives_the_same_case_everywhere() -> None:
    genome = genome_of("manifest", 7, seed=0)
    assert genome.hex()[:16] == "93d95136fb29ac85"
    assert BY_NAME["manifest"].make(Genome(genome)) == BY_NAME["manifest"].make(Genome(genome))
