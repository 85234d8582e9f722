"""A repository of the Hugging Face hub: what it lists, what the local cache has, and how both fail.

huggingface_hub handles access rights. Environment variables set the server, the token and the
cache: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE and proxies.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, UsageError, WeightsError

SPACE_REMEDY = "free some space or choose another place (--to, HF_HOME)"
_LIST_TIMEOUT_S = 10
_SAFE_NAME = re.compile(r"(?!.*(^|/)\.\.?(/|$))[^/\\:][^\\:]*")
"""A relative path that stays inside its folder."""
HASH = re.compile("[0-9a-f]{40}([0-9a-f]{24})?")
"""A sha1 or a sha256."""


class Unreachable(Exception):
    """The hub gives no answer; the text is the reason in a few words."""


@dataclass(frozen=True)
class HubFile:
    """One file of a repository.

    Attributes:
        name: Path in the repository.
        content_hash: sha256 of a large file, git's sha1 of a small one.
        num_bytes: Its size.
    """

    name: str
    content_hash: str
    num_bytes: int


@dataclass(frozen=True)
class HubRepository:
    """A repository at a revision.

    Attributes:
        name: Hub id, owner/repository.
        revision: Branch, tag or commit.
        endpoint: Address of the hub.
        folder: Its folder in the cache.
        is_offline: Whether no request may be sent.
    """

    name: str
    revision: str
    endpoint: str
    folder: Path
    is_offline: bool

    def list_files(self) -> tuple[str, list[HubFile]]:
        """Return the commit and its files.

        Raises:
            Unreachable: The hub gives no answer.
            UsageError: There is no such repository or revision.
            WeightsError: The hub denies access, or the server is not a hub.
        """
        from huggingface_hub import HfApi

        with translate_errors(self):
            info = HfApi(endpoint=self.endpoint).model_info(
                self.name, revision=self.revision, files_metadata=True, timeout=_LIST_TIMEOUT_S
            )
            files = []
            for entry in info.siblings:
                name = entry.rfilename
                content_hash = entry.lfs.sha256 if entry.lfs else entry.blob_id
                num_bytes = entry.lfs.size if entry.lfs else entry.size
                # names, hashes and the commit become paths on this machine
                hashes_are_valid = HASH.fullmatch(content_hash) and HASH.fullmatch(info.sha)
                if not _SAFE_NAME.fullmatch(name) or not hashes_are_valid:
                    raise ValueError("a name that no hub has")
                files.append(HubFile(name, content_hash, int(num_bytes)))
        return info.sha, files

    def cached_files(self) -> tuple[Path, list[str]]:
        """Return the snapshot that was downloaded last, and the names of its files."""
        ref = self.folder / "refs" / self.revision
        commit = self.revision
        if ref.is_file():
            commit = ref.read_text(errors="replace").strip()
        snapshot = self.folder / "snapshots" / commit
        names: list[str] = []
        if not HASH.fullmatch(commit):  # there is none, or the file is damaged
            return snapshot, names
        for path in sorted(snapshot.rglob("*")):
            if path.is_file():
                names.append(path.relative_to(snapshot).as_posix())
        return snapshot, names


def get_repository(
    name: str,
    revision: str | None,
    cache_folder: str | Path | None = None,
    is_offline: bool = False,
) -> HubRepository:
    """Return a repository with the settings of the environment.

    Args:
        name: Hub id.
        revision: Branch, tag or commit; None: main.
        cache_folder: Folder of the cache; None: that of the environment.
        is_offline: Whether the hub must not be asked, whatever the environment says.

    Raises:
        UsageError: HF_ENDPOINT is not an address.
    """
    from huggingface_hub import constants, is_offline_mode

    # the library reads the environment once, when it is imported; it may have changed since
    env = os.environ.get
    cache = constants.HF_HUB_CACHE
    if env("HF_HOME"):
        cache = f"{env('HF_HOME')}/hub"
    cache = env("HF_HUB_CACHE") or cache
    endpoint = (env("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    if not endpoint.startswith(("http://", "https://")):
        raise UsageError(
            f"HF_ENDPOINT = {endpoint!r} is not an address; it must start with https://"
        )
    folder = Path(cache_folder or os.path.expandvars(cache)).expanduser()
    is_offline = is_offline or env("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    return HubRepository(
        name,
        revision or "main",
        endpoint,
        folder / f"models--{name.replace('/', '--')}",
        is_offline or is_offline_mode(),
    )


@contextmanager
def translate_errors(repository: HubRepository) -> Iterator[None]:
    """Turn errors of huggingface_hub and of the system into ours, or into `Unreachable`."""
    from huggingface_hub import errors as hub

    name = repository.name
    endpoint = repository.endpoint
    token_remedy = "set HF_TOKEN to a token that may read it"
    try:
        yield
    except hub.GatedRepoError:
        raise WeightsError(
            f"{name} is gated; accept its terms at {endpoint}/{name}, then {token_remedy}"
        ) from None
    except hub.RevisionNotFoundError:
        raise UsageError(
            f"{name} has no revision {repository.revision!r}; see {endpoint}/{name}"
        ) from None
    except hub.RepositoryNotFoundError:
        raise UsageError(
            f"{endpoint} has no repository {name}, or it is private; check the name or "
            f"{token_remedy}"
        ) from None
    except hub.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise WeightsError(
                f"{endpoint} does not let you read {name} (status {status}); {token_remedy}"
            ) from None
        if status == 404:
            raise UsageError(
                f"{endpoint} has no {name}, or has lost a file of it; check the name or HF_ENDPOINT"
            ) from None
        raise Unreachable(f"status {status}") from None
    except (hub.OfflineModeIsEnabled, hub.HTTPError) as error:
        raise Unreachable(" ".join(str(error).split()) or type(error).__name__) from None
    except hub.HFValidationError:
        raise UsageError(f"{name!r} is not a hub id; write owner/repository") from None
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full"
        raise DataError(
            f"cannot write {name} ({reason}); {SPACE_REMEDY}; the bytes that have arrived are kept"
        ) from None
    except UsageError:  # it is a ValueError, too
        raise
    except (ValueError, KeyError, TypeError):
        raise WeightsError(
            f"{endpoint} does not answer like a hub; check HF_ENDPOINT and the proxy"
        ) from None
