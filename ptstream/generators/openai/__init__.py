"""OpenAI-compatible endpoints over HTTP: whatever speaks the protocol of chat completions, and however it does.

Words here: an *upstream* is where an endpoint is and with what it is asked; the *request* is what is sent, the
*response* is what HTTP brings back, and the *answer* is what the model says in it.
"""
