"""Which errors are temporary conditions of the machine: memory, disk, file handles, threads.

Such a condition says nothing about an image. The step that meets one ends without a table, and the
next run continues. Libraries report these conditions in many ways, also as the cause of another
error, so an error is examined together with its causes.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from enum import Enum

from cacl.errors import CaclError, ConfigError, DiskError, ImageError, Reason, ResourceError
from cacl.runtime.memory import describe_memory

AGAIN = "then run the same command again: it continues where it stopped"
HOST_REASONS = (Reason.UNREACHABLE, Reason.POSTPONED)
MAX_MESSAGE_LENGTH = 300


class Shortage(Enum):
    """What is short; the value has its name in a sentence and the remedy."""

    MEMORY = (
        "the memory is not enough",
        "give the job more memory (on Slurm: mem_mb of the profile; a limit of the shell: ulimit "
        "-v) or process fewer images at a time (--jobs)",
    )
    DISK = (
        "the disk is full, read-only or protected",
        "free some space (`cacl estimate` says how much is needed) or fix the permissions of the "
        "folder",
    )
    FILES = (
        "too many files are open",
        "raise the limit of open files (ulimit -n) or process fewer images at a time (--jobs)",
    )
    THREADS = (
        "no thread or process can be started",
        "raise the limit of processes (ulimit -u, or pids of the container), give the job more "
        "memory for their stacks, or use fewer threads",
    )
    INPUT_OUTPUT = (
        "the file system does not answer",
        "check the disk or the network folder; if one file alone cannot be read, copy it again or "
        "leave it out",
    )


ERRNO_KINDS = {
    Shortage.MEMORY: ("ENOMEM",),
    Shortage.DISK: ("ENOSPC", "EDQUOT", "EROFS", "EFBIG"),
    Shortage.FILES: ("EMFILE", "ENFILE"),
    Shortage.THREADS: ("EAGAIN",),
    Shortage.INPUT_OUTPUT: (
        *("EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "EREMOTEIO", "EHOSTDOWN", "EHOSTUNREACH"),
        *("ENODEV", "ENXIO", "ENOLCK", "ESHUTDOWN", "ECOMM", "ENOLINK", "ENETDOWN"),
    ),
}
KIND_OF_ERRNO = {
    getattr(errno, name): kind
    for kind, names in ERRNO_KINDS.items()
    for name in names
    if hasattr(errno, name)
}
TEXTS = {
    Shortage.MEMORY: re.compile(
        r"(can.?t|cannot|could not|couldn.t|unable to|failed to) alloc|out of memory|bad_alloc"
        r"|insufficient memory|not enough memory|memory alloc\w* (failed|failure|error)"
        r"|cannot map zero-fill|failed to map segment|CUBLAS_STATUS_ALLOC_FAILED"
        r"|could not (create|execute) a primitive$"  # oneDNN
        r"|^Error -4 while",  # zlib's Z_MEM_ERROR
        re.IGNORECASE,
    ),
    Shortage.DISK: re.compile(
        r"no space left on device|disk quota exceeded|read-only file system|file too large",
        re.IGNORECASE,
    ),
    Shortage.FILES: re.compile(r"too many open files", re.IGNORECASE),
    Shortage.THREADS: re.compile(
        r"can.t start new thread|failed to (spawn|create) (a |new )?thread|pthread_create"
        r"|thread creation failed|resource temporarily unavailable",
        re.IGNORECASE,
    ),
    Shortage.INPUT_OUTPUT: re.compile(
        r"input/output error|stale (nfs )?file handle|transport endpoint is not connected",
        re.IGNORECASE,
    ),
}
OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""How Rust, in which zarrs and safetensors are written, names an error number."""

SURROGATE = re.compile("[\udc80-\udcff]")


def find_shortage(error: BaseException) -> tuple[Shortage, BaseException] | None:
    """Return what is short and the error that says so, or None for an error of another kind.

    Parameters
    ----------
    error
        Any error. Its causes count too: a memory error while an image is decoded is not damage of
        the image, although the reader says so. A
        connection that breaks is not a file system that does not answer.
    """
    of_host = False
    for each in _with_causes(error):
        of_host |= isinstance(each, ImageError) and each.reason in HOST_REASONS
        kind = _kind(each)
        if kind is not None and not (of_host and kind is Shortage.INPUT_OUTPUT):
            return kind, each
    return None


