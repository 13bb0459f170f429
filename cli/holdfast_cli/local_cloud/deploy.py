"""A SAM template into the local cloud, without SAM's command line: transform, upload, create the stack."""

import io
import json
import secrets
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from .errors import DeployFailed
from .identity import Identity
from .waiting import wait_until

_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_SECONDS = 60
Upload = Callable[[bytes], str]


def deploy(
    admin: Identity, stack_name: str, template: Path, parameters: Mapping[str, str], layer_dir: Path
) -> dict[str, str]:
    """Create the stack and return its outputs.

    Raises DeployFailed with the reasons: of SAM's translator, of CloudFormation, of the resources that failed.
    """
    cloudformation = admin.client("cloudformation")
    with _artifacts(admin.client("s3"), admin.region) as upload:
        url = _uploaded(admin, template, parameters, layer_dir, upload)
        _create(cloudformation, stack_name, url, parameters)
        stack = wait_until(lambda: _settled(cloudformation, stack_name), f"stack {stack_name}", _SECONDS)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        raise DeployFailed(f"{stack_name}: {stack['StackStatus']}\n{_reasons(cloudformation, stack_name)}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


@contextmanager
def _artifacts(s3: Any, region: str) -> Iterator[Upload]:
    """A bucket for the archives, gone afterwards: an account that guardrails look at should hold nothing of ours."""
    bucket, keys = f"deploy-{secrets.token_hex(8)}", []

    def upload(content: bytes) -> str:
        keys.append(secrets.token_hex(8))
        s3.put_object(Bucket=bucket, Key=keys[-1], Body=content)
        return f"{bucket}/{keys[-1]}"

    elsewhere = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **elsewhere)
    yield upload
    for key in keys:
        s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)


def _uploaded(admin: Identity, template: Path, parameters: Mapping[str, str], layer_dir: Path, upload: Upload) -> str:
    """The URL of the transformed template, whose code is uploaded: each CodeUri's folder, and the built layer."""
    from .transform import transform  # SAM's translator takes a second to import: only for those who deploy

    def place(kind: str, path: str) -> str:
        folder = layer_dir if kind == "AWS::Serverless::LayerVersion" else template.parent / path
        return f"s3://{upload(_zipped(folder))}"

    plain = transform(template, parameters, admin.region, place)
    return f"{admin.endpoint}/{upload(json.dumps(plain).encode())}"


def _zipped(folder: Path) -> bytes:
    """A folder as the archive Lambda takes; stored, not squeezed: the way is short."""
    if not folder.is_dir():
        raise DeployFailed(f"there is no folder {folder}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", strict_timestamps=False) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def _create(cloudformation: Any, stack_name: str, url: str, parameters: Mapping[str, str]) -> None:
    values = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    try:
        cloudformation.create_stack(
            StackName=stack_name, TemplateURL=url, Parameters=values, Capabilities=_CAPABILITIES
        )
    except ClientError as error:
        raise DeployFailed(error.response["Error"]["Message"]) from error


def _settled(cloudformation: Any, stack_name: str) -> dict[str, Any] | None:
    stack: dict[str, Any] = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
    return None if stack["StackStatus"].endswith("_IN_PROGRESS") else stack


def _reasons(cloudformation: Any, stack_name: str) -> str:
    events = cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    return "\n".join(
        f"{event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason')}"
        for event in reversed(failed)
    )
