"""Traces of single events from the producer's record to the grid, by OpenTelemetry, where wanted.

A producer that traces sends W3C Trace Context along, in the header ``traceparent`` of its record
(https://www.w3.org/TR/trace-context/). What Freshgrid does with that record becomes spans of the
same trace; records without the header cost nothing, and what the producer did not sample is not
recorded. Where spans go, and under which name, the variables of OpenTelemetry say (``OTEL_*``),
which its SDK reads itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from infra.config import Settings
from infra.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

#: Of a record, and of an HTTP request.
TRACEPARENT: Final = "traceparent"
#: 2 + 32 + 16 + 2 digits and what stands between; later versions may add something.
MOST_BYTES: Final = 256
_WELL_FORMED: Final = re.compile(
    r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII
)
_EXTRA: Final = "pip install 'freshgrid[telemetry]'"


def traceparent_of(record: object) -> str | None:
    """The trace that a record of Kafka is part of, as its producer says, if it does."""
    for name, value in getattr(record, "headers", None) or ():
        if name == TRACEPARENT and len(value) <= MOST_BYTES:
            return bytes(value).decode("latin-1")
    return None


def well_formed(traceparent: str | None) -> str:
    """What a caller says that it is part of, empty unless it may be a trace: it is passed on."""
    if traceparent is None or len(traceparent) > MOST_BYTES:
        return ""
    return traceparent if _WELL_FORMED.fullmatch(traceparent) else ""


class Traces:
    """The spans of one process."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("freshgrid")
        self._propagator = TraceContextTextMapPropagator()

    def begin(
        self,
        name: str,
        parents: Iterable[str],
        attributes: Mapping[str, str | int],
        start_ns: int | None = None,
    ) -> Span | None:
        """A span of the trace of the newest parent, linked with the others.

        Args:
            parents: as ``traceparent`` has them, oldest first; those that are none are left out.
            start_ns: when it began, epoch ns; now by default.

        Returns:
            The span, to be ended; None without a parent.
        """
        from opentelemetry.trace import Link, SpanKind, get_current_span

        contexts = [self._propagator.extract({TRACEPARENT: parent}) for parent in parents]
        known = [of for of in contexts if get_current_span(of).get_span_context().is_valid]
        if not known:
            return None
        return self._tracer.start_span(
            name,
            context=known[-1],
            kind=SpanKind.CONSUMER,
            attributes={"messaging.system": "kafka", **attributes},
            links=[Link(get_current_span(of).get_span_context()) for of in known[:-1]],
            start_time=start_ns,
        )

    def parent(self, span: Span) -> str:
        """``traceparent`` of what comes of a span."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return carrier[TRACEPARENT]

    def close(self) -> None:
        """Send the spans that are left, and no more."""
        self._provider.shutdown()


def open_traces(
    settings: Settings, role: str, exporter: SpanExporter | None = None
) -> Traces | None:
    """The traces of a process, None where none are wanted (``TRACES``).

    Args:
        role: of the process, part of the name of its service unless ``OTEL_SERVICE_NAME`` has one.
        exporter: where spans go, each at once; by OTLP over HTTP otherwise.

    Raises:
        SettingsError: they are wanted, and the library is missing.
    """
    if not settings.traces:
        return None
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise SettingsError(f"TRACES=true needs OpenTelemetry: {_EXTRA}")
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    resource = Resource.create({"service.name": f"freshgrid-{role}"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    else:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError as error:
            raise SettingsError(f"TRACES=true needs an exporter: {_EXTRA}") from error
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)
