"""Who is measured: where the handler is, what lies on its path, and what it was sent as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Peer:
    """`paths` is what Lambda would have on sys.path: the function, its layer, the runtime's SDK.

    `warm` is how many events a warm measurement takes: slow peers must not take all day. `zips` are the bytes that are
    uploaded, by part. `folder` is where it runs, if it reads files from there.
    """

    name: str
    handler: str
    paths: tuple[Path, ...]
    warm: int
    zips: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


HOLDFAST = "Holdfast"
BOTO3 = "boto3, bare handler"
FLOOR = "SigV4 over http.client"
CLOUDBOTS = "CloudBots (re-enacted)"
CUSTODIAN = "Cloud Custodian"
