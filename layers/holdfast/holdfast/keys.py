"""What KMS says of a key, for whoever is to encrypt under it (KMS API, DescribeKey)."""

from botocore.exceptions import ClientError

from holdfast.aws import Aws, error_code, unless
from holdfast.value import Value

ENCRYPTS = "SYMMETRIC_DEFAULT"  # the only KeySpec that S3 takes (S3 API, ServerSideEncryptionByDefault)
MISSING = "missing"
CLOSED = "closed to Holdfast"
# KMS developer guide, "Key states": out of these it comes back without what only its owner has. Somebody must be asked
# for imported material (PendingImport).
PASSING = ("Creating", "Disabled", "PendingDeletion", "PendingReplicaDeletion", "Unavailable", "Updating")


class Key(Value):
    """`state` is KMS's KeyState, MISSING or CLOSED; `spec` its KeySpec. `arn` is empty where KMS says nothing."""

    state: str
    arn: str = ""
    spec: str = ENCRYPTS

    @property
    def fault(self) -> str:
        """Why nothing can be encrypted under it; empty if it can."""
        if self.spec != ENCRYPTS:
            return f"{self.state}, {self.spec}"
        return "" if self.state == "Enabled" else self.state


def look_up(key: str, aws: Aws) -> Key:
    """By its ARN or that of an alias: then it is the key to which the alias leads now.

    For that, too, it is the key that one must be allowed to describe (KMS developer guide, "Controlling access to
    aliases").
    """
    try:
        no_key = "NotFoundException InvalidArnException ValidationException"
        answer = unless(no_key, aws.client("kms").describe_key, KeyId=key)
    except ClientError as error:
        if error_code(error) != "AccessDeniedException":
            raise
        return Key(CLOSED)
    if answer is None:
        return Key(MISSING)
    said = answer["KeyMetadata"]
    return Key(said["KeyState"], said["Arn"], said.get("KeySpec", ENCRYPTS))
