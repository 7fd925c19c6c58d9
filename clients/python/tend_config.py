"""A service's configuration while it runs, from tend's watch endpoint. One file, nothing but the standard library.

    from tend_config import ConfigClient

    client = ConfigClient()                       # the socket named by TEND_CONFIG_SOCKET
    client.check(lambda values: None)             # raise to refuse a whole set: the one before stays in force
    client.on("limits.*", lambda key, new, old: print(key, "is", new, "now"))
    client.start()
    client.wait_for_first(5)
    client.get("limits.orders")

A callback that raises does not keep the others from running; tend is told which failed and why, so never put a secret into
an exception. The protocol is in docs/reference/config-watch.md.
"""

import http.client
import json
import os
import socket
import threading

SILENCE_MAX = 30.0  # seconds; tend says something every ten
PAUSES = (0.05, 0.5)  # seconds between tries to connect: the first and the longest
GONE = None  # what a callback gets as `new` for a key that is gone, and as `old` for one that was not there


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("tend", timeout=SILENCE_MAX)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class ConfigClient:
    """Holds the configuration that was last known good. All methods may be called from any thread."""

    def __init__(self, path=None, keys=()):
        """`path` is the socket; `keys` are patterns (`a.b`, `a.*`), all keys where there are none."""
        self._path = path or os.environ.get("TEND_CONFIG_SOCKET")
        if not self._path:
            raise ValueError("there is no TEND_CONFIG_SOCKET in the environment, and no path was given")
        self._keys = [_pattern(key) for key in keys]
        self._checks = []
        self._callbacks = []
        self._held = (0, {})
        self._received = (0, {})
        self._said = None
        self._first = threading.Event()
        self._stopped = threading.Event()
        self._connection = None
        self._lock = threading.Lock()
        self._thread = None

    def check(self, check):
        """Adds `check(values)`, run before a set is held; raising keeps the set before in force."""
        self._checks.append(check)
        return self

    def on(self, pattern, callback):
        """Has `callback(key, new, old)` run for each key that changes and fits `a.b`, `a.*` or `*`. At first all are new."""
        self._callbacks.append((_pattern(pattern), callback))
        return self

    def start(self):
        """Starts the thread that reads. Whether tend is there is not waited for."""
        self._thread = threading.Thread(target=self._run, name="tend-config", daemon=True)
        self._thread.start()
        return self

    def close(self):
        """Ends the thread."""
        self._stopped.set()
        with self._lock:
            if self._connection is not None and self._connection.sock is not None:
                try:
                    self._connection.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it has ended already
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def revision(self):
        """The revision that is held; 0 before the first."""
        return self._held[0]

    @property
    def values(self):
        """All values that are held, as a copy."""
        return dict(self._held[1])

    def get(self, key, default=None):
        """One value that is held."""
        return self._held[1].get(key, default)

    def wait_for_first(self, timeout=None):
        """Waits until a set is held; False when there is none within `timeout` seconds."""
        return self._first.wait(timeout)

    def _run(self):
        pause = PAUSES[0]
        while not self._stopped.is_set():
            before = self._received[0]
            try:
                self._read()
            except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
                pass  # tend is away, or said what is not understood: begin anew
            finally:
                with self._lock:
                    connection, self._connection = self._connection, None
                if connection is not None:
                    connection.close()
            if self._received[0] != before:
                pause = PAUSES[0]
            self._stopped.wait(pause)
            pause = min(pause * 2, PAUSES[1])

    def _read(self):
        """Reads events until the connection ends."""
        connection = _Connection(self._path)
        connection.connect()
        with self._lock:
            self._connection = connection
            if self._stopped.is_set():
                return
        headers = {"Accept": "text/event-stream"}
        if self._received[0]:
            headers["Last-Event-ID"] = str(self._received[0])
        query = "?keys=" + ",".join(self._keys) if self._keys else ""
        connection.request("GET", "/v1/config/events" + query, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError("tend answered %d" % answer.status)
        if self._said is not None:
            self._say()
        kind, data = "", ""
        while True:
            line = answer.readline()
            if not line.endswith(b"\n"):
                raise OSError("the stream has ended")
            line = line.decode("utf-8").rstrip("\r\n")
            if line.startswith("event:"):
                kind = line[6:].strip()
            elif line.startswith("data:"):
                data += line[5:].lstrip()
            elif not line:
                if kind == "config":
                    self._event(data)
                kind, data = "", ""

    def _event(self, data):
        try:
            event = json.loads(data)
            values = {} if event["whole"] else dict(self._received[1])
            for key in event["removed"]:
                values.pop(key, None)
            values.update(event["changed"])
            self._received = (event["revision"], values)
        except (ValueError, KeyError, TypeError):
            self._received = (0, {})  # what is not understood is asked for again as a whole
            raise
        error = self._take()
        self._said = {"revision": self._received[0]}
        if error:
            self._said["error"] = error
        self._say()

    def _take(self):
        """Holds what was received and tells the callbacks; returns why not, or which of them failed."""
        revision, new = self._received
        for check in self._checks:
            try:
                check(dict(new))
            except Exception as error:  # a check is the service's own code and may raise anything
                return _text(error)
        old = self._held[1]
        self._held = (revision, new)
        self._first.set()
        failures = []
        for key in sorted(new.keys() | old.keys()):
            # 1 == True in Python, but not in JSON.
            if json.dumps([key in new, new.get(key)]) == json.dumps([key in old, old.get(key)]):
                continue
            for pattern, callback in self._callbacks:
                if _fits(pattern, key):
                    try:
                        callback(key, new.get(key, GONE), old.get(key, GONE))
                    except Exception as error:  # the others run all the same
                        failures.append("%s: %s" % (key, _text(error)))
        return "; ".join(failures)

    def _say(self):
        """Tells tend what was made of the last revision; raises when it was not heard, which begins the connection anew."""
        connection = _Connection(self._path)
        try:
            connection.request("POST", "/v1/config/ack", json.dumps(self._said), {"Content-Type": "application/json"})
            if connection.getresponse().status >= 500:
                raise OSError("tend did not take the acknowledgement")
        finally:
            connection.close()


def _text(error):
    return str(error) or type(error).__name__


def _pattern(pattern):
    prefix = pattern[:-1] if pattern.endswith("*") else None
    if prefix is None:
        fine = pattern and "*" not in pattern and "," not in pattern
    else:
        fine = "*" not in prefix and (not prefix or (len(prefix) > 1 and prefix.endswith(".")))
    if not fine:
        raise ValueError("`%s` is no pattern of keys: a key, `prefix.*` or `*`" % pattern)
    return pattern


def _fits(pattern, key):
    return key.startswith(pattern[:-1]) if pattern.endswith("*") else key == pattern
