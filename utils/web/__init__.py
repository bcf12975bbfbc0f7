"""From a request to its envelope."""

from werkzeug import Response

from utils.web.api import Api
from utils.web.origin import allow_origin, check_origin
from utils.web.request import Request, choose_uuid
from utils.web.service import Envelope, Service

__all__ = [
    "Api",
    "Envelope",
    "Request",
    "Response",
    "Service",
    "allow_origin",
    "check_origin",
    "choose_uuid",
]
