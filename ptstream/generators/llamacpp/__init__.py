"""llama.cpp on this machine: the embedded model's file, files of the user's own, and the processes that run them."""
