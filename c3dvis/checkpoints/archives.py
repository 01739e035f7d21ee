"""Downloads the source archive of a Python package with pip, without running its code.

`pip download` gets a source archive's metadata from the build system that the archive names: this
runs code of the archive, and downloads what it requires. So pip is given a build system that
returns the name and version already known: it looks for the usual one, setuptools, in the
environment (`--no-build-isolation`), and finds ours, which comes first on the path. Before that,
pip compares the archive with its known SHA-256, so even by mistake only a known file could run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_BUILD_SYSTEM = """\
import pathlib

class __legacy__:
    @staticmethod
    def prepare_metadata_for_build_wheel(folder, config_settings=None):
        info = pathlib.Path(folder, {folder!r})
        info.mkdir()
        text = "Metadata-Version: 2.1\\nName: {project}\\nVersion: {version}\\n"
        (info / "METADATA").write_text(text)
        return info.name
"""
_OPTIONS = (
    *("--no-deps", "--no-binary", ":all:", "--require-hashes"),
    *("--use-pep517", "--no-build-isolation"),
    *("--no-cache-dir", "--no-input", "--disable-pip-version-check", "--retries", "1"),
)


def download(project: str, version: str, sha256: str, folder: Path) -> Path:
    """Downloads a source archive through pip, as pip is set up: its index, its proxy.

    Args:
        project: Name of a package that is built with setuptools.
        version: Its version.
        sha256: SHA-256 of the archive, in hex.
        folder: An empty folder for the archive and the files that pip needs.

    Returns:
        The archive's path in that folder.

    Raises:
        OSError: If pip is missing or fails, with pip's own first word about it.
    """
    needed, downloaded = folder / "needed.txt", folder / "downloaded"
    needed.write_text(f"{project}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", *_OPTIONS]
    command += ["--requirement", str(needed), "--dest", str(downloaded)]
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([_build_system(project, version, folder), *([before] if before else [])])
    # Ctrl-C ends pip, too: subprocess.run stops what it waits for.
    ended = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if ended.returncode:
        raise OSError(f"pip could not download {project} {version} ({_reason(ended.stderr)})")
    archives = list(downloaded.iterdir()) if downloaded.is_dir() else []
    if len(archives) != 1:
        raise OSError(f"pip left {len(archives)} files, not one, for {project} {version}")
    return archives[0]


def _build_system(project: str, version: str, folder: Path) -> str:
    """A folder with what pip takes for setuptools."""
    package = folder / "build_system" / "setuptools"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    name = f"{project.replace('-', '_')}-{version}.dist-info"
    text = _BUILD_SYSTEM.format(folder=name, project=project, version=version)
    (package / "build_meta.py").write_text(text, encoding="utf-8")
    return str(package.parent)


def _reason(stderr: str) -> str:
    """The first error of pip; its last line where no line is marked as one."""
    lines = [" ".join(line.split()) for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:] or ["no reason given"])[0].removeprefix("ERROR: ")[:300]