def raise_if_short(error: BaseException, subject: str) -> None:
    """Raise a temporary condition of the machine as an error of the run; return for another error.

    Parameters
    ----------
    error
        What was caught.
    subject
        What was being done, such as `tile: HPA000001/1_A_7_2`.

    Raises
    ------
    DiskError, ResourceError
        The error, or one of its causes, is a temporary condition.
    """
    if isinstance(error, DiskError | ResourceError):
        raise error
    found = find_shortage(error)
    if found is not None:
        kind, cause = found
        raise shortage_error(kind, cause, subject) from error


def shortage_error(kind: Shortage, cause: BaseException, subject: str) -> CaclError:
    """Return the sentence about a shortage: where, what, how much, and the remedy."""
    problem, remedy = kind.value
    details = [_one_line(cause), describe_memory() if kind is Shortage.MEMORY else ""]
    detail = "; ".join(filter(None, details))
    sentence = f"{subject}: {problem} ({detail}); {remedy}, {AGAIN}"
    return DiskError(sentence) if kind is Shortage.DISK else ResourceError(sentence)


def disk_error(error: OSError, subject: str) -> DiskError:
    """Return the error for a product that cannot be written or read, whatever the number is."""
    _, remedy = Shortage.DISK.value
    return DiskError(
        f"{subject}: a file of the run cannot be written or read ({_one_line(error)}); {remedy}, "
        f"{AGAIN}"
    )


def error_sentence(error: BaseException, command: str) -> str | None:
    """Return the sentence for an error that ends a command; None for a fault of the program.

    Parameters
    ----------
    error
        What the command raised.
    command
        Its name, such as `cacl train`.
    """
    found = find_shortage(error)
    if isinstance(error, CaclError):
        # The error of a product that cannot be written already names the folder and the remedy.
        if found is None or found[0] is Shortage.DISK:
            return str(error)
        if isinstance(error, DiskError | ResourceError):
            return str(error)
    if found is not None:
        return str(shortage_error(*found, command))
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return str(disk_error(error, command))
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] != "cacl":
        return (
            f"{command}: a package cannot be imported ({_one_line(error)}); `cacl doctor` names "
            "what the environment lacks"
        )
    name_error = not_utf8_error(error)
    return None if name_error is None else str(name_error)


def is_panic(error: BaseException) -> bool:
    """Return whether an error is a panic of Rust code, which derives from `BaseException`."""
    return type(error).__name__ == "PanicException"


def not_utf8_error(error: BaseException) -> ConfigError | None:
    """Return the error for a path that is not UTF-8; None for an error of another kind.

    Python stores the bytes of such a path as surrogates, which no library can encode.
    """
    for each in _with_causes(error):
        if isinstance(each, UnicodeEncodeError) and SURROGATE.search(each.object):
            name = repr(os.fsencode(each.object))[2:-1]
            return ConfigError(
                f"The name {name[:MAX_MESSAGE_LENGTH]} is not UTF-8, which the tables and the "
                "store need; rename the folder or the file, or work in another folder"
            )
    return None


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        yield from (arg for arg in each.args if isinstance(arg, BaseException))
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)


def _kind(error: BaseException) -> Shortage | None:
    if isinstance(error, CaclError):  # its sentence can contain any text
        return None
    if isinstance(error, MemoryError):
        return Shortage.MEMORY
    number = error.errno if isinstance(error, OSError) else None
    text = str(error)
    if number is None and (match := OS_ERROR.search(text)):
        number = int(match[1])
    if number is not None:
        return KIND_OF_ERRNO.get(number)
    return next((kind for kind, pattern in TEXTS.items() if pattern.search(text)), None)


def _one_line(error: BaseException) -> str:
    """Return the text of an error, shortened; its type if it has no text.

    An error of another process comes as its traceback, whose last line says what happened.
    """
    text = str(error).strip('"\n ')
    if "Traceback (most recent call last)" in text:
        text = text.splitlines()[-1]
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= MAX_MESSAGE_LENGTH else f"{text[:MAX_MESSAGE_LENGTH]} ..."
