"""What a store does that does not answer: which failures are tried again, at which pauses, and for how long."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

FULL = (errno.ENOSPC, errno.EDQUOT)
HOPELESS = (errno.EFBIG, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.EXDEV)
# How pyarrow's S3 and GCS name what no waiting mends; the numbers are HTTP's.
REFUSED = (
    "NO_SUCH_BUCKET",
    "NO_SUCH_KEY",
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
    "MISSING_AUTHENTICATION_TOKEN",
    "INVALID_PARAMETER_VALUE",
    "PERMANENT_REDIRECT",
    *(f"HTTP status {code}" for code in (301, 400, 401, 403, 404, 405)),
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
)
AGAIN = "run the same command again; what is finished is kept"
MAKE_ROOM = f"room for it: free some space, or move the store to a larger disk, then {AGAIN}"
COME_BACK = f"a store that answers; when it does, {AGAIN}"
# Told when waiting has taken this long; shorter hiccups are nobody's business.
TOLD_AFTER_S = 1.0
# Apart from every generator that training draws from.
_jitter = random.Random()


def is_full(error: OSError) -> bool:
    """Whether the disk is full, or the user's part of it."""
    return error.errno in FULL


def may_pass(error: OSError) -> bool:
    """Whether trying again may help, as with a server or a shared disk that is away for a while.

    Everything may but what is known not to: a missing file, a full disk, a name that cannot be, a refusal of S3 or GCS.
    """
    if isinstance(error, FileNotFoundError | FileExistsError | IsADirectoryError | NotADirectoryError):
        return False
    return error.errno not in (*FULL, *HOPELESS) and not any(word in str(error) for word in REFUSED)


@dataclass(frozen=True)
class Patience:
    """How long a store is waited for.

    Args:
        limit_s: Seconds from the first failure to giving up; 0 gives up at once.
        first_s: The first pause; each is twice the one before, and a fifth longer or shorter by chance, so that many
            workers do not come back all together.
        longest_s: The longest pause.
    """

    limit_s: float = 60.0
    first_s: float = 0.1
    longest_s: float = 5.0

    def wait_for(self, act: Callable[[], T], tell: Callable[[OSError], None]) -> T:
        """Do something until it succeeds.

        Args:
            act: What is done; it must be harmless to do it again.
            tell: Told once why it is being waited, if that takes more than a second.

        Raises:
            OSError: The last one, if it cannot pass or the limit is over.
        """
        began, pause, told = time.monotonic(), self.first_s, False
        while True:
            try:
                return act()
            except OSError as error:
                waited = time.monotonic() - began
                if not may_pass(error) or waited >= self.limit_s:
                    raise
                if not told and waited + pause > TOLD_AFTER_S:
                    told = True
                    tell(error)
            time.sleep(min(pause * _jitter.uniform(0.8, 1.2), max(0.0, self.limit_s - waited)))
            pause = min(2 * pause, self.longest_s)


AT_ONCE = Patience(0.0)
