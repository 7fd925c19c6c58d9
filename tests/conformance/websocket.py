"""Runs the cases of Autobahn|Testsuite against a WebSocket server, and is such a server: `websocket.py run URL OUT [PREFIX...]`, `websocket.py echo`.

The suite (autobahntestsuite of PyPI) is Python 2 and its runner needs a library of that time. Its cases are what counts: they are read as they
are, converted while they are imported, and run here over autobahn for Python 3. Texts of Python 2 are bytes; they stay texts of one byte a
character in the cases, and become bytes where they leave them.

Prints nothing but the port of the echo server; the results are JSON: case, behaviour, behaviour at the end.
"""

import importlib.abc
import importlib.util
import binascii
import json
import os
import sys
import warnings

import zope.interface

warnings.simplefilter("ignore")

from lib2to3 import refactor  # noqa: E402  (deprecated, and in Debian's Python)

from twisted.internet import reactor  # noqa: E402
from autobahn.websocket import utf8validator  # noqa: E402
from autobahn.twisted.websocket import (  # noqa: E402
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)

SUITE = "autobahntestsuite"
# Of the library, since the suite was written.
RENAMED = {
    "NoContextTakeover": "_no_context_takeover",
    "noContextTakeover": "no_context_takeover",
    "MaxWindowBits": "_max_window_bits",
    "windowBits": "window_bits",
}
AT_ONCE = 16
# Cases end by themselves; one that hangs is a failure of its own and not of the run.
CASE_SECONDS = 100


def as_bytes(text):
    return text.encode("latin-1") if isinstance(text, str) else text


def as_text(value):
    """Bytes as the texts of Python 2, wherever they are in a value."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("latin-1")
    if isinstance(value, (list, tuple)):
        return type(value)(as_text(part) for part in value)
    return value


class Converted(importlib.abc.Loader, importlib.abc.MetaPathFinder):
    """Imports the suite's modules, converted to Python 3 on their way."""

    def __init__(self):
        self.folder = importlib.util.find_spec(SUITE).submodule_search_locations[0]
        fixes = refactor.get_fixers_from_package("lib2to3.fixes")
        self.tool = refactor.RefactoringTool(fixes)

    def find_spec(self, name, path, target=None):
        if name != SUITE and not name.startswith(SUITE + "."):
            return None
        at = os.path.join(self.folder, *name.split(".")[1:])
        package = os.path.isdir(at)
        file = os.path.join(at, "__init__.py") if package else at + ".py"
        return importlib.util.spec_from_file_location(
            name, file, loader=self, submodule_search_locations=[at] if package else None
        )

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        # The package itself begins with a runner that nobody needs here.
        if module.__name__ == SUITE:
            return
        # A byte, a character: as Python 2 read it.
        with open(module.__spec__.origin, encoding="latin-1") as file:
            # Every class is an object by now, and may not be one twice.
            text = file.read().replace("(object, ", "(") + "\n"
        for old, new in RENAMED.items():
            text = text.replace(old, new)
        module.__file__ = module.__spec__.origin
        # By its path the converter finds out which imports are of neighbours.
        text = str(self.tool.refactor_string(text, module.__file__))
        exec(compile(text, module.__file__, "exec"), module.__dict__)


def read_cases():
    hexadecimal = binascii.b2a_hex

    def b2a_hex(data, *rest):
        # Cases describe their payloads, which are texts to them.
        return hexadecimal(as_bytes(data), *rest).decode() if isinstance(data, str) else hexadecimal(data, *rest)

    binascii.b2a_hex = b2a_hex

    class Validator(utf8validator.Utf8Validator):
        def validate(self, data):
            return super().validate(as_bytes(data))

    utf8validator.Utf8Validator = Validator
    # A note to the reader in a class, gone since.
    zope.interface.implements = lambda *interfaces: None
    sys.meta_path.insert(0, Converted())
    from autobahntestsuite import case as cases
    from autobahntestsuite.caseset import CaseSet

    cases.Case.compare = lambda self, one, other: as_text(one) == as_text(other)
    numbers = CaseSet(
        cases.CaseSetname, cases.CaseBasename, cases.Cases, cases.CaseCategories, cases.CaseSubCategories
    )
    return {numbers.caseClasstoId(case): case for case in cases.Cases}


