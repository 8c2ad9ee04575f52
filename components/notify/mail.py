"""Sends a message by mail, over SMTP. User and password are in the environment only."""

from __future__ import annotations

import os
import re
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from components.notify.message import Message
from components.runtime.errors import InputError, TransientError
from components.runtime.stage.bounded import SILENCE_SECONDS, TOTAL_SECONDS, bounded
from components.runtime.stage.progress import report

USER, PASSWORD = "MILLRACE_MAIL_USER", "MILLRACE_MAIL_PASSWORD"
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+")
_SERVER = re.compile(r"(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class Mail:
    """Where mail goes.

    Attributes:
      security: starttls, tls from the beginning, or none.
    """

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    security: str

    @classmethod
    def read(cls, given: dict[str, Any]) -> Mail:
        """Reads the settings.

        Raises:
          InputError: one of them is wrong or missing.
        """
        security, to = str(given.get("security") or "starttls"), given.get("to")
        server = _SERVER.fullmatch(str(given.get("server") or ""))
        addresses = [given.get("sender"), *(to if isinstance(to, list) else [])]
        if unknown := sorted(given.keys() - {"server", "sender", "to", "security"}):
            raise InputError(f"notify.mail: unknown key {unknown[0]!r}; known: server, sender, to, security")
        if server is None:
            raise InputError(f"notify.mail: server is {given.get('server')!r}, expected HOST or HOST:PORT")
        if security not in _PORTS:
            raise InputError(f"notify.mail: security is {security!r}, expected one of {', '.join(_PORTS)}")
        if not isinstance(to, list) or not to:
            raise InputError("notify.mail: to names nobody; expected a list of addresses")
        for address in addresses:
            if not _ADDRESS.fullmatch(str(address or "")):
                raise InputError(f"notify.mail: {address!r} is no address of the form name@host, in sender or to")
        port = int(server["port"] or _PORTS[security])
        return cls(server["host"], port, str(given["sender"]), tuple(str(each) for each in to), security)

    def send(self, message: Message) -> str:
        """Sends a message; returns `mail`.

        Raises:
          InputError: the server refuses for good.
          TransientError: it does not answer, or refuses for now.
        """
        where = f"the mail server {self.host}:{self.port}"
        try:
            bounded(lambda: self._deliver(self._letter(message)), where)
        except smtplib.SMTPAuthenticationError as error:
            raise InputError(f"{where} refuses {USER} and {PASSWORD} ({error.smtp_code})") from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            passing = all(400 <= code < 500 for code in codes)
            said = f"{where} refuses all recipients ({codes[0]})"
            raise (TransientError if passing else InputError)(f"{said}; see notify.mail.to") from None
        except smtplib.SMTPResponseException as error:
            said = f"{where} answers {error.smtp_code}"
            raise (TransientError if 400 <= error.smtp_code < 500 else InputError)(said) from None
        except smtplib.SMTPNotSupportedError:
            raise InputError(
                f"{where} does not offer what security {self.security!r} or a password needs; change notify.mail"
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise InputError(f"{where}: its certificate is not valid: {error.verify_message}") from None
        except TimeoutError:
            raise TransientError(f"{where} does not answer within {TOTAL_SECONDS:g} s") from None
        except (OSError, smtplib.SMTPException) as error:
            said = getattr(error, "strerror", None) or type(error).__name__
            raise TransientError(f"{where} cannot be reached: {said}") from None
        return "mail"

    def _letter(self, message: Message) -> EmailMessage:
        letter = EmailMessage()
        letter["Subject"] = message.title()
        letter["From"], letter["To"] = self.sender, ", ".join(self.to)
        letter["Date"], letter["Message-ID"] = formatdate(), make_msgid(domain=self.sender.rsplit("@", 1)[1])
        letter.set_content(message.text() + "\n")
        return letter

    def _deliver(self, letter: EmailMessage) -> None:
        context = ssl.create_default_context()
        server: smtplib.SMTP
        if self.security == "tls":
            server = smtplib.SMTP_SSL(self.host, self.port, timeout=SILENCE_SECONDS, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=SILENCE_SECONDS)
        with server:
            if self.security == "starttls":
                server.starttls(context=context)
            if user := os.environ.get(USER):
                # In the clear only where the settings say so: `security: none` with a password.
                server.login(user, os.environ.get(PASSWORD, ""))
            refused = server.send_message(letter)
        if refused:
            report(f"the mail server refuses {len(refused)} of {len(self.to)} recipients")
