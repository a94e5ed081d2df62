"""Behaviour over long runs, after kills and faults, and with damaged input."""
