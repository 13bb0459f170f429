"""Someone who may call the local cloud."""

import os
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.loaders import create_loader

# No file of this user's, and no AWS_PROFILE, may steer where these clients go.
_NO_FILES = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
_LOADER = create_loader()  # service models are read once, not by every client


@dataclass(frozen=True)
class Identity:
    """A root, user or role session: its ARN, its credentials, and clients that act as it."""

    arn: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def client(self, service: str, region: str | None = None) -> Any:
        """An ordinary boto3 client of the local cloud (types-boto3 has the types, if you want to annotate it)."""
        core = botocore.session.Session(session_vars=_NO_FILES)
        core.register_component("data_loader", _LOADER)
        session: Any = boto3.Session(botocore_session=core)
        return session.client(
            service,
            region_name=region or self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.token,
            config=Config(proxies={}, use_fips_endpoint=False, use_dualstack_endpoint=False),
        )

    def environment(self) -> dict[str, str]:
        """The environment that makes any AWS tool act as this identity in the local cloud."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            **({"AWS_SESSION_TOKEN": self.token} if self.token else {}),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
