"""From a store's address to its file system: what is taken for a folder, what for a bucket, and what is refused."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from raysurf.errors import StoreError

A_STORE = "a folder, or an address such as s3://bucket/results"
SECRETS = ("key", "secret", "token", "password")
KEYLESS = "an address without keys; put them where the cloud's own tools look, such as $AWS_ACCESS_KEY_ID"


def address_of(given: str | os.PathLike[str]) -> str:
    """A store's address as a text, with ``~`` expanded.

    Raises:
        StoreError: If it is empty, no text, or the home is not known.
    """
    uri = os.fspath(given)
    if not isinstance(uri, str) or not uri.strip():
        raise StoreError(str(given), "no address", A_STORE)
    if not uri.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in uri):
        raise StoreError(ascii(uri)[1:-1], "bytes that are no text in it", A_STORE)
    if uri.startswith("~") and (uri := os.path.expanduser(uri)).startswith("~"):
        raise StoreError(uri, "a home that is not known", f"{A_STORE} (a folder that is called ~ is ./~)")
    return uri


def results_option(uri: str) -> str:
    """The ``--results`` option of a printed command, quoted for the shell; empty for the default store."""
    return "" if uri == "results" else f" --results {shlex.quote(uri)}"


def open_address(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of a store, and the store's folder in it, without a slash at its end.

    Args:
        uri: A path, or a URI that pyarrow opens.

    Raises:
        StoreError: If the address is of no known kind, leads upwards, or holds a key: it would stand in tables and
            logs, since they name the command and the store.
    """
    try:
        if "://" not in uri:
            return fs.LocalFileSystem(), _rooted(uri, str(Path(uri).absolute()))
        parts = urlsplit(uri)
        if parts.password is not None or (parts.scheme == "s3" and parts.username is not None):
            raise StoreError(f"{parts.scheme}://***@{parts.hostname or ''}{parts.path}", "a key in it", KEYLESS)
        if any(word in name.lower() for name, _ in parse_qsl(parts.query) for word in SECRETS):
            raise StoreError(f"{parts.scheme}://{parts.netloc}{parts.path}", "a key in it", KEYLESS)
        if ".." in unquote(parts.path).replace("\\", "/").split("/") or ".." in parts.netloc.split("/"):
            raise StoreError(uri, "'..' in it", "an address that does not lead upwards, such as s3://bucket/results")
        system, root = _from_uri(uri, parts.scheme, bool(parts.query))
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(uri, str(error), A_STORE) from error
    if not root.strip("/") and parts.scheme != "file":
        raise StoreError(uri, "no bucket in it", "an address such as s3://bucket/results")
    return system, _rooted(uri, root)


def _from_uri(uri: str, scheme: str, has_options: bool) -> tuple[fs.FileSystem, str]:
    """pyarrow's file system of a URI; of S3 one that puts a small file by one request instead of three."""
    found: tuple[fs.FileSystem, str]
    if scheme == "s3":
        # An older pyarrow knows no such option; what else is wrong with the address is told below.
        with contextlib.suppress(pa.ArrowInvalid):
            found = fs.FileSystem.from_uri(f"{uri}{'&' if has_options else '?'}allow_delayed_open=true")
            return found
    found = fs.FileSystem.from_uri(uri)
    return found


def _rooted(uri: str, root: str) -> str:
    if "\0" in root:
        raise StoreError(uri, "a NUL character in it", A_STORE)
    return root.rstrip("/")
