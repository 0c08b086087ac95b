"""The process that runs llama.cpp: an OpenAI-compatible server on a Unix socket, while its stdin is open.

`server_process` starts and stops it, by path, as a script that imports nothing of ptstream. It says `listening` on its
stdout once; prompts come through the socket and never through its arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import sys


def main() -> None:
    """Serve until stdin closes: the parent stops us so, and so does its death."""
    options = _options()
    # No core file, which would hold prompts.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    # llama.cpp may print; stdout is for the one word that the parent waits for.
    ready = os.dup(1)
    os.dup2(2, 1)
    os.umask(0o077)
    # A socket's path is limited to some 100 bytes, a home's is not: bind it by its name alone.
    os.chdir(os.path.dirname(options.socket))
    name = os.path.basename(options.socket)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)
    server = _serve(options, name)  # it serves for as long as this name keeps it
    os.write(ready, b"listening\n")
    os.close(ready)
    sys.stdin.buffer.read()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)
    # Not through the server's destructor: it waits for answers that nobody reads any more.
    os._exit(0 if server else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True, help="a GGUF file")
    parser.add_argument("--socket", required=True, help="the Unix socket to make")
    parser.add_argument("--alias", default="model", help="what the model is called in answers")
    parser.add_argument("--context", type=int, default=8192, help="tokens that prompt and answer share")
    parser.add_argument("--slots", type=int, default=4, help="answers at the same time")
    parser.add_argument("--threads", type=int, default=max(1, _cores() - 1))
    return parser.parse_args()


def _cores() -> int:
    """The cores this process may use, which in a container are fewer than the machine's."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _serve(options: argparse.Namespace, socket: str) -> object:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.model_alias = {options.alias}
    params.hostnames = [socket]
    params.n_ctx = options.context
    params.n_parallel = options.slots
    params.kv_unified = True  # one prompt may take the whole context while the other slots are free
    params.cache_ram_mib = 0  # else prompts of the past are kept, in up to 8 GiB
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.ui = False
    params.endpoint_slots = False  # it would show one client what another asks
    params.verbosity = 1
    # To find how much of a model fits into other devices, it is loaded once more: half of a start's time.
    cpu = xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    params.fit_params = any(device["type"] != cpu for device in xllamacpp.get_device_info())
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
