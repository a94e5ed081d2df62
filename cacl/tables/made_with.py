"""What a table depends on besides its inputs: the step, its parameters, the software."""

from __future__ import annotations

from typing import Any

from cacl.runtime.software import software_versions


def made_with(step: str, **parameters: Any) -> dict[str, Any]:
    """Return the record that `write_parquet` keeps in a table, for `cacl compare`.

    Parameters
    ----------
    step
        Name of the step.
    parameters
        What the rows depend on; values that JSON can hold.
    """
    return {"step": step, "parameters": parameters, "software": software_versions()}
