"""How good the masks are: baselines, metrics, and the table of both."""
