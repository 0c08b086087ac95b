"""What commands write to: all of it arrives, and a large text is read on while a pipe's reader reads."""

from __future__ import annotations

import fcntl
import os
import sys
import threading

import pytest

from ptstream.cli.output import PIPE, WIDE_PIPE, Output

LARGE = os.urandom(1024) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a pipe hold more")
def test_a_pipe_holds_more_where_the_text_is_large() -> None:
    reading, writing = os.pipe()
    output = Output(writing)
    output.write(b"a line\n")
    assert fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ) == PIPE
    assert os.read(reading, PIPE) == b"a line\n"
    data = LARGE[: 2 * PIPE]
    output.write(data)  # there is room for it: nobody reads yet
    assert fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ) == WIDE_PIPE
    assert os.read(reading, WIDE_PIPE) == data
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_all_of_a_large_text_arrives() -> None:
    reading, writing = os.pipe()

    def write() -> None:
        Output(writing).write(LARGE)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    with open(reading, "rb") as read:
        assert read.read() == LARGE
    writer.join()


def test_what_is_no_pipe_is_written_to_all_the_same(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "text")
    with open(path, "wb") as file:
        Output(file.fileno()).write(LARGE)
    with open(path, "rb") as file:
        assert file.read() == LARGE
