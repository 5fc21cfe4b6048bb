"""The error class of files; wrong arguments raise ValueError and TypeError."""


class OfflineError(RuntimeError):
    """A file does not hold what it should, or a run was begun or finished with other arguments.

    The message names the file. Failures of the file system itself stay OSError.
    """
