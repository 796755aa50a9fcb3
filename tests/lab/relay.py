#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the QEMU that plays the host (L0): passes the script's output on, is the hand that L1's
scripts have on the monitor, and ends with the script's status.

    relay.py DIR TIMEOUT -- QEMU ARG...

QEMU connects to DIR/out (output), DIR/status ("up", "exit N") and DIR/hand (a line in; lines that
begin with a space and a status line out), and listens on DIR/qmp. Status 124: out of time, 125: L1
ended without a status, 126: it did so before the script began (the reason is on stderr).
"""
import ctypes
import hashlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time


class Monitor:
    """QEMU's monitor, connected at the first use."""

    def __init__(self, path):
        self.path, self.sock = path, None

    def ask(self, command, **arguments):
        if self.sock is None:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(30)
            sock.connect(self.path)
            self.lines = sock.makefile("r")
            self.sock = sock
            self.lines.readline()  # the greeting
            self.ask("qmp_capabilities")
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            line = self.lines.readline()
            if not line:
                raise OSError("the monitor is gone")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise OSError(answer["error"]["desc"])


def checksum(folder, card, offset="0", length=str(1 << 20)):
    path = os.path.join(folder, os.path.basename(card) + ".img")
    with open(path, "rb") as disk:
        disk.seek(int(offset, 0))
        return hashlib.sha256(disk.read(int(length, 0))).hexdigest()


def picture(folder, monitor, device):
    """What a display shows: "WIDTHxHEIGHT SHA256-OF-ITS-RGB-BYTES"."""
    path = os.path.join(folder, "picture.ppm")
    monitor.ask("screendump", filename=path, device=device)
    with open(path, "rb") as file:
        if file.readline() != b"P6\n":
            raise ValueError("the monitor gave no picture")
        width, height = file.readline().split()
        file.readline()  # the greatest value of a byte
        return f"{int(width)}x{int(height)} {hashlib.sha256(file.read()).hexdigest()}"


def hand(folder, monitor, line):
    """One line of an L1 script; returns the answer's text and status."""
    words = line.split()
    try:
        if words[:1] == ["checksum"]:
            return checksum(folder, *words[1:]), 0
        if words[:1] == ["picture"]:
            return picture(folder, monitor, *words[1:]), 0
        text = monitor.ask("human-monitor-command", **{"command-line": line})
        return text, 1 if text.startswith(("Error:", "unknown command")) else 0
    except (OSError, TypeError, ValueError) as error:
        return f"l0: {error}", 1


def die_with_parent(number=signal.SIGKILL):
    ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG


def write_all(data):
    while data:
        data = data[os.write(1, data):]


def main():
    folder, timeout = sys.argv[1], float(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    die_with_parent(signal.SIGTERM)
    selector = selectors.DefaultSelector()
    for name in ("out", "status", "hand"):
        server = socket.socket(socket.AF_UNIX)
        server.bind(os.path.join(folder, name))
        server.listen(1)
        selector.register(server, selectors.EVENT_READ, name + "!")
    qemu = subprocess.Popen(sys.argv[4:], stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
                            stdout=sys.stderr)
    monitor = Monitor(os.path.join(folder, "qmp"))
    start, end = time.monotonic(), time.monotonic() + timeout
    text, status, up, live = {"status": b"", "hand": b""}, None, False, 0
    try:
        while True:
            left = end - time.monotonic()
            if left <= 0:
                print(f"lab: out of time after {timeout:g} s"
                      f"{'' if up else ' (L1 did not come up)'}; L1 is ended", file=sys.stderr)
                return 124
            if qemu.poll() is not None and not live:
                break
            for key, _ in selector.select(min(left, 0.5)):
                name = key.data
                if name.endswith("!"):
                    client = key.fileobj.accept()[0]
                    selector.register(client, selectors.EVENT_READ, name[:-1])
                    live += 1
                    continue
                try:
                    data = key.fileobj.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    selector.unregister(key.fileobj)
                    live -= 1
                elif name == "out":
                    write_all(data)
                else:
                    *lines, text[name] = (text[name] + data).split(b"\n")
                    for line in (raw.decode(errors="replace") for raw in lines):
                        if name == "hand":
                            reply, code = hand(folder, monitor, line)
                            body = "".join(f" {row}\n" for row in reply.splitlines())
                            key.fileobj.sendall(f"{body}{code}\n".encode())
                        elif line.startswith("up"):
                            up = True
                            if os.environ.get("LAB_VERBOSE"):
                                print(f"lab: L1 up after {time.monotonic() - start:.1f} s",
                                      file=sys.stderr)
                        elif line.startswith("exit "):
                            status = int(line.split()[1])
                            monitor.ask("quit")
        if status is None:
            print(f"lab: L1 ended by itself ({'while the script ran' if up else 'before the script began'}"
                  f", QEMU's status {qemu.returncode})", file=sys.stderr)
            return 125 if up else 126
        return status
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    finally:
        if qemu.poll() is None:
            qemu.terminate()
            try:
                qemu.wait(3)
            except subprocess.TimeoutExpired:
                qemu.kill()
                qemu.wait()


if __name__ == "__main__":
    sys.exit(main())
