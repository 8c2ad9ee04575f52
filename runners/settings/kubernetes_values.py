"""What Kubernetes accepts as a quantity, a name or a path: refused here, so that no cluster has to."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationError

from components.runtime.errors import InputError

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PIPELINE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_MEMORY = re.compile(r"[1-9][0-9]*(Ki|Mi|Gi|Ti|Pi|Ei|K|M|G|T|P|E)")
_CPU = re.compile(r"[1-9][0-9]*m|[0-9]+(\.[0-9]{1,3})?")
_DURATION = re.compile(r"([1-9][0-9]*)(s|m|h|d)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")
_PATH = re.compile(r"(/[-._A-Za-z0-9]+)+")

_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

LONGEST_PIPELINE_NAME = 63 - len("-12345")
"""A run's name is the pipeline's with what Argo and KFP add to it, and has to fit into a label."""

# What the container runtime, the images or the KFP launcher keep for themselves.
_TAKEN_PATHS = (
    *("/app", "/argo", "/bin", "/boot", "/credentials", "/dev", "/etc", "/gcs", "/kfp-launcher", "/lib", "/lib64"),
    *("/mainctrfs", "/minio", "/opt", "/proc", "/root", "/s3", "/sbin", "/sys", "/tmp", "/usr", "/var"),
)


def pipeline_name(text: str) -> str:
    """The same text, where it can be the name of a pipeline on every target.

    Raises:
      ValueError: it cannot, and why.
    """
    if len(text) <= LONGEST_PIPELINE_NAME and _PIPELINE_NAME.fullmatch(text):
        return text
    length = f" (it has {len(text)})" if len(text) > LONGEST_PIPELINE_NAME else ""
    raise ValueError(
        f"expected at most {LONGEST_PIPELINE_NAME} lower-case letters, digits and '-'{length}, a letter or digit first "
        "and last: it begins the names of runs, which are labels of pods"
    )


def _memory(text: str) -> str:
    if _MEMORY.fullmatch(text):
        return text
    meant = re.match(r"\s*([1-9][0-9]*)\s*([kmgt])", text, re.IGNORECASE)
    hint = f", did you mean '{meant[1]}{meant[2].upper()}i'?" if meant else ""
    raise ValueError(f"expected a whole number with a unit, such as 512Mi or 4Gi (1024s), 500M or 4G (1000s){hint}")


def _cpu(text: str) -> str:
    if _CPU.fullmatch(text) and cpu_cores(text) > 0:
        return text
    raise ValueError("expected processors as a number, such as 2 or 0.5, or thousandths of one, such as 500m")


def _duration(text: str) -> str:
    if _DURATION.fullmatch(text):
        return text
    raise ValueError("expected a whole number with a unit: 30s, 10m, 2h or 1d")


def _object_name(text: str) -> str:
    if len(text) <= 253 and _NAME.fullmatch(text):
        return text
    raise ValueError(
        "Kubernetes refuses this name: expected at most 253 lower-case letters, digits, '-' and '.', "
        "a letter or digit first and last (RFC 1123)"
    )


def check_name(text: str, what: str) -> None:
    """Refuses a name that no object of Kubernetes can have; none at all is let pass.

    Raises:
      InputError: it is such a name.
    """
    try:
        _object_name_or_none(text)
    except ValueError as error:
        raise InputError(f"{what} is {text!r}: {error}") from None


def _object_name_or_none(text: str) -> str:
    return _object_name(text) if text else ""


def _label_key(text: str) -> str:
    prefix, _, name = text.rpartition("/")
    if len(name) <= 63 and _LABEL_NAME.fullmatch(name) and ("/" not in text or _NAME.fullmatch(prefix)):
        return text
    raise ValueError("not a label's key: expected at most 63 letters, digits, '-', '_', '.', and a DNS prefix with '/'")


def _label_value(text: str) -> str:
    if not text or (len(text) <= 63 and _LABEL_NAME.fullmatch(text)):
        return text
    raise ValueError("not a label's value: expected at most 63 letters, digits, '-', '_', '.'")


def _variable(text: str) -> str:
    if _VARIABLE.fullmatch(text):
        return text
    raise ValueError("not the name of an environment variable: expected letters, digits and '_', no digit first")


def _secret_key(text: str) -> str:
    if _SECRET_KEY.fullmatch(text):
        return text
    raise ValueError("not a key of a secret: expected at most 253 letters, digits, '-', '_', '.'")


def _path(text: str) -> str:
    if not _PATH.fullmatch(text) or {".", ".."} & set(text.split("/")):
        raise ValueError("expected an absolute path without '..' and without '/' at its end, such as /data")
    for taken in _TAKEN_PATHS:
        if text == taken or text.startswith(f"{taken}/"):
            raise ValueError(f"{taken} belongs to the container; choose another path, such as /data")
    return text


def _text(value: Any) -> Any:
    """YAML reads `cpu: 2` as a number."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Memory = Annotated[str, BeforeValidator(_text), AfterValidator(_memory)]
Cpu = Annotated[str, BeforeValidator(_text), AfterValidator(_cpu)]
Duration = Annotated[str, BeforeValidator(_text), AfterValidator(_duration)]
ObjectName = Annotated[str, BeforeValidator(_text), AfterValidator(_object_name)]
MaybeName = Annotated[str, BeforeValidator(_text), AfterValidator(_object_name_or_none)]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, BeforeValidator(_text), AfterValidator(_label_value)]
Variable = Annotated[str, AfterValidator(_variable)]
SecretKey = Annotated[str, AfterValidator(_secret_key)]
MountPath = Annotated[str, AfterValidator(_path)]


def check(kind: Any, what: str, value: Any) -> None:
    """Holds a value to one of these kinds.

    Raises:
      InputError: `what` is wrong, and why.
    """
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise InputError(f"{what}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None


def check_label(key: str, value: str) -> None:
    """Raises InputError unless both can be a label's."""
    check(LabelKey, f"label {key!r}", key)
    check(LabelValue, f"label {key}={value!r}", value)


def memory_bytes(text: str) -> int:
    """Bytes of a memory quantity."""
    number = re.match(r"[0-9]+", text)
    assert number
    unit = text[number.end() :]
    return int(int(number[0]) * (1024 if unit.endswith("i") else 1000) ** _POWERS[unit.removesuffix("i")])


def cpu_cores(text: str) -> float:
    """Processors of a CPU quantity."""
    return int(text[:-1]) / 1000 if text.endswith("m") else float(text)


def seconds(text: str) -> int:
    """Seconds of a duration."""
    return int(text[:-1]) * _SECONDS[text[-1]]
