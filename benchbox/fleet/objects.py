"""Where do records lie outside this machine: in a folder, or in an object store such as S3?

Both offer the same three things: names with sizes, reading, and writing that never replaces what is there. That is all
that records need, because a record is never changed.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from benchbox.errors import EnvironmentLackError, StoreError, UsageError, one_line

SCHEMES = ("s3", "gs", "az", "abfs", "file", "memory", "http", "https")
# A store that does not answer must not hang a nightly: the client retries this often within this time.
_RETRIES, _RETRY_S, _ANSWER_S, _CONNECT_S = 4, 60, 60, 10

# How stores say that there is no bucket, or container, and that somebody may not do what was asked for.
_NO_BUCKET = re.compile("NoSuchBucket|The specified bucket does not exist|ContainerNotFound")
_DENIED = re.compile(
    "AccessDenied|403 Forbidden|401 Unauthorized|SignatureDoesNotMatch|InvalidAccessKeyId|ExpiredToken|"
    "AuthenticationFailed|AuthorizationFailure|AuthorizationPermissionMismatch"
)
_DENIALS = frozenset({"PermissionDeniedError", "UnauthenticatedError"})
# Who asks for what calls it so.
_PERMISSIONS = {
    "s3": "s3:ListBucket of the bucket, s3:GetObject and s3:PutObject of its objects",
    "gs": "storage.objects.list, storage.objects.get and storage.objects.create",
    "az": "list, read and write of the container (role Storage Blob Data Contributor)",
}


class Objects(Protocol):
    """A place of immutable objects."""

    url: str

    def names(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Names below a prefix with their sizes in bytes, in any order."""
        ...

    def read(self, name: str) -> bytes:
        """The content of an object."""
        ...

    def write_new(self, name: str, content: bytes) -> bool:
        """Writes an object unless one of that name is there; whether it was written."""
        ...


def objects_at(url: str) -> Objects:
    """The place that a URL or a path means.

    Args:
        url: s3://bucket/prefix, gs://…, az://…, file:///… or a folder. Credentials come from the environment, as the
            clients of these stores read it (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS …).

    Raises:
        UsageError: a URL of another kind.
        EnvironmentLackError: the client is not installed.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        if not url:
            raise UsageError("the store has no name", remedy="for example s3://bucket/records, or a folder")
        return _Folder(Path(url))
    if scheme not in SCHEMES:
        raise UsageError(
            f"no store is reached by '{scheme}://'", values=f"got '{url}'", remedy=f"known: {', '.join(SCHEMES)}"
        )
    return _Cloud(url)


class _Folder:
    """A folder of this machine, or one that is mounted."""

    def __init__(self, folder: Path) -> None:
        self.url = str(folder)
        self._folder = folder

    def names(self, prefix: str) -> Iterator[tuple[str, int]]:
        for path in (self._folder / prefix).rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                yield PurePosixPath(path.relative_to(self._folder)).as_posix(), path.stat().st_size

    def read(self, name: str) -> bytes:
        with _translated(self.url, f"read {name}"):
            return (self._folder / name).read_bytes()

    def write_new(self, name: str, content: bytes) -> bool:
        target = self._folder / name
        draft = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}")
        with _translated(self.url, f"write {name}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                draft.write_bytes(content)
                os.link(draft, target)  # unlike a renaming it fails if the target is there
            except FileExistsError:
                return False
            finally:
                draft.unlink(missing_ok=True)
        return True


class _Cloud:
    """What obstore reaches: S3 and its like."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            import obstore
            import obstore.store
        except ImportError as error:
            raise EnvironmentLackError(
                "object stores need obstore", values=str(error), remedy="pip install 'benchbox[s3]'"
            ) from error
        options: dict[str, Any] = {}
        if not url.startswith(("file:", "memory:")):
            options = {
                "client_options": {
                    "timeout": datetime.timedelta(seconds=_ANSWER_S),
                    "connect_timeout": datetime.timedelta(seconds=_CONNECT_S),
                    "allow_http": True,
                },
                "retry_config": {
                    "max_retries": _RETRIES,
                    "retry_timeout": datetime.timedelta(seconds=_RETRY_S),
                },
            }
        try:
            self._store = obstore.store.from_url(url, **options)
        except Exception as error:
            raise _failure(url, "open", error) from error
        self._client = obstore

    def names(self, prefix: str) -> Iterator[tuple[str, int]]:
        with _translated(self.url, f"list {prefix}"):
            for page in self._client.list(self._store, prefix=prefix):
                for entry in page:
                    yield entry["path"], entry["size"]

    def read(self, name: str) -> bytes:
        with _translated(self.url, f"read {name}"):
            return bytes(self._client.get(self._store, name).bytes())

    def write_new(self, name: str, content: bytes) -> bool:
        from obstore.exceptions import AlreadyExistsError

        with _translated(self.url, f"write {name}"):
            try:
                self._client.put(self._store, name, content, mode="create")
            except AlreadyExistsError:
                return False
        return True


class RefusedError(StoreError):
    """The store answers, and does not let anything in: there is no such bucket, or no permission."""


@contextlib.contextmanager
def _translated(url: str, doing: str) -> Iterator[None]:
    """Turns what a store raises into a StoreError that names it, and what was done: "read results/x.parquet"."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise _failure(url, doing, error) from error


def _failure(url: str, doing: str, error: Exception) -> StoreError:
    text = str(error)
    said = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    scheme, cloud, rest = url.partition("://")
    bucket = rest.partition("/")[0]
    if cloud and _NO_BUCKET.search(text):
        return RefusedError(
            f"there is no bucket '{bucket}'",
            values=one_line(f"{url}: {said}"),
            remedy="create it, or correct the URL: what follows :// is the bucket",
        )
    if isinstance(error, PermissionError) or type(error).__name__ in _DENIALS or _DENIED.search(text):
        act, place = doing.partition(" ")[0], f"bucket '{bucket}'" if cloud else "this folder"
        whence = "check the credentials in the environment (docs/store.md) and what they allow"
        return RefusedError(
            f"no permission to {act} in {place}",
            values=one_line(f"{url}, {doing}: {said}"),
            remedy=f"{_PERMISSIONS.get(scheme, 'list, read and write')} are needed: {whence if cloud else 'chmod it'}",
        )
    return StoreError(
        f"the store {url} does not answer as it should",
        values=one_line(f"{doing}: {said}"),
        remedy="check the URL, the network and the credentials; what was copied so far stays, and is not copied again",
    )
