"""What a request can be answered with, but an answer."""

from __future__ import annotations


class RequestError(Exception):
    """A request that is not answered; its text is for the client.

    Attributes:
      http: status code in REST.
      grpc: name of the status code in gRPC.
    """

    http = 500
    grpc = "INTERNAL"


class BadRequestError(RequestError):
    """The request is wrong; the same one is wrong again."""

    http = 400
    grpc = "INVALID_ARGUMENT"


class NotServedError(RequestError):
    """No such model, version or label is served."""

    http = 404
    grpc = "NOT_FOUND"


class NotReadyError(RequestError):
    """It will be served: later is worth a try."""

    http = 503
    grpc = "UNAVAILABLE"
