"""An S3 server on this machine, and a connection to it that breaks."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


class ObjectStore(NamedTuple):
    """A running server."""

    port: int
    client: Any

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, bucket: str, key: str, content: bytes) -> str:
        """Put an object; returns its address."""
        self.client.put_object(Bucket=bucket, Key=key, Body=content, ACL="public-read")  # over http, too
        return f"s3://{bucket}/{key}"

    def get(self, bucket: str, key: str) -> bytes:
        found: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return found

    def keys(self, bucket: str) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=bucket)
        return sorted(item["Key"] for item in listed.get("Contents", []))


@contextlib.contextmanager
def serve_objects() -> Iterator[ObjectStore]:
    """Moto's S3 server on a free port of 127.0.0.1, with the bucket ``slides``."""
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    s3fs.S3FileSystem.clear_instance_cache()  # they keep the endpoint of an earlier server
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name="us-east-1",
        )
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST")).close()
        client.create_bucket(Bucket="slides")
        yield ObjectStore(port, client)
    finally:
        server.stop()


class BreakingProxy:
    """Passes bytes on to a server of this machine, and breaks off answers.

    Args:
        port: the server's.
        after: bytes of an answer after which the connection is closed.
        breaks: how many answers are broken off; those shorter than ``after`` pass.
    """

    def __init__(self, port: int, after: int, breaks: int) -> None:
        self.after = after
        self.breaks_left = breaks
        self.passed = 0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> BreakingProxy:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        count = 0
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 14):
                target.sendall(chunk)
                if not is_answer:
                    count = 0
                    continue
                self.passed += len(chunk)
                count += len(chunk)
                if count > self.after and self.breaks_left > 0:
                    self.breaks_left -= 1
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
