"""What goes wrong with files, as opposed to arguments, which are ValueError and TypeError."""


class OfflineError(RuntimeError):
    """A file that does not hold what it should, or a state that does not go with the call.

    The message names the file. Failures of the file system itself stay OSError.
    """
