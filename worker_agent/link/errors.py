"""What can go wrong with the link, in words for people; the AMQP library's exceptions end here."""

from __future__ import annotations

import asyncio
import ssl

from aiormq import exceptions as amqp

#: What the AMQP library raises when a connection or a channel is no longer usable. RuntimeError is what it raises for
#: a call on a closed connection.
LIBRARY_ERRORS = (amqp.AMQPError, OSError, asyncio.TimeoutError, RuntimeError, EOFError)


class LinkError(Exception):
    """The link to the broker could not be made, or broke."""


def explain(error: BaseException, *, user: str, where: str) -> str:
    """One sentence on a failed connection: what happened, to which broker, what to do. Never holds a password.

    `where` is host, port and vhost as the log may show them.
    """
    cause: BaseException | None = error
    seen: set[int] = set()  # the library raises one exception in many tasks, and so links its contexts to a ring
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {where} does not verify ({cause.verify_message}): "
                "give the CA that signed it with --tls-ca, or correct the host name in the URL"
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, (amqp.ProbableAuthenticationError, amqp.AuthenticationError)):
        return f"{where} refuses the login of user {user!r}: check user and password of the AMQP URL"
    if isinstance(error, amqp.ConnectionNotAllowed):
        return f"{where} does not let user {user!r} in ({error}): check the vhost and its permissions"
    if isinstance(error, asyncio.TimeoutError):
        return f"{where} did not answer in time"
    text = " ".join(str(part) for part in error.args if part) or type(error).__name__
    return f"{where}: {text}"
