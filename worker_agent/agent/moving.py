"""Where an operator told this agent to be: another URL for the same masters, kept in a file of the state folder."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from pydantic import ValidationError

from contracts.errors import BadSeal
from contracts.messages import Move
from contracts.operations.amqp_url import BadURL
from contracts.operations.office_url import parse_agent_url
from contracts.trust import hpke, sealing
from contracts.trust.moving import Destination, open_move
from worker_agent.keeper.files import read_text
from worker_agent.link.link import Link
from worker_agent.link.options import LinkOptions, TLSFiles
from worker_agent.state_files import write_atomically

log = structlog.get_logger(__name__)

#: In the state folder, mode 0600: it holds a password or a token.
MOVED_FILE = "moved.json"


@dataclass(frozen=True)
class MovedFile:
    """What outlives the process: the destination, and of which configured URL it was told."""

    path: Path

    @classmethod
    def of(cls, state: Path) -> MovedFile:
        return cls(state / MOVED_FILE)

    def write(self, destination: Destination, configured: str) -> None:
        """Raises OSError."""
        fields = {**json.loads(destination.text()), "instead_of": _digest(configured)}
        write_atomically(self.path, json.dumps(fields) + "\n", durably=True, private=True)

    def read(self, configured: str) -> Destination | None:
        """None: it never moved, or has been given another URL since then, which wins."""
        try:
            text = read_text(self.path)
            fields = json.loads(text)
            destination = Destination.model_validate(fields)
            parse_agent_url(destination.url.get_secret_value())
            if hmac.compare_digest(str(fields["instead_of"]), _digest(configured)):
                return destination
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError, BadURL) as error:
            log.warning("move_unreadable", path=str(self.path), reason=type(error).__name__,
                        effect="the agent is where its configuration says")  # fmt: skip
            return None
        log.info("move_forgotten", path=str(self.path), reason="another URL was configured since then")
        self.forget()
        return None

    def forget(self) -> None:
        """It is where its configuration says."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("move_not_forgotten", path=str(self.path), reason=str(error.strerror))


def options_at(destination: Destination, configured: LinkOptions) -> LinkOptions:
    """As configured, at the destination."""
    url = destination.url.get_secret_value()
    own = configured.tls if parse_agent_url(url).secure else TLSFiles()
    return replace(configured, url=url, url_file=None, tls=replace(own, ca=destination.tls_ca))


def ways(configured: LinkOptions, state: Path) -> tuple[LinkOptions, ...]:
    """Where this agent may be, in the order in which it is tried."""
    destination = MovedFile.of(state).read(configured.url)
    return (configured,) if destination is None else (options_at(destination, configured), configured)


class Moving:
    """Carries out `Move`. `configured`: what the agent's settings say."""

    def __init__(self, state: Path, configured: LinkOptions, link: Link, instance: str) -> None:
        self._file = MovedFile.of(state)
        self._configured = configured
        self._link = link
        self._instance = instance
        self._private: bytes | None = None
        self._tried = False

    def public_key(self) -> str | None:
        """To which a destination is sealed; made when it is asked for first. None: this program cannot open one."""
        if not self._tried:
            self._tried = True
            try:
                if sealing.unavailable() is None:
                    private = os.urandom(hpke.KEY_BYTES)
                    hpke.public_of(private)
                    self._private = private
            except Exception as error:  # whatever a broken installation raises
                log.warning("cannot_be_moved", reason=f"cryptography does not work: {error}")
        return None if self._private is None else hpke.public_of(self._private).hex()

    def ordered(self, message: Move) -> None:
        """An operator tells this agent to move. What cannot be done is said in the log, and changes nothing."""
        if message.instance != self._instance:
            return
        try:
            if self._private is None:
                raise BadSeal("it is sealed to a key of a former process")
            destination = open_move(message, private=self._private, address=self._link.address)
            place = parse_agent_url(destination.url.get_secret_value())
        except (BadSeal, BadURL) as error:
            log.error("move_failed", reason=str(error), effect="the agent stays where it is")
            return
        if place.user != self._link.options.user:
            reason = f"its account there is {place.user!r}, here it is {self._link.options.user!r}"
            log.error("move_failed", reason=reason, remedy="name both the same: sessions belong to an account",
                      effect="the agent stays where it is")  # fmt: skip
            return
        options = options_at(destination, self._configured)
        if options.url == self._link.options.url:
            log.info("moved_before", to=options.where)
            return
        log.info("moving", to=options.where)
        self._link.move(options, self._configured, lambda: self._note(destination))

    def _note(self, destination: Destination) -> None:
        """It has logged in there."""
        if destination.url.get_secret_value() == self._configured.url:
            self._file.forget()
            return
        try:
            self._file.write(destination, self._configured.url)
        except OSError as error:
            log.warning("move_not_written", path=str(self._file.path), reason=str(error.strerror),
                        effect="the agent's next start is where its configuration says")  # fmt: skip


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
