"""Asks this container's own /health/ready; run as `python -I -S healthcheck.py`.

Guarantee: exit code 0 if it answers 2xx, else 1 and the answer on standard output, where
`docker inspect` shows it. Imports nothing heavy, since it runs every few seconds in each container.
"""

import os
import socket
import sys

TIMEOUT_SECONDS = 4.0
MAX_ANSWER_BYTES = 4096


def main() -> int:
    """Ask once."""
    address = ("127.0.0.1", int(os.environ["HTTP_PORT"]))
    request = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = b""
    try:
        with socket.create_connection(address, TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            while len(answer) < MAX_ANSWER_BYTES and (chunk := connection.recv(4096)):
                answer += chunk
    except OSError as error:
        sys.stdout.write(f"port {address[1]}: {error}\n")
        return 1
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].decode(errors="replace")
    if status.split(" ")[1:2] and status.split(" ")[1].startswith("2"):
        return 0
    sys.stdout.write(f"{status} {body.decode(errors='replace')}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
