"""What strangers send, made up: one module for each way in, with its grammar, how that is broken, and what must hold.

`search` runs them in rounds, whose chances follow from the seed, and says the shortest input that does not hold.
"""
