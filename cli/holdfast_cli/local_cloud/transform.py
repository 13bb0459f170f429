"""SAM's template as CloudFormation will see it, by the translator that SAM itself uses.

python -m holdfast_cli.local_cloud.transform template.yaml > template.json
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import yaml
from samtranslator.model.exceptions import InvalidDocumentException  # type: ignore[import-untyped]
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from .errors import DeployFailed

# Says where in S3 the code of a local path is: ("AWS::Serverless::Function", "functions/watch") → "s3://bucket/key".
Place = Callable[[str, str], str]
_CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


def transform(
    template: Path,
    parameters: Mapping[str, str] | None = None,
    region: str = "us-east-1",
    place: Place = lambda kind, path: f"s3://not-uploaded/{path}",
) -> dict[str, Any]:
    """The plain CloudFormation template. Raises DeployFailed with the translator's own words."""
    source = _parsed(template)
    for resource in source["Resources"].values():
        kind, properties = resource["Type"], resource.get("Properties", {})
        if (name := _CODE.get(kind)) in properties:
            properties[name] = place(kind, properties[name])
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=region))
    try:
        plain = translator.translate(source, dict(parameters or {}))
    except InvalidDocumentException as error:
        raise DeployFailed("\n".join(cause.message for cause in error.causes)) from error
    finally:
        translator.metrics.publish()  # sends nothing, but keeps it from warning of unpublished metrics
    return dict(json.loads(json.dumps(plain, default=str)))


def _parsed(template: Path) -> dict[str, Any]:
    try:
        return dict(yaml_parse(template.read_text()))
    except yaml.YAMLError as error:
        raise DeployFailed(f"{template} isn't YAML: {error}") from error


if __name__ == "__main__":
    json.dump(transform(Path(sys.argv[1])), sys.stdout, indent=1)