class Client(WebSocketClientProtocol):
    """What the cases call `p`."""

    def connectionMade(self):
        self.createWirelog = False
        self.connectionWasOpen = False
        self.wirelog, self.rxFrameStats, self.txFrameStats, self.rxOctetStats, self.txOctetStats = [], {}, {}, {}, {}
        WebSocketClientProtocol.connectionMade(self)
        self.runCase = self.factory.case(self)
        if self.runCase.perMessageDeflate:
            self.perMessageCompressionOffers = self.runCase.perMessageDeflateOffers
            self.perMessageCompressionAccept = self.runCase.perMessageDeflateAccept

    def connectionLost(self, reason):
        WebSocketClientProtocol.connectionLost(self, reason)
        self.runCase.onConnectionLost(self.failedByMe)
        self.factory.ended(self.runCase.behavior, self.runCase.behaviorClose)

    def onOpen(self):
        self.connectionWasOpen = True
        self.runCase.onOpen()

    def onMessage(self, payload, isBinary):
        self.runCase.onMessage(as_text(payload), isBinary)

    def onPing(self, payload):
        self.runCase.onPing(as_text(payload))

    def onPong(self, payload):
        self.runCase.onPong(as_text(payload))

    def onClose(self, wasClean, code, reason):
        self.runCase.onClose(wasClean, code, reason)

    def enableWirelog(self, enable):
        self.createWirelog = enable

    def later(self, delay, act):
        reactor.callLater(delay, lambda: act() if self.state != self.STATE_CLOSED else None)

    def continueLater(self, delay, act, tag=None):
        self.later(delay, act)

    def killAfter(self, delay):
        self.later(delay, self.failConnection)

    def closeAfter(self, delay):
        self.later(delay, self.sendClose)

    def failConnection(self, code=1001, reason="Going Away"):
        self._fail_connection(code, reason)

    def sendFrame(self, opcode, payload=b"", **rest):
        super().sendFrame(opcode, payload=as_bytes(payload), **rest)

    def sendMessage(self, payload, isBinary=False, **rest):
        super().sendMessage(as_bytes(payload), isBinary, **rest)

    def sendMessageFrameData(self, payload, sync=False):
        return super().sendMessageFrameData(as_bytes(payload), sync)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code, as_bytes(reasonUtf8), isReply)

    def sendPing(self, payload=None):
        super().sendPing(as_bytes(payload))

    def sendPong(self, payload=None):
        super().sendPong(as_bytes(payload))


class One(WebSocketClientFactory):
    """One case."""

    protocol = Client
    noisy = False

    def __init__(self, url, name, case, ended):
        WebSocketClientFactory.__init__(self, url)
        self.case, self.name, self.say = case, name, ended
        self.logOctets = self.logFrames = False
        self.over = False
        self.setProtocolOptions(failByDrop=False)
        self.late = reactor.callLater(CASE_SECONDS, self.ended, "HANGS", "HANGS")

    def ended(self, behavior, at_end):
        if not self.over:
            self.over = True
            if self.late.active():
                self.late.cancel()
            self.say(self.name, behavior, at_end)

    def clientConnectionFailed(self, connector, reason):
        self.ended("NOT CONNECTED", "NOT CONNECTED")


def run(url, out, prefixes):
    cases = read_cases()
    numbers = lambda name: [int(part) for part in name.split(".")]  # noqa: E731
    wanted = [name for name in cases if any((name + ".").startswith(prefix + ".") for prefix in prefixes)]
    left = sorted(wanted, key=numbers, reverse=True)
    results = {}

    def begin():
        name = left.pop()
        factory = One(url, name, cases[name], ended)
        reactor.connectTCP("127.0.0.1", factory.port, factory)

    def ended(name, behavior, at_end):
        results[name] = {"behavior": behavior, "at_end": at_end}
        if left:
            begin()
        elif len(results) == len(wanted):
            reactor.stop()

    for _ in range(min(AT_ONCE, len(left))):
        reactor.callWhenRunning(begin)
    reactor.run()
    with open(out, "w", encoding="utf-8") as file:
        json.dump(results, file)


class Echo(WebSocketServerProtocol):
    def onMessage(self, payload, isBinary):
        self.sendMessage(payload, isBinary)


def echo():
    factory = WebSocketServerFactory()
    factory.protocol = Echo
    factory.setProtocolOptions(failByDrop=False)
    print(reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo()
    else:
        run(sys.argv[2], sys.argv[3], sys.argv[4:])
