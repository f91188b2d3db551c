"""A file system of its own for a test: small, to be filled, or read-only. Only root may have one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """A file system of that size in a folder; the test is skipped where this process may mount none."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this process may mount no file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # lazily: files are still mapped


def remount(folder: Path, options: str) -> None:
    """Changes its size, or make it read-only."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)
