"""Start of the workflow: first files, checks before a run, Snakemake, display of its progress."""
