"""Cloud Storage's JSON API as far as a push needs it: objects with generations, preconditions and checksums."""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import google_crc32c

from tests.runners.loopback import Refused, Request


@dataclass
class Storage:
    """Buckets and what lies in them.

    Attributes:
      objects: content, generation and metadata by bucket and name.
      written: names in the order in which they were written.
      spoils: writes so many objects with other bytes than were sent.
    """

    buckets: set[str] = field(default_factory=lambda: {"staging"})
    objects: dict[tuple[str, str], tuple[bytes, int, dict[str, str]]] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    url: str = ""
    spoils: int = 0
    _count: int = 0
    _uploads: dict[str, tuple[str, dict[str, Any], str]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def names(self, ending: str = "") -> list[str]:
        return sorted(name for _, name in self.objects if name.endswith(ending))

    def answer(self, request: Request) -> tuple[Any, ...]:
        with self._lock:
            found = re.fullmatch(r"/(upload/|download/)?storage/v1/b/([^/]+)(?:/o(?:/(.+))?)?", request.path)
            if not found:
                raise Refused(404, f"{request.method} {request.path}")
            kind, bucket, name = found[1] or "", found[2], unquote(found[3] or "")
            if bucket not in self.buckets:
                raise Refused(404, "The specified bucket does not exist.")
            if kind == "upload/":
                return self._upload(request, bucket)
            if not name:
                prefix = request.query.get("prefix", "")
                found_names = sorted(each for of, each in self.objects if of == bucket and each.startswith(prefix))
                return 200, {"items": [self._resource(bucket, each) for each in found_names]}
            if (bucket, name) not in self.objects:
                raise Refused(404, f"No such object: {bucket}/{name}")
            if request.method == "DELETE":
                del self.objects[bucket, name]
                return 204, b""
            if request.query.get("alt") == "media":
                return 200, self.objects[bucket, name][0]
            return 200, self._resource(bucket, name)

    def _upload(self, request: Request, bucket: str) -> tuple[Any, ...]:
        condition = request.query.get("ifGenerationMatch", "")
        if request.method == "PUT":
            return 200, self._write(request.body, *self._uploads[request.query["upload_id"]])
        if request.query["uploadType"] == "resumable":
            self._count += 1
            upload = str(self._count)
            self._uploads[upload] = (bucket, json.loads(request.body), condition)
            return 200, {}, {"location": f"{self.url}/upload/storage/v1/b/{bucket}/o?upload_id={upload}"}
        boundary = request.body.split(b"\r\n", 1)[0]
        first, second = request.body.split(boundary)[1:3]
        content = second.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        return 200, self._write(content, bucket, json.loads(first.partition(b"\r\n\r\n")[2]), condition)

    def _write(self, content: bytes, bucket: str, resource: dict[str, Any], condition: str) -> dict[str, Any]:
        name = resource["name"]
        generation = self.objects[bucket, name][1] if (bucket, name) in self.objects else 0
        if condition and int(condition) != generation:
            raise Refused(412, "At least one of the pre-conditions you specified did not hold.")
        self._count += 1
        if self.spoils:
            self.spoils -= 1
            content = content[:-1] + b"?"
        self.objects[bucket, name] = (content, self._count, resource.get("metadata", {}))
        self.written.append(name)
        return self._resource(bucket, name)

    def _resource(self, bucket: str, name: str) -> dict[str, Any]:
        content, generation, metadata = self.objects[bucket, name]
        crc32c = base64.b64encode(google_crc32c.Checksum(content).digest()).decode()
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": name,
            "generation": str(generation),
            "size": str(len(content)),
            "crc32c": crc32c,
            "metadata": metadata,
        }
