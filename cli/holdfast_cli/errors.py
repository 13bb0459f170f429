"""What the command line says when it can't do what was asked."""

from collections.abc import Iterable
from difflib import get_close_matches

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

UNKNOWN = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
# Of "Common errors" in every service's API reference, those about who calls.
UNKNOWN_CODES = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


class Complaint(Exception):
    """One line for a person: what is wrong, and what to do. `main` prints it and ends with 2."""


def refused(error: Exception, hint: str = "") -> Complaint:
    """What AWS, or the way to it, said, and what to do. `hint` is for what AWS answers to a caller whom it knows."""
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else ""
    if isinstance(error, NoRegionError):
        todo = "set AWS_DEFAULT_REGION"
    elif isinstance(error, EndpointConnectionError):
        todo = "see that AWS_DEFAULT_REGION is right, and AWS_ENDPOINT_URL if it is set"
    elif isinstance(error, UNKNOWN) or code in UNKNOWN_CODES:
        todo = "sign in, or choose a profile with AWS_PROFILE"
    else:
        todo = hint
    return Complaint(f"AWS: {error}; {todo}" if todo else f"AWS: {error}")


def unknown(kind: str, name: str, known: Iterable[str]) -> Complaint:
    """Names what was probably meant, or all there is."""
    names = sorted(known)
    near = get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    return Complaint(f"no {kind} {name!r}; {hint}")
