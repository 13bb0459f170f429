"""An AWS account on this machine, for tests and the demo.

    with LocalCloud() as cloud:
        outputs = cloud.deploy("holdfast", Path("template.yaml"), {"Mode": "enforce"}, Path("build/layer"))
        engineer = cloud.user("engineer", {"Version": "2012-10-17", "Statement": [...]})
        engineer.client("s3").create_bucket(Bucket="data")

IAM is enforced: a user or role may do what its policy says, a function what its role in the template says.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .deploy import deploy
from .identity import Identity
from .server import ACCOUNT, ROOT_KEY, Docker, Server, environment

Policy = Mapping[str, Any]
_ROOT = f"arn:aws:iam::{ACCOUNT}:root"


class LocalCloud:
    """An account of its own for the time of a `with`: nothing of it remains.

    Containers of `docker` may call it, and its functions run in them if that says so, else as processes.
    """

    def __init__(self, python: Path | None = None, region: str = "us-east-1", docker: Docker | None = None) -> None:
        self._python = python
        self.region = region
        self._docker = docker

    def __enter__(self) -> Self:
        """Start the server. Raises MissingEnvironment or NotStarted."""
        self._server = Server(self._python or environment(), self.region, self._docker)
        self.root = self._identity(_ROOT, ROOT_KEY, self._server.secret)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, however the block ended."""
        self._server.stop()

    @property
    def endpoint(self) -> str:
        """The URL that serves every service."""
        return self._server.endpoint

    @property
    def endpoint_in_containers(self) -> str:
        """The same URL for containers."""
        return self._server.endpoint_in_containers

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client that acts as the account's root: it may do everything."""
        return self.root.client(service, region)

    def user(self, name: str, policy: Policy) -> Identity:
        """Create an IAM user with one inline policy and an access key."""
        iam = self.client("iam")
        arn = iam.create_user(UserName=name)["User"]["Arn"]
        iam.put_user_policy(UserName=name, PolicyName="local", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return self._identity(arn, key["AccessKeyId"], key["SecretAccessKey"])

    def role(self, name: str, policy: Policy, path: str = "/") -> Identity:
        """Create a role with one inline policy, and assume it in a session named as the role."""
        trust = {"Effect": "Allow", "Principal": {"AWS": _ROOT}, "Action": "sts:AssumeRole"}
        iam = self.client("iam")
        arn = iam.create_role(
            RoleName=name,
            Path=path,
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="local", PolicyDocument=json.dumps(policy))
        session = self.client("sts").assume_role(RoleArn=arn, RoleSessionName=name)
        keys = session["Credentials"]
        own_arn = session["AssumedRoleUser"]["Arn"]
        return self._identity(own_arn, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    def deploy(self, stack_name: str, template: Path, parameters: Mapping[str, str], layer_dir: Path) -> dict[str, str]:
        """Create a stack from a SAM template and a built layer (`layer_dir/python/…`); return its outputs.

        Raises DeployFailed with the reasons.
        """
        return deploy(self.root, stack_name, template, parameters, layer_dir)

    def resources(self, stack_name: str) -> dict[str, str]:
        """The physical id of each resource of a stack, by its logical id."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack_name)
        return {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for page in pages
            for resource in page["StackResourceSummaries"]
        }

    def logs(self, function_name: str) -> str:
        """What a function has printed so far, in the order of its invocations."""
        logs = self.client("logs")
        group = f"/aws/lambda/{function_name}"
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return ""
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return "\n".join(event["message"] for page in pages for event in page["events"])

    def server_log(self) -> str:
        """What the server itself has printed, with the bridge's complaints."""
        return self._server.log()

    def _identity(self, arn: str, access_key: str, secret_key: str, token: str | None = None) -> Identity:
        return Identity(arn, self.endpoint, self.region, access_key, secret_key, token)
