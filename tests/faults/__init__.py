"""The fault harness: `python -m tests.faults`. See `__main__.py`."""
