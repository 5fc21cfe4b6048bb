"""The error class of files, and errors about a block told as errors about its file.

Messages write arguments as Python does: `force=True`, `nan="keep"`, `delta=`. The command line puts its
options in their place.
"""

from __future__ import annotations

import re

# Where in a block something is, and how much of the block is like it.
_PLACE = re.compile(
    r"(?:: \d+ of \d+ elements do not, the first)? at (?:index|row) \((\d+)(?:,\)|, (.*?)\)|\))"
)
# By the first word of a message.
_FILES_OF = {"x": ("x",), "input_range": ("x",), "eps": ("eps",), "bounds": ("lower", "upper")}


class OfflineError(RuntimeError):
    """A file does not hold what it should, or a run was begun or finished with other arguments.

    The message names the file. Failures of the file system itself stay OSError.
    """


def in_file(error: Exception, files: dict[str, str], start: int, stop: int) -> OfflineError:
    """Return an error about rows start to stop as one that names the file, and the row in the file.

    `files` are the names of the input files by argument.
    """
    message = str(error)
    involved = [
        files[name] for name in _FILES_OF.get(message.partition(" ")[0], ()) if name in files
    ]
    names = " and ".join(involved or files.values())
    found = _PLACE.search(message)
    if found is None:
        return OfflineError(f"{names}, rows {start} to {stop - 1}: {message}")
    inner = f", index ({found[2]}{'' if ',' in found[2] else ','})" if found[2] else ""
    message = message[: found.start()] + message[found.end() :]
    return OfflineError(f"{names}, row {start + int(found[1])}{inner}: {message}")
