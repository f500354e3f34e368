"""What can go wrong, in messages written for people.

Every message is one sentence that names the cause and the cure. The command line prints it on standard error and exits
with status 2; the page shows it beside the input that caused it. Anything that is not an OmniZipError is a bug.
"""


class OmniZipError(Exception):
    """Base of every error a user can cause or cure."""


class MediaError(OmniZipError):
    """A clip that cannot be read, or is beyond the configured limits."""


class ModelError(OmniZipError):
    """A checkpoint, device or precision that cannot be had."""


class MethodError(OmniZipError):
    """A compressor's field outside its bounds, or a method that does not exist."""


class BusyError(OmniZipError):
    """The device is taken by somebody else's question for longer than the caller wants to wait."""


class UsageError(OmniZipError):
    """A command line that asks for what does not exist or does not go together."""
