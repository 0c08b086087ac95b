"""OpenAI's own client with the daemon as its server: every answer is kept as a stream on the way.

`ptstream daemon run --listen 127.0.0.1:7878`, then `python -m ptstream.examples.openai_client "Tell me of the night."`
"""

import os
import subprocess
import sys

from openai import OpenAI

URL = os.environ.get("PTSTREAM_URL", "http://127.0.0.1:7878")


def main(prompt: str) -> None:
    """Ask the daemon's default model, and print the answer as it comes."""
    token = subprocess.check_output(["ptstream", "daemon", "token"], text=True).strip()
    client = OpenAI(base_url=f"{URL}/v1", api_key=token)
    with client.chat.completions.create(
        model="default", messages=[{"role": "user", "content": prompt}], stream=True
    ) as events:
        print("kept as", events.response.headers["stream-id"])  # ptstream watch, cat, cancel, show
        for event in events:
            print((event.choices[0].delta.content or "") if event.choices else "", end="", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
