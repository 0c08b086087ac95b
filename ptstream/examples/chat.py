"""A chat that two windows can share: `uvicorn ptstream.examples.chat:app`, then open its address twice.

It asks OpenAI, with the key in OPENAI_API_KEY; OPENAI_BASE_URL and MODEL name another server and its model. The window
that asked drives the answer, every other window follows it, and all there is to know of the chat is in the streams of
the directory `chats`.
"""

import contextlib
import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import httpx_sse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import ptstream

URL = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
MODEL = os.environ.get("MODEL", "gpt-4.1-mini")
HEADERS = {"authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}"}

PAGE = """<!doctype html><meta charset="utf-8"><title>Chat</title>
<main style="white-space: pre-wrap"></main><form><input name="prompt" autofocus><button>Send</button></form>
<script type="module">
import {drive, follow} from "/web/ptstream.js"
const main = document.querySelector("main"), form = document.querySelector("form"), shown = new Set()
async function show({id, prompt, text, offset}, read) {
  if (shown.has(id)) return
  shown.add(id)
  main.append(`> ${prompt}\n`)
  const answer = main.appendChild(document.createElement("p"))
  answer.append(text)
  for await (const {text, error} of read(`/chat-stream/${id}`, {offset}))
    answer.append(text, error ? ` [${error}]` : "")
}
async function getHistory() {
  for (const chat of await (await fetch("/history")).json()) if (chat.status != "pending") show(chat, follow)
}
async function sendMessage(prompt) {
  const chat = await (await fetch("/send", {method: "POST", body: JSON.stringify({prompt})})).json()
  show(chat, drive)  // the tab that asked drives it, all others follow it
}
form.onsubmit = event => {
  event.preventDefault()
  sendMessage(new FormData(form).get("prompt"))
  form.reset()
}
await getHistory()
setInterval(getHistory, 1000)
</script>"""


async def show(id: str) -> dict[str, Any]:
    """A question and its answer, as far as it has come."""
    body, stream = await app.state.pts.body(id), await app.state.pts.stream(id)
    return {"id": id, "prompt": stream.prompt, "text": body.text, "offset": body.offset, "status": body.status}


async def chats() -> list[dict[str, Any]]:
    """All of them, oldest first."""
    return [await show(stream.id) for stream in reversed(await app.state.pts.streams())]


async def get_history(_: Request) -> Response:
    return JSONResponse(await chats())


async def send_message(request: Request) -> Response:
    id = await app.state.pts.create(prompt=(await request.json())["prompt"])
    return JSONResponse(await show(id))


async def generate(stream: ptstream.Stream, append: Callable[[str], Awaitable[int]]) -> None:
    """Ask the model, with the chats before this one as the conversation."""
    messages = []
    for chat in itertools.takewhile(lambda chat: chat["id"] != stream.id, await chats()):
        messages.append({"role": "user", "content": chat["prompt"]})
        messages.append({"role": "assistant", "content": chat["text"]})
    messages.append({"role": "user", "content": stream.prompt})
    ask = {"model": MODEL, "stream": True, "messages": messages}
    async with (
        httpx.AsyncClient(timeout=None, headers=HEADERS) as http,
        httpx_sse.aconnect_sse(http, "POST", f"{URL}/chat/completions", json=ask) as answer,
    ):
        answer.response.raise_for_status()
        async for event in answer.aiter_sse():
            for choice in json.loads(event.data)["choices"] if event.data != "[DONE]" else ():
                await append(choice["delta"].get("content") or "")


async def chat_stream(request: Request) -> Response:
    """POST drives the answer, GET follows it."""
    if request.method == "POST":
        response: Response = app.state.pts.response(request.path_params["id"], generate)
        return response
    events: Response = app.state.pts.events(request.path_params["id"], request.query_params.get("offset", 0))
    return events


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with ptstream.open("chats", grace=3) as app.state.pts:
        yield


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", lambda _: HTMLResponse(PAGE)),
        Route("/send", send_message, methods=["POST"]),
        Route("/history", get_history),
        Route("/chat-stream/{id}", chat_stream, methods=["GET", "POST"]),
        Mount("/web", StaticFiles(directory=ptstream.web)),
    ],
)
