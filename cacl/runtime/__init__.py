"""Processes: signals, progress, worker threads, memory."""
