"""What can go wrong with the local cloud.

LocalCloudError
├── MissingEnvironment   MiniStack's Python environment isn't there
├── NotStarted           the server ended or didn't answer; the message ends with its log
├── DeployFailed         the template was refused, or resources failed: CloudFormation's reasons, one a line
└── TimedOut             what was waited for didn't come
"""


class LocalCloudError(Exception):
    """The local cloud couldn't do what was asked."""


class MissingEnvironment(LocalCloudError):
    """There is no Python with MiniStack in it."""


class NotStarted(LocalCloudError):
    """The server didn't come up."""


class DeployFailed(LocalCloudError):
    """The stack wasn't created."""


class TimedOut(LocalCloudError):
    """Something waited for didn't come in time."""
