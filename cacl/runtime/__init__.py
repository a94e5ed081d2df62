"""Process management: signals, progress, worker threads, memory allocation, dask."""
