"""Counters for Prometheus, one registry for each server."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The counters of one server.

    Attributes:
        requests: Answers by route, method and status.
        jobs: Jobs that have ended, by status.
        steps: Sampling steps.
        audio_seconds: Seconds of generated audio.
        job_seconds: Time from the arrival of a job to its end.
        cache_hits: Requests that were answered with the clips of earlier ones.
        streams: Streams that are sent.
        queue: Jobs that wait or run.
        models_loaded: Models in memory.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        prefix = "latentaudio_"
        self.requests = Counter(
            f"{prefix}http_requests",
            "Answers.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self.jobs = Counter(
            f"{prefix}jobs", "Jobs that have ended.", ("status",), registry=self._registry
        )
        self.steps = Counter(f"{prefix}steps", "Sampling steps.", registry=self._registry)
        self.audio_seconds = Counter(
            f"{prefix}audio_seconds", "Seconds of generated audio.", registry=self._registry
        )
        self.job_seconds = Histogram(
            f"{prefix}job_seconds",
            "Seconds from arrival to end.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.cache_hits = Counter(
            f"{prefix}cache_hits", "Requests answered from the cache.", registry=self._registry
        )
        self.streams = Gauge(f"{prefix}streams", "Streams that are sent.", registry=self._registry)
        self.queue = Gauge(f"{prefix}queue", "Jobs that wait or run.", registry=self._registry)
        self.models_loaded = Gauge(
            f"{prefix}models_loaded", "Models in memory.", registry=self._registry
        )

    def render(self) -> bytes:
        """Return all counters as text."""
        return generate_latest(self._registry)
