"""The command line: one module a command. `entry.py` is where it begins, `screen.py` everything that prints."""
