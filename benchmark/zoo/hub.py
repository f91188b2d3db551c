"""Finds files on the Hugging Face Hub, and the weights that timm publishes, by the text of an entry's source.

`hf:OWNER/REPO/FILE[@REVISION]` names a file; `timm:ARCHITECTURE.TAG` is resolved, by timm's own table, to one of these
or to a URL. Neither torch nor timm nor huggingface_hub is imported before it is needed. The Hub's own variables
(HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE) mean what they mean everywhere.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError, did_you_mean
from benchmark.files import space_for

HF, TIMM = "hf:", "timm:"
DEFAULT_REVISION = "main"
PLAIN_NAMES = {"safetensors": "model.safetensors", "torch": "pytorch_model.bin"}  # in each of timm's repositories
SOURCE = re.compile(r"hf:(?P<owner>[\w.-]+)/(?P<repo>[\w.-]+)/(?P<file>[^@]+?)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a repository at a revision (a commit, tag or branch)."""

    repo: str
    file: str
    revision: str

    @property
    def name(self) -> str:
        """Returns a file name, which differs between two revisions."""
        name = self.file.rsplit("/", 1)[-1]
        return name if self.revision == DEFAULT_REVISION else f"{self.revision.replace('/', '_')}-{name}"

    @property
    def page(self) -> str:
        """Returns the URL at which a browser downloads it."""
        return f"https://huggingface.co/{self.repo}/resolve/{self.revision}/{self.file}"


def parse_source(source: str) -> HubFile:
    """Returns the file that `source` names. Raises BenchmarkError where it is no hf:OWNER/REPO/FILE[@REVISION]."""
    match = SOURCE.fullmatch(source)
    parts = source.removeprefix(HF).partition("@")[0].split("/")
    if not match or any(part in {"", ".", ".."} for part in parts):
        raise BenchmarkError(f"source {source!r}: wanted hf:OWNER/REPO/FILE, with @REVISION where it is not the newest")
    return HubFile(
        repo=f"{match['owner']}/{match['repo']}", file=match["file"], revision=match["revision"] or DEFAULT_REVISION
    )


def resolve_source(source: str, container: str) -> str:
    """Returns a `timm:` source as the hf: source or URL that timm itself would load; any other source as it is.

    timm's repositories hold each net in both containers: the entry's own one is taken. Raises BenchmarkError for a name without
    a tag (timm's default moves from version to version), and for what timm does not publish.
    """
    if not source.startswith(TIMM):
        return source
    name = source.removeprefix(TIMM)
    architecture, _, tag = name.partition(".")
    from benchmark.torch_setup import prepare_for_torch

    prepare_for_torch()  # torch comes with timm
    import timm

    published = timm.list_pretrained(f"{architecture}*")
    if not tag or name not in published:
        tags = [n for n in published if n.partition(".")[0] == architecture]
        raise BenchmarkError(
            f"source {source!r}: wanted timm:ARCHITECTURE.TAG of weights that timm {timm.__version__} publishes, "
            f"{did_you_mean(name, tags or timm.list_pretrained())}"
        )
    config: Any = timm.get_pretrained_cfg(name)
    if not config.hf_hub_id:
        return str(config.url)
    repo, _, revision = config.hf_hub_id.partition("@")
    file = config.hf_hub_filename or PLAIN_NAMES.get(container, PLAIN_NAMES["torch"])
    if container == "safetensors" and config.hf_hub_filename:  # as timm itself looks for the safe one of two
        file = re.sub(r"pytorch_model\.bin$", "model.safetensors", file)
    return f"{HF}{repo}/{file}" + (f"@{revision}" if revision else "")


def fetch_to_cache(file: HubFile, *, offline: bool) -> Path:
    """Returns the file's path in huggingface_hub's cache; downloads it where it is missing, unless `offline` or HF_HUB_OFFLINE.

    Raises BenchmarkError with the reason where it cannot be downloaded.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if offline or constants.HF_HUB_OFFLINE:
        # hf_hub_download asks the Hub about the user's tools before it looks at its local_files_only (observed in 2.4)
        cached = try_to_load_from_cache(file.repo, file.file, revision=file.revision)
        if isinstance(cached, str):
            return Path(cached).resolve()
        forbidden = "--offline" if offline else "HF_HUB_OFFLINE"
        raise BenchmarkError(
            f"not here, nor in Hugging Face's cache {constants.HF_HUB_CACHE}, and {forbidden} forbids fetching it"
        )
    try:
        with space_for(Path(constants.HF_HUB_CACHE)):
            return Path(hf_hub_download(file.repo, file.file, revision=file.revision)).resolve()
    except BenchmarkError:  # a full disk
        raise
    except LocalEntryNotFoundError as error:
        raise BenchmarkError(
            f"{constants.ENDPOINT} is not reachable ({_one_line(error.__cause__ or error)})"
        ) from error
    except GatedRepoError as error:
        raise BenchmarkError(
            f"{file.repo} wants its terms accepted on its page, and then a token (HF_TOKEN)"
        ) from error
    except RepositoryNotFoundError as error:
        raise BenchmarkError(f"{file.repo}: no such repository, or one that wants a token (HF_TOKEN)") from error
    except RevisionNotFoundError as error:
        raise BenchmarkError(f"{file.repo} has no revision {file.revision!r}") from error
    except EntryNotFoundError as error:
        raise BenchmarkError(f"{file.repo} has no file {file.file!r} at revision {file.revision!r}") from error
    except HfHubHTTPError as error:
        raise BenchmarkError(f"HTTP {error.response.status_code} from {constants.ENDPOINT}") from error
    except Exception as error:  # its HTTP client, and with it the errors that come through, has changed twice so far
        raise BenchmarkError(f"huggingface_hub: {_one_line(error)}") from error


def remote_size(file: HubFile) -> int | None:
    """Returns the bytes that the Hub says the file has; None where it does not say, or is not reachable."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        return get_hf_file_metadata(hf_hub_url(file.repo, file.file, revision=file.revision)).size
    except Exception:  # noqa: BLE001 - whatever its HTTP client meets, the size is not known
        return None


def published_digest(cached: Path) -> str:
    """Returns the sha256 that the Hub gives for a large file and that names it in the cache; empty where it gives none."""
    return cached.name if DIGEST.fullmatch(cached.name) else ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
