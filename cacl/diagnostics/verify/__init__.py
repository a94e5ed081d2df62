"""Check all that a run has written against its digests, records and inputs."""

from cacl.diagnostics.verify.result import KindResult, as_table
from cacl.diagnostics.verify.run import verify

__all__ = ["KindResult", "as_table", "verify"]
