"""A key stands for one job at a time, and only that job gives it up."""

import asyncio
import time

from latentaudio.serve.content import FileEncoding
from latentaudio.serve.entries import Entry
from latentaudio.serve.idempotency import IdempotencyKeys
from latentaudio.serve.schemas import Job

KEY = "my key"
BODY = "0" * 64


def entry(name):
    job = Job(
        id=name, status="failed", created=time.time(), model="m", verb="generate", format="wav",
        num_clips=1, steps_total=1, content_url="", events_url="",
    )  # fmt: skip
    return Entry(job, "owner", FileEncoding(), idempotency=(KEY, BODY))


def test_removing_a_failed_job_keeps_the_key_of_the_next():
    first = entry("first")
    second = entry("second")

    async def play():
        keys = IdempotencyKeys()
        async with keys.reserve("owner", KEY, BODY) as request:
            request.entry = first
        keys.forget(first)  # it failed
        assert await keys.find("owner", KEY, BODY) is None
        async with keys.reserve("owner", KEY, BODY) as request:
            request.entry = second
        keys.forget(first)  # the client removes it
        assert await keys.find("owner", KEY, BODY) is second
        keys.forget(second)
        assert await keys.find("owner", KEY, BODY) is None

    asyncio.run(play())
