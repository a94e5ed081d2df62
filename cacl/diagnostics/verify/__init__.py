"""Check all that a run has written against its digests, records and inputs."""

from cacl.diagnostics.verify.run import KindResult, verify
from cacl.diagnostics.verify.table import as_table

__all__ = ["KindResult", "as_table", "verify"]
