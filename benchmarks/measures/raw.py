"""What the broker itself carries: confirmed, persistent messages through a durable queue, each acknowledged.

`raw_throughput`: as many as it takes, from one process to another; at most 2 MiB are under way unconfirmed, as in a
session of ours. `raw_messages`: one now and then, as offers come to an idle fleet. `syncs`: what the disk below does.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import aio_pika

from contracts.timing import WINDOW_BYTES

MB = 1_000_000


def raw_throughput(url: str, block: int, size: int) -> float:
    """MB/s of `size` bytes in messages of `block`, by aio-pika on both ends, each in a process of its own."""
    queue = f"raw-{uuid4().hex}"
    context = multiprocessing.get_context("spawn")
    ready, result = context.Event(), context.Queue()
    consumer = context.Process(target=_consume, args=(url, queue, size, ready, result))
    consumer.start()
    try:
        if not ready.wait(60):
            raise RuntimeError("the raw broker's consumer did not start")
        began = asyncio.run(_publish(url, queue, block, size))
        ended: float = result.get(timeout=300)
        return size / MB / (ended - began)
    finally:
        consumer.join(30)


def _consume(url: str, queue: str, size: int, ready: object, result: object) -> None:
    asyncio.run(_consume_all(url, queue, size, ready, result))


async def _consume_all(url: str, name: str, size: int, ready: object, result: object) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=2000)
        queue = await channel.declare_queue(name, durable=True)
        over = asyncio.get_running_loop().create_future()
        got = 0

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            nonlocal got
            got += len(message.body)
            await message.ack()
            if got >= size and not over.done():
                over.set_result(time.monotonic())

        tag = await queue.consume(take)
        ready.set()  # type: ignore[attr-defined]  # a multiprocessing event
        result.put(await over)  # type: ignore[attr-defined]  # a multiprocessing queue
        await queue.cancel(tag)
        await queue.delete(if_unused=False, if_empty=False)


async def _publish(url: str, queue: str, block: int, size: int) -> float:
    body = bytes(block)
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        room = asyncio.Semaphore(max(1, WINDOW_BYTES // block))

        async def publish() -> None:
            try:
                await channel.default_exchange.publish(
                    aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT), queue
                )
            finally:
                room.release()

        began = time.monotonic()
        tasks = []
        for _ in range(size // block):
            await room.acquire()
            tasks.append(asyncio.ensure_future(publish()))
        await asyncio.gather(*tasks)
        return began


@contextmanager
def raw_messages(url: str, every: float) -> Iterator[list[float]]:
    """While the block runs, a message each `every` seconds. The list fills with ms from a publish to its delivery."""
    times: list[float] = []
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(lambda: asyncio.run(_send_until(over, url, every, times)))
        try:
            yield times
        finally:
            over.set()
            sending.result()


async def _send_until(over: threading.Event, url: str, every: float, times: list[float]) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        queue = await channel.declare_queue(f"raw-{uuid4().hex}", durable=True)
        sent = 0.0

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            times.append(1000 * (time.monotonic() - sent))
            await message.ack()

        tag = await queue.consume(take)
        while not over.is_set():
            sent = time.monotonic()
            await channel.default_exchange.publish(
                aio_pika.Message(b"raw", delivery_mode=aio_pika.DeliveryMode.PERSISTENT), queue.name
            )
            await asyncio.sleep(every)
        await queue.cancel(tag)
        await queue.delete(if_unused=False, if_empty=False)


def syncs(folder: Path, count: int, every: float) -> list[float]:
    """ms that `fsync` takes after a few bytes more in a file of `folder`, `count` times, one each `every` seconds."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(count):
            file.write(bytes(300))
            file.flush()
            began = time.monotonic()
            os.fsync(file.fileno())
            times.append(1000 * (time.monotonic() - began))
            time.sleep(every)
    return times
