"""A user's own Python function as a generator.

`signature` finds which of its two forms a function has, `in_program` runs one inside the program that defines it,
`loading` finds the one that `--generator` names, `subprocess_source` runs that one for the daemon, in a process of its
own: `function_process`, which reports by the frames of `frames`.
"""
