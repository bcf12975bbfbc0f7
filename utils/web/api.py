"""The base of the api classes: an instance is a checked request, `process()` answers it."""

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from utils.web.fields import decoder_of


class ApiType(msgspec.StructMeta):
    """Lets `PriceOrder(count=200)` check its fields as if they came over the wire."""

    # msgspec itself decodes without a call of the class: this costs requests nothing.

    if not TYPE_CHECKING:  # or it would hide the types of the fields

        def __call__(cls, *args: Any, **fields: Any) -> Any:  # noqa: N805
            decoder = decoder_of(cls)
            return decoder.decode({}, decoder.signature.bind_partial(*args, **fields).arguments)


class Api(msgspec.Struct, kw_only=True, metaclass=ApiType):
    """A request whose annotations are its fields; a default makes a field optional.

    `echoed` names the fields that stand first in every answer. Building one checks
    the fields as those of a request: ParameterError names the one that does not fit.
    """

    echoed: ClassVar[tuple[str, ...]] = ()

    def process(self) -> Any:
        """Return what becomes `data`, or raise a ServiceError."""
        raise NotImplementedError
