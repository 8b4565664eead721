"""What the settings of embedding mean: threads by kind of source, workers, and a connection for every thread."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pinery.config_file import load_config
from pinery.errors import ConfigError
from pinery.run_settings import MAX_FETCH_THREADS
from pinery.source_kinds import S3Source
from pinery.sources.s3 import S3Prefix
from tests.corpora import config, listed_items
from tests.s3_server import S3Server

S3 = {"kind": "s3", "uri": "s3://photos/nightly"}


@pytest.mark.parametrize(
    ("source", "run", "threads"),
    [
        ({}, {}, 16),
        ({}, {"fetch_threads": "auto"}, 16),
        ({}, {"fetch_threads": 3}, 3),
        ({"source": S3}, {}, 64),
        ({"source": S3}, {"fetch_threads": "auto"}, 64),
        ({"source": S3}, {"fetch_threads": 256}, 256),
    ],
    ids=str,
)
def test_fetching_threads_by_kind_of_source(source: Any, run: Any, threads: int, tmp_path: Path) -> None:
    settings = load_config(config(tmp_path, tmp_path / "state", **source, run=run))
    assert settings.run.fetch_threads == threads
    # What a flow or a worker is passed says the same.
    assert load_config(settings.model_dump(mode="json")).run.fetch_threads == threads


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": {"fetch_threads": "many"}}, "fetch_threads"),
        ({"run": {"fetch_threads": 257}}, "fetch_threads"),
        ({"run": "fast"}, "run"),
        ({"runner": {"kind": "threads", "workers": 2}}, "`workers` are processes"),
        ({"runner": {"workers": 0}}, "workers"),
        ({"runner": {"kind": "dask"}}, "kind"),
        ({"runner": {"kind": "processes", "num_gpus": 1}}, "only `kind: ray` has `num_gpus`"),
        ({"runner": {"address": "auto"}}, "only `kind: ray` has `address`"),
        ({"runner": {"kind": "ray", "num_cpus": 0}}, "can't both be 0"),
        ({"runner": {"kind": "ray", "num_gpus": 1.5}}, "whole number, or less than 1"),
        ({"runner": {"kind": "ray"}, "model": {"name": "descriptor", "device": "cuda:1"}}, "`model.device` to cuda"),
        ({"runner": {"kind": "ray"}, "model": {"name": "descriptor", "device": "cuda"}}, "needs `runner.num_gpus`"),
        ({"model": {"name": "descriptor", "decode": "quick"}}, "decode"),
        ({"model": {"name": "descriptor", "batch": 0}}, "batch"),
    ],
    ids=str,
)
def test_what_can_not_be_is_refused_by_name(changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(config(tmp_path, tmp_path / "state", **changes))


def test_every_thread_keeps_a_connection_of_its_own(
    s3_server: S3Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = 96
    bucket = s3_server.new_bucket()
    s3_server.client().put_object(Bucket=bucket, Key="1.jpg", Body=b"bytes")
    source = S3Prefix(S3Source(kind="s3", uri=f"s3://{bucket}", endpoint_url=s3_server.endpoint_url))
    [item] = listed_items(source)
    together = threading.Barrier(threads, timeout=60)
    answer = s3_server._run

    def all_at_once(environ: Any, start_response: Any) -> bytes:
        together.wait()
        return answer(environ, start_response)

    monkeypatch.setattr(s3_server, "_run", all_at_once)
    with caplog.at_level(logging.WARNING, "urllib3.connectionpool"), ThreadPoolExecutor(threads) as pool:
        fetched = list(pool.map(lambda _: source.fetch(item.uri, item.version, 100), range(2 * threads)))
    assert fetched == [b"bytes"] * 2 * threads
    assert [record.message for record in caplog.records] == []
    assert source._bucket.client.meta.config.max_pool_connections == MAX_FETCH_THREADS
    assert (source._bucket.client.meta.config.connect_timeout, source._bucket.client.meta.config.read_timeout) == (
        5,
        30,
    )
