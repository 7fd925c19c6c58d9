"""Checks a journal of tend with nothing of tend: python3 and openssl. Written from docs/reference/format-journal.md alone.

Usage: verify_journal.py STATE_FOLDER     Prints what is wrong, one line each; exits 1 when something is.
"""
import hashlib, os, sqlite3, struct, subprocess, sys, tempfile

state = sys.argv[1]
wrong = []
public = bytes.fromhex(open(os.path.join(state, "machine.pub")).read().split()[1])


def signed(line, words):
    """Returns the number and hash of a signed line; none when its signature or its first word is not right."""
    text, _, signature = line.rpartition(" ")
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("key", "text", "signature")]
        key = bytes.fromhex("302a300506032b6570032100") + public
        for path, content in zip(paths, (key, text.encode(), bytes.fromhex(signature))):
            open(path, "wb").write(content)
        check = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", paths[0], "-rawin",
                 "-in", paths[1], "-sigfile", paths[2]]
        good = subprocess.run(check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    word, seq, digest, _ = text.split(" ")
    return (int(seq), bytes.fromhex(digest)) if good and word in words else None


field = lambda content: struct.pack(">I", len(content)) + content
number = lambda value: b"" if value is None else struct.pack(">Q", value)
anchors = [signed(line, ("tend-anchor-1", "tend-closing-1")) for line in open(os.path.join(state, "journal.anchor"))
           .read().splitlines()]
database = sqlite3.connect(f"file:{os.path.join(state, 'tend.db')}?mode=ro", uri=True)
database.text_factory = bytes
seq, digest = 0, bytes(32)
for (statement,) in database.execute("SELECT statement FROM checkpoints ORDER BY seq DESC LIMIT 1"):
    seq, digest = signed(statement.decode(), ("tend-checkpoint-1",)) or (0, bytes(32))
hashes = {seq: digest}
for row in database.execute("SELECT seq, at, mono, principal, subject, kind, data, cause, prev_hash, hash FROM events "
                            "ORDER BY seq"):
    if row[0] != seq + 1:
        wrong.append(f"events {seq + 1} to {row[0] - 1} are missing")
    elif row[8] != digest:
        wrong.append(f"event {row[0]} does not follow")
    parts = [b"tend-event-1", row[8], number(row[0]), number(row[1]), number(row[2]), *row[3:7], number(row[7])]
    seq, digest = row[0], row[9]
    hashes[seq] = digest
    if hashlib.sha256(b"".join(map(field, parts))).digest() != digest:
        wrong.append(f"event {seq} was changed")
for anchor in anchors:
    if anchor is None:
        wrong.append("an anchor is not signed by this machine")
    elif anchor[0] > seq:
        wrong.append(f"the journal ends at {seq}, but {anchor[0]} was anchored")
    elif hashes.get(anchor[0], anchor[1]) != anchor[1]:
        wrong.append(f"event {anchor[0]} is not the one that was anchored")
print("\n".join(dict.fromkeys(wrong)) or f"intact: events up to {seq}, {len(hashes) - 1} of them here, {len(anchors)} anchors")
sys.exit(1 if wrong else 0)
