"""What `clients.rs` runs to try the Python client: says as lines of JSON what the client calls."""

import json
import sys

sys.path.insert(0, sys.argv[1])
from tend_config import ConfigClient  # noqa: E402  (its folder is an argument)


def say(**line):
    print(json.dumps(line), flush=True)


def check(values):
    if values.get("reject"):
        raise ValueError("rejected by the check")


def fails(key, new, old):
    if new is not None:
        raise RuntimeError("cannot do that")


client = ConfigClient(sys.argv[2])
client.check(check)
client.on("fails", fails)
client.on("*", lambda key, new, old: say(key=key, new=new, old=old, held=client.revision))
client.on("limits.*", lambda key, new, old: say(limit=key))
client.start()
sys.stdin.read()  # until the test has seen enough
client.close()
say(closed=True)
