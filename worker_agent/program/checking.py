"""What is wrong with settings, as far as this machine can tell without the broker: for each start, and for `check`."""

from __future__ import annotations

import pwd
import ssl
import time

from contracts.operations.extras import missing_extra
from worker_agent.program.settings import Settings

NO_BROKER = "no broker: give --url, --url-file or WORKER_AGENT_URL"


def wrong(settings: Settings) -> str | None:
    """Why an agent cannot start with them, with the setting's name; None: nothing was found."""
    if settings.amqp_url is None:
        return NO_BROKER
    from worker_agent.capabilities import BadCapability
    from worker_agent.capabilities.abilities import options_of

    try:
        options_of(settings)
    except BadCapability as error:
        return f"--capability or --without: {error}"
    unusable = _unusable_keys(settings)
    if unusable is not None:
        return f"--trusted-key: {unusable}"
    unusable = _no_traces() if settings.traces else None
    return None if unusable is None else f"--traces: {unusable}"


def wrong_here(settings: Settings) -> str | None:
    """`wrong`, and what a running agent waits for to be repaired: certificates; the user for commands."""
    from worker_agent.link.options import link_options

    found = wrong(settings)
    if found is not None:
        return found
    try:
        context = link_options(settings).tls_context()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        return f"--tls-ca, --tls-cert or --tls-key cannot be used: {error}"
    if context is not None and settings.tls_ca is not None:
        expired = _expired(context)
        if expired is not None:
            return f"--tls-ca: {expired}"
    try:
        if settings.run_as is not None:
            pwd.getpwnam(settings.run_as)
    except KeyError:
        return f"--run-as {settings.run_as}: there is no such user"
    return None


def _expired(context: ssl.SSLContext) -> str | None:
    """That no authority of a context, which has those of `tls_ca` only, is valid; None: one is, or none tells."""
    ends = [(ssl.cert_time_to_seconds(str(each["notAfter"])), each) for each in context.get_ca_certs()]
    if not ends or any(end > time.time() for end, _ in ends):
        return None
    last, _ = max(ends, key=lambda each: each[0])
    return (
        f"the certificate authority has expired on {_day(last)}, and this machine's clock says {_day(time.time())}: "
        "set the clock, or make a new authority (docs/how-to/secure-fleet.md)"
    )


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _unusable_keys(settings: Settings) -> str | None:
    if not settings.trusted_key:
        return None
    try:
        from contracts.trust.signing import BadKey, Verifier

        Verifier.from_pem(settings.trusted_key)
    except BadKey as error:
        return str(error)
    except ImportError as error:
        return missing_extra(error, "worker") or str(error)
    return None


def _no_traces() -> str | None:
    try:
        import contracts.traces.export  # noqa: F401  # can it be?
    except ImportError as error:
        return missing_extra(error, "worker") or str(error)
    return None
