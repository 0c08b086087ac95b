"""Models by name: which there are, which is asked when none is named, and what a name stands for.

A name is `ENDPOINT/MODEL` (an endpoint of the config file, or a well-known one), a plain `MODEL` of the endpoint
`openai` if that was set up, `smollm2`, `gguf:PATH` or `replay:PATH`.
"""
