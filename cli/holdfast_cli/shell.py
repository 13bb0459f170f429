"""`holdfast cloud` and `holdfast variables`: SAM, the AWS CLI and the like, with the local cloud as their AWS."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from holdfast_cli.deployment import NAME_IT
from holdfast_cli.errors import Complaint, refused
from holdfast_cli.local_cloud.cloud import LocalCloud
from holdfast_cli.local_cloud.errors import LocalCloudError
from holdfast_cli.local_cloud.server import Docker

REGION = "eu-west-1"  # where the samples in events/ happen
IN_CONTAINERS = "HOLDFAST_ENDPOINT_IN_CONTAINERS"
WELCOME = "holdfast: AWS is an account on this machine now, until you leave this shell (exit)"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def stay(command: Sequence[str]) -> int:
    """An account for as long as the command runs; returns its exit status. Raises Complaint."""
    chosen = list(command) or [os.environ.get("SHELL", "sh")]
    if shutil.which(chosen[0]) is None:
        raise Complaint(f"{chosen[0]}: there is no such command")
    try:
        with LocalCloud(region=REGION, docker=_docker()) as cloud:
            if not command:
                print(WELCOME, file=sys.stderr)
            return subprocess.run(chosen, env=surroundings(cloud), check=False).returncode  # noqa: S603 - the user's own
    except LocalCloudError as error:
        raise Complaint(f"the local cloud: {error}") from None


def surroundings(cloud: LocalCloud) -> dict[str, str]:
    """This environment, with the AWS of an operator of the local cloud: one of the roles that may use the topic."""
    operator = cloud.role("operator", EVERYTHING, path="/holdfast/")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, **operator.environment(), IN_CONTAINERS: cloud.endpoint_in_containers}


def variables(stack: str) -> Mapping[str, Mapping[str, str]]:
    """What each function of a deployed stack has in its environment, as `sam local invoke --env-vars` wants it.

    Raises Complaint.
    """
    try:
        session = boto3.Session()
        pages = session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        names = {r["LogicalResourceId"]: r["PhysicalResourceId"] for page in pages for r in _functions(page)}
        return {logical: _environment(session, name) for logical, name in names.items()}
    except (BotoCoreError, ClientError) as error:
        raise refused(error, NAME_IT) from None


def _functions(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [each for each in page["StackResourceSummaries"] if each["ResourceType"] == "AWS::Lambda::Function"]


def _environment(session: boto3.Session, function: str) -> dict[str, str]:
    answer = session.client("lambda").get_function_configuration(FunctionName=function)
    there = os.environ.get(IN_CONTAINERS)
    return {**answer["Environment"]["Variables"], **({"AWS_ENDPOINT_URL": there} if there else {})}


def _docker() -> Docker | None:
    """The engine of this machine, if it answers: what `sam local invoke` starts must get to the local cloud."""
    docker = shutil.which("docker")
    if docker is None:
        return None
    gateway = "{{(index .IPAM.Config 0).Gateway}}"
    command = [docker, "network", "inspect", "bridge", "--format", gateway]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    if asked.returncode:
        return None
    return Docker(os.environ.get("DOCKER_HOST", ""), asked.stdout.strip(), functions=False)
