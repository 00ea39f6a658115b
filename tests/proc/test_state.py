#!/usr/bin/env python3
"""pandod's data folder: the state file and the log behind it, their size, damage to them, what looks
at them, a full disk and a failing one.

--group full and --group errors are programs of their own, since they need what not every machine
gives: a filesystem that may be mounted, and a module that is loaded before the C library's.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lib")]

import pandotest  # noqa: E402
import zkwire  # noqa: E402
from pandotest import free_port, wait_until  # noqa: E402
from zkwire import ALL, EPHEMERAL, NONODE, OK, READ, SEQUENTIAL, Closed  # noqa: E402

PATIENCE = 60
LONG = 300000
SYSTEMERROR = -1
MIB = 1 << 20
# Small files and many of them, and transactions all the time.
SEGMENT = 2 * MIB
BUSY = {"stateIntervalMs": 20, "logSegmentBytes": SEGMENT, "logRetainBytes": 2 * MIB,
        "jute.maxbuffer": 200000, "maxSessionTimeout": 600000}
# The state file is written at an orderly stop only.
LAZY = dict(BUSY, stateIntervalMs=3600000)
# How far the state file may be behind the log's end, as pando-disk(7) has it.
LOG_BEHIND = 256 * MIB
USER = "anna:secret"
PAGE = os.path.join(pandotest.ROOT, "man", "pando-disk.7")


# -- a tree, and what is seen of it ----------------------------------------------------------------

def private_acl():
    digest = base64.b64encode(hashlib.sha1(USER.encode()).digest()).decode()
    return [(ALL, "digest", "anna:" + digest), (READ, "ip", "127.0.0.1")]


def plant(c):
    """Some of everything."""
    c.must("auth", "digest", USER.encode())
    for path in ("/app", "/app/empty", "/seq", "/eph", "/deep"):
        c.must("create", path)
    c.must("create", "/app/null", None)
    c.must("create", "/app/bytes", bytes(range(256)))
    c.must("create", "/app/b\u00e4ume \u6797", "W\u00e4lder".encode())
    c.must("create", "/app/private", b"mine", private_acl())
    c.must("create", "/app/open", b"yours", zkwire.acl_world(READ | zkwire.ADMIN))
    c.must("set_acl", "/app/empty", zkwire.acl_world(ALL & ~zkwire.DELETE))
    for n in range(5):
        c.must("create", "/seq/n-", b"%d" % n, flags=SEQUENTIAL)
        c.must("create", "/eph/e-", b"", flags=SEQUENTIAL | EPHEMERAL)
    c.must("delete", "/seq/n-0000000004")
    c.must("delete", "/eph/e-0000000001")
    path = "/deep"
    for n in range(60):
        path += "/d%d" % n
        c.must("create", path)
    for n in range(7):
        c.must("set", "/app/bytes", b"v%d" % n * 300)
    c.must("multi", [("create", "/app/m", b"1"), ("set", "/app/m", b"2"), ("check", "/app/m", 1),
                     ("delete", "/app/null")])
    c.must("create", "/app/null", None)


def snapshot(server):
    """Every node that there is: path -> data, Stat, names, ACL."""
    found, level = {}, ["/"]
    with server.client(timeout=LONG) as c:
        c.must("auth", "digest", USER.encode())
        while level:
            below = []
            for path in level:
                data, stat = c.must("get", path)
                names = sorted(c.must("children", path))
                found[path] = (data, stat, names, c.must("get_acl", path)[0])
                below += [path.rstrip("/") + "/" + name for name in names]
            level = below
        c.close_session()
    return found


def same_tree(t, got, want, what):
    differ = [path for path in sorted(set(got) | set(want)) if got.get(path) != want.get(path)]
    t.ok(not differ, "%s: %d nodes differ, first %s: expected %r, got %r" % (
        what, len(differ), differ[:1], [want.get(path) for path in differ[:1]],
        [got.get(path) for path in differ[:1]]))


def metric(server, name):
    for line in server.word("mntr").splitlines():
        key, _, value = line.partition("\t")
        if key == name:
            return int(value)
    raise AssertionError("no metric %s" % name)


def pour(c, count, size, paths=("/big",), window=64):
    """Sets data that size, again and again, many on their way; the errors that came."""
    errors = []
    sent = 0
    for n in range(count):
        c.send("set", paths[n % len(paths)], b"%08d" % n + b"x" * (size - 8))
        sent += 1
        if sent - len(errors) >= window:
            errors.append(c.recv().err)
    while len(errors) < sent:
        errors.append(c.recv().err)
    return errors


def recycled(t, server, at_least, codes=frozenset([OK])):
    """Writes until segments were let go of."""
    with server.client(timeout=LONG) as c:
        if c.err("exists", "/big") != OK:
            for path in ("/big", "/big/0", "/big/1", "/big/2"):
                c.must("create", path)
        paths = ["/big/%d" % n for n in range(3)]

        def enough():
            got = set(pour(c, 20, 60000, paths))
            t.ok(got <= codes, "sets answered %r" % got)
            return metric(server, "pando_log_recycled") >= at_least
        wait_until(enough, "segments to be recycled")
        c.close_session()


# -- files -----------------------------------------------------------------------------------------

def log_files(data):
    folder = os.path.join(data, "log")
    return sorted(os.path.join(folder, name) for name in os.listdir(folder)
                  if name.startswith("log-"))


def every_file(folder):
    """Each file below it: name -> size, digest, and times that a write moves."""
    out = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as f:
                body = hashlib.sha256(f.read()).hexdigest()
            stat = os.stat(path)
            out[os.path.relpath(path, folder)] = (stat.st_size, body, stat.st_mtime_ns)
    return out


def disk_usage(folder):
    """As du: blocks that are taken. A file may go while it is looked for."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(root, name)).st_blocks * 512
    return total


def crc32c(data, crc=0):
    crc ^= 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


class Batch:
    """A batch of a log file, as pando-disk(7) has it."""

    def __init__(self, data, at):
        self.at = at
        (self.magic, _, self.life, self.durable_index, self.durable_offset, self.count,
         self.bytes) = struct.unpack_from(">4sIQQQII", data, at)
        self.records = at + 40
        self.end = (self.records + self.bytes + 7) // 8 * 8


def batches(path):
    with open(path, "rb") as f:
        data = f.read()
    life = struct.unpack_from(">Q", data, 16)[0]
    at, out = 4096, []
    while at + 40 <= len(data):
        batch = Batch(data, at)
        if batch.magic != b"pbch" or batch.life != life:
            break
        out.append(batch)
        at = batch.end
    return out


def patch(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


def flip(path, at, bit=1):
    with open(path, "rb") as f:
        f.seek(at)
        byte = f.read(1)[0]
    patch(path, at, bytes([byte ^ bit]))


@contextlib.contextmanager
def database(path):
    """The state file, as anybody would open it; what its WAL has is then in the file itself."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        yield db
        db.commit()


@contextlib.contextmanager
def copied(folder):
    """A copy of a data folder, to be damaged."""
    with tempfile.TemporaryDirectory(prefix="pando-test-") as away:
        yield shutil.copytree(folder, os.path.join(away, "data"))


# -- pandod as a program ---------------------------------------------------------------------------

def run(*args, **kwargs):
    """(status, output, errors) of a pandod that ends by itself; one that serves is ended, with
    status None."""
    process = subprocess.Popen([pandotest.Pandod.path] + list(args), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)
    try:
        out, err = process.communicate(timeout=PATIENCE / 4)
        return process.returncode, out.decode(), err.decode()
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return None, out.decode(), err.decode()


def serve_options(data, settings):
    out = ["--data", data, "--listen", "127.0.0.1:%d" % free_port()]
    for key, value in settings.items():
        out += ["--set", "%s=%s" % (key, value)]
    return out


def check(t, data, want, what, texts=(), *more):
    """--check-data: its status, what it says, and that it touches nothing."""
    before = every_file(data)
    status, out, err = run("--check-data", data, *more)
    t.eq(status, want, "%s: status of --check-data, which said %r %r" % (what, out, err))
    for text in texts:
        t.ok(text in out, "%s: %r in what --check-data said: %r" % (what, text, out))
    t.ok("anitizer" not in err and "ssertion" not in err, "%s: no crash: %r" % (what, err))
    t.eq(every_file(data), before, "%s: --check-data leaves every byte as it was" % what)
    return out


def refused(t, data, what, texts, settings=None, checked=1, **kwargs):
    """A start ends with status 1 and an error that has all of `texts`, and changes no file but the
    lock; --check-data says the same. What it said."""
    said = check(t, data, checked, what) if checked is not None else ""
    before = every_file(data)
    status, out, err = run(*serve_options(data, BUSY if settings is None else settings), **kwargs)
    t.eq(status, 1, "%s: status (it said %r)" % (what, err))
    t.eq(out, "", "%s: nothing on standard output" % what)
    t.ok("serving" not in err, "%s: it did not serve: %r" % (what, err))
    t.ok("ssertion" not in err and "anitizer" not in err and "pandod ends" not in err,
         "%s: an error, no crash: %r" % (what, err))
    for text in texts:
        t.ok(text.lower() in err.lower(), "%s: %r in the error %r" % (what, text, err))
        if checked == 1:
            t.ok(text.lower() in said.lower(), "%s: %r in what --check-data said: %r" % (what, text, said))
    after = every_file(data)
    for files in (before, after):
        files.pop("lock", None)
        if files.get("state.db-wal", (1,))[0] == 0:
            files.pop("state.db-wal")
    t.eq(sorted(name for name in set(before) | set(after) if before.get(name) != after.get(name)),
         [], "%s: files that the refused start has touched" % what)
    return err


def started_like(t, data, want, what, settings=None):
    """A start on a folder, which has that tree, and takes writes; what it said."""
    with tempfile.TemporaryDirectory(prefix="pando-test-") as away:
        with t.server(BUSY if settings is None else settings, folder=away, start=False) as s:
            s.data = data
            s.start()
            same_tree(t, snapshot(s), want, what)
            with s.client() as c:
                t.eq(c.err("sync", "/"), OK, "%s: a sync" % what)
                t.eq(c.err("delete", "/none"), NONODE, "%s: a write" % what)
            t.eq(s.terminate(PATIENCE), 0, "%s: status" % what)
            return s.stderr()


# -- restarts --------------------------------------------------------------------------------------

def restart(t, orderly, many):
    settings = dict(BUSY) if many else dict(LAZY)
    with t.server(settings) as s:
        keeper = s.client(timeout=LONG)
        plant(keeper)
        if many:
            recycled(t, s, 5)
        for turn in range(3):
            before = snapshot(s)
            zxid = keeper.call("sync", "/").zxid
            if many:
                wait_until(lambda: metric(s, "pando_state_index") > 0, "a state file")
            if orderly:
                t.eq(s.terminate(PATIENCE), 0, "status of the end")
            else:
                s.kill9()
            check(t, s.data, 0, "turn %d" % turn, ["all is well"])
            s.start()
            same_tree(t, snapshot(s), before, "turn %d" % turn)
            keeper.drop()
            keeper = s.client(timeout=LONG, session=keeper.session.id,
                              password=keeper.session.password, last_zxid=zxid)
            t.ok(keeper.session.id != 0, "turn %d: the session lives" % turn)
            t.eq(before["/eph/e-0000000000"][1].owner, keeper.session.id, "and owns its ephemerals")
            keeper.must("auth", "digest", USER.encode())
            made = keeper.call("create", "/seq/n-", b"", flags=SEQUENTIAL)
            t.eq(made.value, "/seq/n-%010d" % (5 + turn), "turn %d: sequence number" % turn)
            t.ok(made.zxid > zxid, "turn %d: zxid %#x after %#x" % (turn, made.zxid, zxid))
            with s.client(shake=False) as c:
                t.eq(c.handshake(session=keeper.session.id, password=b"wrong" + b"\0" * 11).id, 0,
                     "a wrong password")
            if many:
                recycled(t, s, 2)
        with s.client() as c:
            t.eq(c.err("get", "/app/private"), OK, "READ by address")
            t.eq(c.err("set", "/app/private", b"x"), zkwire.NOAUTH, "the ACL still stands")
            t.eq(c.err("set", "/app/open", b"x"), zkwire.NOAUTH, "and so does the other")
        keeper.close_session()
        t.eq(snapshot(s)["/eph"][2], [], "its end takes its ephemerals")
        s.restart()
        t.eq(snapshot(s)["/eph"][2], [], "for good")


def settings_change(t):
    """Another size of segments, no log retained, a log elsewhere."""
    with t.server(BUSY) as s:
        with s.client(timeout=LONG) as c:
            plant(c)
        recycled(t, s, 3)
        before = snapshot(s)
        for size, retain in ((4 * MIB, 0), (2 * MIB, 8 * MIB), (3 * MIB, 0)):
            s.settings.update(logSegmentBytes=size, logRetainBytes=retain)
            s.restart()
            same_tree(t, snapshot(s), before, "segments of %d" % size)
            recycled(t, s, 2)
            before = snapshot(s)
    with tempfile.TemporaryDirectory(prefix="pando-test-") as logs:
        with t.server(dict(BUSY, dataLogDir=logs)) as s:
            with s.client(timeout=LONG) as c:
                plant(c)
            recycled(t, s, 3)
            before = snapshot(s)
            s.restart()
            same_tree(t, snapshot(s), before, "a log elsewhere")
            t.eq(s.terminate(PATIENCE), 0, "status")
            check(t, s.data, 0, "a log elsewhere", ["all is well"], "--set", "dataLogDir=" + logs)


# -- size ------------------------------------------------------------------------------------------

def log_bound(settings):
    """What pando-disk(7) says: what is retained, what is not yet in the state file, and 7 files."""
    segment = int(settings.get("logSegmentBytes", 64 * MIB))
    return int(settings.get("logRetainBytes", 1 << 30)) + LOG_BEHIND + 7 * segment


def bounded(t, settings, megabytes, seconds, size, count):
    """du of the folder while it is written to; for that many bytes, and that long."""
    with t.server(settings) as s, s.client(timeout=LONG) as c:
        paths = ["/n%d" % n for n in range(count)]
        for path in paths:
            c.must("create", path, b"x" * size)
        begun, written, highest, log_highest = time.monotonic(), 0, 0, 0
        while written < megabytes * MIB or time.monotonic() - begun < seconds:
            turns = max(1, 8 * MIB // size)
            t.eq(set(pour(c, turns, size, paths, 200)), {OK}, "sets")
            written += turns * size
            used = disk_usage(s.data)
            log_used = disk_usage(os.path.join(s.data, "log"))
            highest, log_highest = max(used, highest), max(log_used, log_highest)
            live = metric(s, "pando_state_bytes")
            wal = used - log_used - live
            if not (t.ok(log_used <= log_bound(settings), "after %d MiB the log takes %d MiB"
                         % (written / MIB, log_used / MIB))
                    and t.ok(wal <= 32 * MIB + live, "after %d MiB the state file takes %d MiB, "
                             "%d of it live" % (written / MIB, (wal + live) / MIB, live / MIB))):
                break
        print("# %d MiB written in %.0f s, %d MiB of folder at the most, %d of it log"
              % (written / MIB, time.monotonic() - begun, highest / MIB, log_highest / MIB))
        t.ok(metric(s, "pando_log_recycled") > 0, "segments were recycled")
        t.eq(sorted(os.listdir(s.data)), ["lock", "log", "state.db", "state.db-wal"],
             "files in the folder")
        before = snapshot(s)
        s.restart()
        same_tree(t, snapshot(s), before, "after kill -9")


# -- torn, rotten, lost, mixed ---------------------------------------------------------------------

def with_folder(t, settings, function, recycle=0, end="stop"):
    """A folder that a server has left, its tree, and a second session's worth of entries that the
    state file has not, with LAZY."""
    with t.server(settings) as s:
        with s.client(timeout=LONG) as c:
            plant(c)
        if recycle:
            recycled(t, s, recycle)
        t.eq(s.terminate(PATIENCE), 0, "status")
        s.start()
        with s.client(timeout=LONG) as c:
            for n in range(20):
                c.must("create", "/later-%d" % n, b"later %d" % n)
        before = snapshot(s)
        if end == "stop":
            t.eq(s.terminate(PATIENCE), 0, "status")
        else:
            last = log_files(s.data)[-1]
            wait_until(lambda: batches(last)[-1].count == 0, "the mark behind the last batch")
            s.kill9()
        function(s.data, before)


def torn_tail(t):
    """The end of the log that nothing confirms may be missing or garbage."""
    def look(data, before):
        path = log_files(data)[-1]
        all_of = batches(path)
        marks = [b for b in all_of if b.count == 0]
        t.ok(marks and marks[-1] is all_of[-1], "idle, the log ends with a mark")
        last = [b for b in all_of if b.count][-1]
        for what, at, junk in (
                ("the mark is gone", all_of[-1].at, b"\0" * 40),
                ("half a mark", all_of[-1].at + 20, b"\0" * 20),
                ("garbage behind the end", all_of[-1].end, os.urandom(5000)),
                ("half a header behind it", all_of[-1].end, b"pbch" + os.urandom(20))):
            with copied(data) as copy:
                patch(os.path.join(copy, "log", os.path.basename(path)), at, junk)
                check(t, copy, 0, what, ["all is well"])
                started_like(t, copy, before, what)
        # The last batch without the mark: then it may be missing, and with it what it did.
        for what, junk in (("its records are gone", b"\0" * (last.bytes + 40)),
                           ("a byte of it", None)):
            with copied(data) as copy:
                file = os.path.join(copy, "log", os.path.basename(path))
                patch(file, last.end, b"\0" * 4096)
                if junk is None:
                    flip(file, last.records + 30)
                else:
                    patch(file, last.at, junk)
                out = check(t, copy, 0, what, ["all is well"])
                # It was the end of the session that took the snapshot: the tree is the same.
                said = started_like(t, copy, before, what, LAZY)
                t.ok(junk is not None or "cut off" in said, "%s: it says so: %r" % (what, said))
                t.ok(junk is not None or "not confirmed" in out, "%s: check: %r" % (what, out))
    with_folder(t, LAZY, look, end="kill")


def rot_in_log(t):
    def look(data, before):
        files = log_files(data)
        t.ok(len(files) >= 2, "several files: %r" % files)
        for path in (files[0], files[-1]):
            name = os.path.basename(path)
            found = [b for b in batches(path) if b.count]
            for what, at in (("a record", found[len(found) // 2].records + 30),
                             ("a batch's header", found[len(found) // 2].at + 33),
                             ("its first record", found[0].records + 3),
                             ("the end of the last but one", found[-2].records + found[-2].bytes - 1),
                             ("a header", 70)):
                with copied(data) as copy:
                    flip(os.path.join(copy, "log", name), at)
                    what = "%s of %s" % (what, name)
                    err = refused(t, copy, what, [name, "restore the whole folder", "byte"])
                    t.ok(re.search(r"byte \d+, where entry \d+|bytes 0 to", err),
                         "%s: file, byte and entry: %r" % (what, err))
                    place = re.search(r"byte (\d+)", err)
                    t.ok(place is None or int(place.group(1)) <= at, "%s: byte %r is not behind %d"
                         % (what, err, at))
        with copied(data) as copy:
            os.truncate(os.path.join(copy, "log", os.path.basename(files[0])), 500000)
            refused(t, copy, "cut short", [os.path.basename(files[0]), "500000", "incomplete"])
        with copied(data) as copy:
            patch(os.path.join(copy, "log", os.path.basename(files[-1])), 4096, b"\0" * 8192)
            refused(t, copy, "zeros", [os.path.basename(files[-1]), "restore the whole folder"])
    with_folder(t, BUSY, look, recycle=3)


def rot_in_state(t):
    def row_refused(data, sql, texts, what):
        with copied(data) as copy:
            with database(os.path.join(copy, "state.db")) as db:
                db.execute(sql)
            refused(t, copy, what, ["state.db"] + texts)

    def look(data, before):
        with copied(data) as copy:
            with database(os.path.join(copy, "state.db")) as db:
                app = db.execute("SELECT id FROM nodes WHERE name = 'private'").fetchone()[0]
                session = db.execute("SELECT min(id) FROM sessions").fetchone()[0]
                other = db.execute("SELECT id FROM nodes WHERE name = 'open'").fetchone()[0]
            check(t, copy, 0, "without a WAL", ["all is well"])
            started_like(t, copy, before, "without a WAL")
        with copied(data) as copy:
            with database(os.path.join(copy, "state.db")):
                pass
            with open(os.path.join(copy, "state.db"), "rb") as f:
                body = f.read()
            # Pages that are free may have it as well.
            for found in re.finditer(b"privatemine", body):
                flip(os.path.join(copy, "state.db"), found.start() + 8)
            refused(t, copy, "a bit of a row", ["state.db", "table nodes", "row %d" % app])
        for column in ("data = x'78'", "version = version + 1", "name = 'q'", "owner = 5",
                       "parent = %d" % other, "crc = crc + 1"):
            row_refused(data, "UPDATE nodes SET %s WHERE id = %d" % (column, app),
                        ["table nodes", "row %d" % app], "nodes: " + column)
        row_refused(data, "UPDATE sessions SET timeout_ms = 5 WHERE id = %d" % session,
                    ["table sessions", "row %d" % session], "a session's timeout")
        row_refused(data, "UPDATE acls SET entries = zeroblob(4) WHERE id = "
                    "(SELECT max(id) FROM acls)", ["table acls", "row "], "a list")
        row_refused(data, "UPDATE meta SET applied_index = applied_index + 1",
                    ["table meta", "row 1"], "the meta row")
        row_refused(data, "UPDATE nodes SET id = 777777 WHERE id = %d" % app,
                    ["table nodes", "row 777777"], "a row in another's place")
        for table, where in (("nodes", "id = %d" % app), ("sessions", "id = %d" % session),
                             ("nodes", "name = 'app'"), ("acls", "id = (SELECT max(id) FROM acls)")):
            row_refused(data, "DELETE FROM %s WHERE %s" % (table, where), [], "a missing row of " + table)
        row_refused(data, "DELETE FROM meta", ["table meta"], "no meta row")
        row_refused(data, "DROP TABLE acls", ["table acls"], "no table")
        with copied(data) as copy:
            path = os.path.join(copy, "state.db")
            with database(path):
                pass
            patch(path, 0, b"X")
            refused(t, copy, "no database", ["state.db"])
        with copied(data) as copy:
            path = os.path.join(copy, "state.db")
            with database(path):
                pass
            os.truncate(path, 4096)
            refused(t, copy, "cut short", ["state.db"])
        with copied(data) as copy:
            path = os.path.join(copy, "state.db")
            os.truncate(path, 0)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + "-wal")
            refused(t, copy, "an empty state.db", ["state.db"])
    with_folder(t, BUSY, look, recycle=3)


def missing_files(t):
    def recycled_look(data, before):
        files = log_files(data)
        t.ok(len(files) >= 3, "several files: %r" % files)
        names = [os.path.basename(path) for path in files]
        with copied(data) as copy:
            os.unlink(os.path.join(copy, "log", names[1]))
            refused(t, copy, "a file from the middle", [names[1], "missing"])
        with copied(data) as copy:
            os.unlink(os.path.join(copy, "log", names[-1]))
            refused(t, copy, "the last file", ["restore the whole folder"])
        with copied(data) as copy:
            for name in names:
                os.unlink(os.path.join(copy, "log", name))
            refused(t, copy, "all files", ["no log file", "restore the whole folder"])
        with copied(data) as copy:
            shutil.rmtree(os.path.join(copy, "log"))
            refused(t, copy, "the log's folder", ["log"])
        with copied(data) as copy:
            for name in ("state.db", "state.db-wal"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(copy, name))
            refused(t, copy, "state.db", ["missing", "state.db"])
        with copied(data) as copy:
            os.unlink(os.path.join(copy, "state.db"))
            refused(t, copy, "state.db, but not its WAL", ["missing"])
        with copied(data) as copy:
            os.rename(os.path.join(copy, "log", names[0]),
                      os.path.join(copy, "log", "log-00000000000000ff"))
            refused(t, copy, "a renamed file", ["log-", "missing"])

    def whole_look(data, before):
        for what, names in (("state.db and its WAL", ("state.db", "state.db-wal")),
                            ("state.db alone", ("state.db",))):
            with copied(data) as copy:
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(os.path.join(copy, name))
                check(t, copy, 0, what)
                started_like(t, copy, before, what + " is made again from the log")
                started_like(t, copy, before, what + ", a second time")
                check(t, copy, 0, what, ["all is well"])
        with copied(data) as copy:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(copy, "state.db-wal"))
            started_like(t, copy, before, "the WAL alone, while the log still has it all")
    with_folder(t, dict(BUSY, logRetainBytes=8 * MIB), recycled_look, recycle=4)
    with_folder(t, dict(BUSY, logRetainBytes=1 << 30), whole_look)


def mixed_folders(t):
    def look(data, before):
        def other_look(other, _):
            with copied(data) as copy:
                for name in ("state.db", "state.db-wal"):
                    shutil.copy(os.path.join(other, name), os.path.join(copy, name))
                refused(t, copy, "another folder's state.db", ["another"], checked=None)
                t.eq(run("--check-data", copy)[0], 1, "--check-data of mixed folders")
            with copied(data) as copy:
                shutil.rmtree(os.path.join(copy, "log"))
                shutil.copytree(os.path.join(other, "log"), os.path.join(copy, "log"))
                refused(t, copy, "another folder's log", ["another"], checked=None)
                t.eq(run("--check-data", copy)[0], 1, "--check-data of mixed folders")
        with_folder(t, BUSY, other_look, recycle=2)
        refused(t, data, "another server's folder", ["server"], dict(BUSY, serverId=7),
                checked=None)
    with_folder(t, BUSY, look, recycle=2)


def ages(t):
    """Files of one folder, but not of one age."""
    with t.server(BUSY) as s, tempfile.TemporaryDirectory(prefix="pando-test-") as away:
        with s.client(timeout=LONG) as c:
            plant(c)
        t.eq(s.terminate(PATIENCE), 0, "status")
        old = shutil.copytree(s.data, os.path.join(away, "old"))
        s.start()
        recycled(t, s, 5)
        t.eq(s.terminate(PATIENCE), 0, "status")
        with copied(s.data) as copy:
            for name in ("state.db", "state.db-wal"):
                shutil.copy(os.path.join(old, name), os.path.join(copy, name))
            refused(t, copy, "an older state.db", ["missing", "state file"])
        with copied(s.data) as copy:
            shutil.rmtree(os.path.join(copy, "log"))
            shutil.copytree(os.path.join(old, "log"), os.path.join(copy, "log"))
            refused(t, copy, "an older log", ["older than the state file"])
        check(t, old, 0, "an old copy, whole", ["all is well"])


def newer_formats(t):
    def look(data, before):
        name = os.path.basename(log_files(data)[-1])
        with copied(data) as copy:
            path = os.path.join(copy, "log", name)
            with open(path, "rb") as f:
                header = bytearray(f.read(4096))
            header[12:16] = struct.pack(">I", 2)
            header[8:12] = struct.pack(">I", crc32c(bytes(header[12:])))
            patch(path, 0, bytes(header))
            refused(t, copy, "a newer log", [name, "format 2", "newer"])
        for column in ("format", "level"):
            with copied(data) as copy:
                with database(os.path.join(copy, "state.db")) as db:
                    seal_meta(db, **{column: 9})
                    if column == "format":
                        db.execute("PRAGMA user_version = 9")
                refused(t, copy, "a newer " + column, ["state.db", "newer", column, "9"])
        with copied(data) as copy:
            with database(os.path.join(copy, "state.db")) as db:
                seal_meta(db)
            check(t, copy, 0, "a meta row that the test has sealed", ["all is well"])
    with_folder(t, BUSY, look)


def seal_meta(db, **changes):
    """Writes the meta row with other values and the checksum for them."""
    types = {"i64": ">q", "u64": ">Q", "u32": ">I", "i32": ">i"}
    with open(os.path.join(pandotest.ROOT, "schema", "disk.def"), encoding="utf-8") as f:
        text = f.read().split("table meta:")[1].split("\n\n")[0]
    fields = re.findall(r"^  (?:key )?(\S+) (\w+):", text, re.M)
    cursor = db.execute("SELECT %s FROM meta" % ", ".join(name for _, name in fields))
    row = dict(zip([name for _, name in fields], cursor.fetchall()[0]), **changes)
    out = b""
    for kind, name in fields:
        value = row[name]
        if kind == "u64":
            value &= (1 << 64) - 1
        out += value if isinstance(value, bytes) else struct.pack(types[kind], value)
    sets = ", ".join("%s = :%s" % (name, name) for _, name in fields)
    db.execute("UPDATE meta SET %s, crc = :crc" % sets,
               dict(row, crc=crc32c(out, crc32c(b"meta"))))


# -- looking at a folder ---------------------------------------------------------------------------

def check_healthy(t):
    def look(data, before):
        out = check(t, data, 0, "a stopped server's folder",
                    ["state file: index 0x", "nodes", "digest", "log: log-", "all is well"])
        t.ok("%d nodes" % len(before) in out, "%d nodes in %r" % (len(before), out))
        with copied(data) as copy:
            again = check(t, copy, 0, "a copy", ["all is well"])
            t.eq(again, out, "a copy's report is the original's")
            for root, folders, names in os.walk(copy):
                for name in folders + names:
                    os.chmod(os.path.join(root, name), 0o555)
            check(t, copy, 0, "a copy that nobody may write to", ["all is well"])
    with_folder(t, BUSY, look, recycle=2)
    with tempfile.TemporaryDirectory(prefix="pando-test-") as folder:
        t.eq(run("--check-data", os.path.join(folder, "none"))[0], 2, "no folder")
        t.eq(run("--dump-data", os.path.join(folder, "none"))[0], 2, "no folder to dump")
        check(t, folder, 2, "an empty folder")
        os.mkdir(os.path.join(folder, "log"))
        check(t, folder, 2, "an empty log")


def check_running(t):
    """Of a folder in use nothing can be said: neither that it is well nor that it is damaged."""
    for settings in (BUSY, LAZY):
        with t.server(settings) as s:
            with s.client(timeout=LONG) as c:
                plant(c)
                if settings is BUSY:
                    wait_until(lambda: metric(s, "pando_state_index") > 0, "a state file")
                for option in ("--check-data", "--dump-data"):
                    status, out, err = run(option, s.data)
                    t.eq(status, 2, "%s of a running server's folder: %r %r"
                         % (option, out[-300:], err[-300:]))
                    t.ok("stop" in out + err, "%s: what to do: %r %r" % (option, out[-300:],
                                                                         err[-300:]))
                t.eq(c.err("create", "/on"), OK, "the server goes on")
            t.eq(s.terminate(PATIENCE), 0, "status")


def dump(t):
    def look(data, before):
        files = every_file(data)
        status, out, err = run("--dump-data", data)
        t.eq((status, err), (0, ""), "--dump-data")
        t.eq(every_file(data), files, "--dump-data leaves every byte as it was")
        rows = {"meta": [], "nodes": [], "acls": [], "sessions": [], "log": []}
        for line in out.splitlines():
            try:
                value = json.loads(line)
            except ValueError:
                t.fail("no JSON: %r" % line[:300])
                continue
            rows[value.get("table", "log")].append(value)
        nodes = {row["id"]: row for row in rows["nodes"]}
        t.eq(len(rows["meta"]), 1, "meta rows")
        t.eq(len(nodes), len(before), "nodes")
        t.ok(not any("damaged" in row for row in nodes.values()), "none is damaged")

        def path_of(row):
            return "" if row["parent"] == 0 else path_of(nodes[row["parent"]]) + "/" + row["name"]
        for row in nodes.values():
            path = path_of(row) or "/"
            node = before[path]
            data_of = row["data"] if "data" in row else base64.b64decode(row["data_base64"])
            data_of = data_of.encode() if isinstance(data_of, str) else data_of
            t.eq((data_of, row["version"], row["mzxid"], row["cversion"], row["owner"]),
                 (node[0], node[1].version, node[1].mzxid, node[1].cversion, node[1].owner),
                 "what the dump has of %s" % path)
        entries = [row for row in rows["log"] if row["log"] == "entry"]
        indexes = [row["index"] for row in entries]
        t.eq(indexes, list(range(1, len(indexes) + 1)), "every entry of the log")
        t.ok(any("later-7" in row["record"] for row in entries), "a create in the log's lines")
        t.ok(all("term" in row for row in rows["log"]), "terms")
    with_folder(t, dict(BUSY, logRetainBytes=1 << 30), look)

    def damaged(data, before):
        path = log_files(data)[0]
        some = [b for b in batches(path) if b.count][3]
        flip(path, some.records + 30)
        with database(os.path.join(data, "state.db")) as db:
            db.execute("UPDATE nodes SET version = 99 WHERE name = 'private'")
        status, out, err = run("--dump-data", data)
        t.eq(status, 1, "--dump-data of a damaged folder")
        t.ok("DAMAGED" in err and os.path.basename(path) in err, "it says so: %r" % err)
        rows = [json.loads(line) for line in out.splitlines()]
        t.eq([row["name"] for row in rows if row.get("damaged")], ["private"], "the damaged row")
    with_folder(t, BUSY, damaged)


def page_examples():
    """(statement, answer) of each example in pando-disk(7)."""
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    page = re.sub(r"\\\(aq", "'", page).replace("\\e", "\\").replace("\\-", "-")
    for block in re.findall(r"^\.Bd -literal[^\n]*\n(sqlite>.*?)^\.Ed", page, re.M | re.S):
        statement, _, answer = block.partition(";\n")
        statement = re.sub(r"^(sqlite>|   \.\.\.>) ?", "", statement, flags=re.M)
        yield statement, answer.splitlines()


def sql_of_the_page(t):
    with t.server(BUSY) as s:
        with s.client(timeout=LONG) as c:
            c.must("create", "/app", b"hello")
            c.must("create", "/app/config", b"x" * 1000)
            c.must("create", "/app/locks")
            for _ in range(2):
                c.must("create", "/app/locks/lock-", b"", flags=SEQUENTIAL | EPHEMERAL)
        t.eq(s.terminate(PATIENCE), 0, "status")
        examples = list(page_examples())
        t.ok(len(examples) >= 4, "%d examples in pando-disk(7)" % len(examples))
        before = every_file(s.data)
        for statement, answer in examples:
            with copied(s.data) as copy:
                path = os.path.join(copy, "state.db")
                with database(path) as db:
                    got = ["|".join("" if v is None else str(v) for v in row)
                           for row in db.execute(statement)]
                t.eq(got, answer, "the answer to %r" % statement)
                if shutil.which("sqlite3"):
                    done = subprocess.run(["sqlite3", path, statement], stdout=subprocess.PIPE,
                                          check=True)
                    t.eq(done.stdout.decode().splitlines(), answer, "the shell's to %r" % statement)
                started = run("--check-data", copy)
                t.eq(started[0], 0, "it is well afterwards: %r" % (started,))
        t.eq(every_file(s.data), before, "the original is as it was")


# -- a full disk -----------------------------------------------------------------------------------

@contextlib.contextmanager
def small_disk(megabytes, options=""):
    folder = tempfile.mkdtemp(prefix="pando-test-")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm%s" % (megabytes, options),
                           "pando-test", folder], stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        os.rmdir(folder)
        pandotest.skip("no filesystem may be mounted here: %s" % done.stderr.decode().strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)
        os.rmdir(folder)


def room(folder):
    v = os.statvfs(folder)
    return v.f_bavail * v.f_frsize


def take_room(folder, leave):
    """A ballast that leaves so many bytes; its path."""
    path = os.path.join(folder, "ballast")
    with open(path, "ab") as f:
        block = b"b" * 65536
        with contextlib.suppress(OSError):
            while room(folder) > leave:
                f.write(block[:max(min(len(block), room(folder) - leave), 4096)])
                f.flush()
    return path


def refuses(c, path):
    return c.err("create", path, b"x") == SYSTEMERROR


def goes_on(t, s, c, what):
    """What a full disk must not stop."""
    t.eq(c.err("ping"), OK, "%s: a ping" % what)
    t.eq(c.err("get", "/app"), OK, "%s: a read" % what)
    t.eq(c.err("delete", "/none"), NONODE, "%s: a delete of nothing" % what)
    with s.client(timeout=LONG) as other:
        t.ok(other.session.id != 0, "%s: a new session" % what)
        t.eq(other.err("get", "/app"), OK, "%s: which reads" % what)
        t.eq(other.call("close").err, OK, "%s: and is closed" % what)


def full_by_ballast(t, leave):
    settings = dict(BUSY)
    with small_disk(40) as disk, t.server(settings, folder=disk) as s:
        old = s.client(timeout=LONG)
        old.must("create", "/app", b"here")
        for n in range(50):
            old.must("create", "/app/n%d" % n, b"%d" % n)
        old.must("create", "/mine", b"", flags=EPHEMERAL)
        wait_until(lambda: metric(s, "pando_log_spares") > 0, "a spare segment")
        acked = {"/app/n%d" % n for n in range(50)}
        ballast = take_room(disk, leave)

        def full():
            path = "/app/m%d" % len(acked)
            reply = old.call("create", path, b"x")
            if reply.err == OK:
                acked.add(path)
            return reply.err == SYSTEMERROR
        wait_until(full, "creates to be refused")
        t.ok(s.output.wait_line(lambda line: "nearly full" in line and "make room in" in line,
                                PATIENCE), "a line in the log: %r" % s.stderr())
        t.eq(metric(s, "pando_disk_full"), 1, "pando_disk_full")
        t.ok(metric(s, "pando_growth_refused") > 0, "pando_growth_refused")
        t.eq(old.err("set", "/app", b"x"), SYSTEMERROR, "a set")
        t.eq(old.err("set_acl", "/app", zkwire.acl_world(READ)), SYSTEMERROR, "an ACL")
        t.eq(old.call("multi", [("create", "/app/x"), ("delete", "/app/n0")]).err, SYSTEMERROR,
             "a multi with a create")
        goes_on(t, s, old, "full")
        for n in range(10):
            t.eq(old.err("delete", "/app/n%d" % n), OK, "a delete")
            acked.discard("/app/n%d" % n)
        t.eq(old.call("multi", [("delete", "/app/n10"), ("delete", "/app/n11")]).err, OK,
             "a multi of deletes")
        acked -= {"/app/n10", "/app/n11"}
        before = snapshot(s)
        t.eq({path for path in before if path.startswith("/app/")}, acked, "what was acknowledged")
        for orderly in (False, True, False):
            if orderly:
                t.eq(s.terminate(PATIENCE), 0, "an orderly end on the full disk")
            else:
                s.kill9()
            check(t, s.data, 0, "on the full disk", ["all is well"])
            s.start()
            same_tree(t, snapshot(s), before, "a restart on the full disk")
        old.drop()
        old = s.client(timeout=LONG, session=old.session.id, password=old.session.password)
        t.ok(old.session.id != 0, "the session lives")
        wait_until(lambda: refuses(old, "/app/y") or old.err("delete", "/app/y") != OK,
                   "creates to be refused again")
        goes_on(t, s, old, "full, after restarts")
        os.unlink(ballast)
        wait_until(lambda: old.err("create", "/back") in (OK, zkwire.NODEEXISTS),
                   "service to return by itself")
        t.ok(s.output.wait_line(lambda line: "room on the disk again" in line, PATIENCE),
             "a line in the log")
        t.eq(metric(s, "pando_disk_full"), 0, "pando_disk_full")
        t.eq(old.err("set", "/app", b"again"), OK, "a set")
        # The disk is small: it may be nearly full again while it is written to at full speed.
        recycled(t, s, 3, {OK, SYSTEMERROR})
        before = snapshot(s)
        s.restart()
        same_tree(t, snapshot(s), before, "at the end")


def full_by_writes(t, size, at_once):
    """The tree itself fills the disk. Deletes make room."""
    settings = dict(BUSY, logRetainBytes=0, diskReserveBytes=12 * MIB)
    with small_disk(64) as disk, t.server(settings, folder=disk) as s:
        c = s.client(timeout=LONG)
        c.must("create", "/app")
        made, refusals = [], 0
        while refusals < 50:
            paths = ["/app/f%06d" % (len(made) + n) for n in range(at_once)]
            c.send_bytes(b"".join(c.encode("create", path, b"f" * size) for path in paths))
            for path in paths:
                err = c.recv(PATIENCE / 4).err
                if err == OK:
                    made.append(path)
                else:
                    t.eq(err, SYSTEMERROR, "the error")
                    refusals += 1
            if not t.ok(room(disk) > 0 and len(made) < 64 * MIB // size, "refused in time"):
                return
        print("# %d nodes of %d bytes made, %d bytes of the disk are left"
              % (len(made), size, room(disk)))
        goes_on(t, s, c, "filled")
        s.kill9()
        check(t, s.data, 0, "filled", ["all is well"])
        s.start()
        there = set(snapshot(s))
        t.eq([path for path in made if path not in there], [], "acknowledged and lost")
        made = sorted(path for path in there if path.startswith("/app/"))
        c.drop()
        c = s.client(timeout=LONG)
        half = made[:len(made) // 2]
        c.send_bytes(b"".join(c.encode("delete", path) for path in half))
        t.eq({c.recv().err for _ in half}, {OK}, "deletes")
        try:
            wait_until(lambda: c.err("create", "/back") in (OK, zkwire.NODEEXISTS),
                       "service to return after deletes", patience=20)
        except TimeoutError:
            t.fail("half of the nodes are deleted and creates are still refused: free %d, state %d, "
                   "wal %d, log %d, spares %d" % tuple([room(disk)] + [metric(s, name) for name in (
                       "pando_state_bytes", "pando_state_wal_bytes", "pando_log_bytes",
                       "pando_log_spares")]))
        # The room of the deleted is there once their transaction is, and it may take several: refusals in between
        # are as they should be, as long as they end by themselves.
        for n in range(len(half) // 8):
            wait_until(lambda path="/app/again%d" % n: c.err("create", path, b"a" * size) in (OK, zkwire.NODEEXISTS),
                       "room for what was deleted, %d of %d" % (n, len(half) // 8), patience=30)
        before = snapshot(s)
        s.restart()
        same_tree(t, snapshot(s), before, "at the end")


def full_by_sets(t):
    """Clients that do not stop writing on a disk that another program fills and clears."""
    with small_disk(40) as disk, t.server(dict(BUSY, logRetainBytes=0), folder=disk) as s:
        c = s.client(timeout=LONG)
        paths = ["/n%d" % n for n in range(20)]
        for path in paths:
            c.must("create", path)
        value = {path: b"" for path in paths}
        for turn in range(3):
            ballast = take_room(disk, 0 if turn % 2 else MIB)
            codes = set()

            def sets(want):
                for path in paths:
                    data = os.urandom(4) * 5000
                    err = c.err("set", path, data)
                    codes.add(err)
                    if err == OK:
                        value[path] = data
                return want in codes
            wait_until(lambda: sets(SYSTEMERROR), "sets to be refused")
            t.ok(codes <= {OK, SYSTEMERROR}, "errors %r" % codes)
            if turn == 1:
                s.restart()
                c.drop()
                c = s.client(timeout=LONG)
            t.eq([path for path in paths if c.must("get", path)[0] != value[path]], [],
                 "acknowledged sets")
            os.unlink(ballast)
            codes.clear()
            wait_until(lambda: codes.clear() or sets(OK), "sets to be taken again")


def full_before_start(t):
    """A new server, and one with a tree, on a disk that is full already."""
    with small_disk(16) as disk:
        ballast = take_room(disk, 0)
        data = os.path.join(disk, "data")
        status, _, err = run(*serve_options(data, BUSY))
        t.eq(status, 1, "no room for a new folder: %r" % err)
        t.ok("No space left" in err, "why: %r" % err)
        os.unlink(ballast)
        with t.server(BUSY, folder=disk) as s:
            with s.client() as c:
                c.must("create", "/app", b"1")


# -- a disk that fails -----------------------------------------------------------------------------

FAULTS = [
    ("a write of the log", "write /log/log- 5", "Input/output error"),
    ("a sync of the log", "sync /log/log- 5", "Input/output error"),
    ("a write of the log, for want of room", "write /log/log- 28", "No space left"),
    ("a sync of the log, for want of room", "sync /log/log- 28", "No space left"),
    ("a write of the WAL", "write state.db-wal 5", "Input/output error"),
    ("a sync of the WAL", "sync state.db-wal 5", "Input/output error"),
    ("a write of the state file", "write state.db$ 5", "Input/output error"),
    ("a sync of the state file", "sync state.db$ 5", "Input/output error"),
]


def disk_error(t, what, fault, text):
    module = t.options.module
    with tempfile.TemporaryDirectory(prefix="pando-test-") as away:
        control = os.path.join(away, "control")
        env = dict(os.environ, LD_PRELOAD=module, PANDO_FAULTS=control)
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        with t.server(BUSY, start=False) as s:
            spawn(s, env)
            with s.client(timeout=LONG) as c:
                plant(c)
                c.must("create", "/big")
                acked = []
                n = 0
                pour(c, 20, 60000)
                with open(control + ".new", "w", encoding="utf-8") as f:
                    f.write(fault)
                os.rename(control + ".new", control)
                with contextlib.suppress(Closed, OSError):
                    while True:
                        # enough of it for the state file to be checkpointed
                        for path in ("/n%d" % n, "/m%d" % n):
                            c.send("create", path, os.urandom(1000) * 60)
                        for path in ("/n%d" % n, "/m%d" % n):
                            if c.recv().err == OK:
                                acked.append(path)
                        n += 1
                        if n > 400:
                            t.fail("the server goes on after %s" % what)
                            break
            t.eq(s.wait(PATIENCE), 1, "status")
            last = [line for line in s.output.lines if line][-1]
            t.ok("pandod ends" in last and text in last, "the last line: %r" % last)
            t.ok("log-" in last or "state.db" in last, "names the file: %r" % last)
            s.output = None
            check(t, s.data, 0, what, ["all is well"])
            s.start()
            tree = snapshot(s)
            t.eq([path for path in acked if path not in tree], [], "acknowledged and lost")
            with s.client() as c:
                t.eq(c.err("create", "/after"), OK, "a write")
            s.restart()
            t.ok("/after" in snapshot(s), "and it is there")


def spawn(s, env):
    """Starts a server with another environment."""
    s.port = free_port()
    s.process = subprocess.Popen(s.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, cwd=s.folder, env=env)
    s.output = pandotest.Output(s.process.stderr)
    s.history.append(s.output)
    if not s.ready():
        raise RuntimeError("the server does not start: %s" % s.output.text())


def read_error(t):
    """What cannot be read is not damage, and not empty either."""
    with t.server(BUSY) as s, tempfile.TemporaryDirectory(prefix="pando-test-") as away:
        with s.client(timeout=LONG) as c:
            plant(c)
        t.eq(s.terminate(PATIENCE), 0, "status")
        control = os.path.join(away, "control")
        env = dict(os.environ, LD_PRELOAD=t.options.module, PANDO_FAULTS=control)
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        for name in ("/log/log-", "state.db$", "state.db-wal"):
            with open(control, "w", encoding="utf-8") as f:
                f.write("read %s 5" % name)
            refused(t, s.data, "a read of " + name, ["Input/output error", name.strip("$")],
                    checked=None, env=env)
            status, out, err = run("--check-data", s.data, env=env)
            t.eq(status, 2, "--check-data, a read of %s: %r %r" % (name, out, err))
        s.start()


# -- owners and permissions ------------------------------------------------------------------------

def owners(t):
    """As another user, which only root can try."""
    if os.geteuid() != 0:
        print("# not root: owners are not tried")
        return
    with t.server(BUSY) as s:
        with s.client(timeout=LONG) as c:
            plant(c)
        t.eq(s.terminate(PATIENCE), 0, "status")
        os.chmod(s.folder, 0o755)
        nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/",
                  "executable": shutil.copy(pandotest.Pandod.path, s.folder)}

        def start_as_nobody(what, texts):
            status, _, err = run(*serve_options(s.data, BUSY), **nobody)
            t.eq(status, 1, "%s: status (%r)" % (what, err))
            t.ok("serving" not in err, "%s: it did not serve" % what)
            for text in texts:
                t.ok(text in err, "%s: %r in %r" % (what, text, err))

        def own(path, uid):
            os.chown(os.path.join(s.data, path), uid, uid)
        start_as_nobody("root's folder", [s.data, "writable for user 65534"])
        done = run("--check-data", s.data, **nobody)
        t.eq(done[0], 2, "--check-data of what cannot be read: %r" % (done,))
        own("", 65534)
        start_as_nobody("root's lock", [s.data + "/lock", "Permission denied"])
        own("lock", 65534)
        start_as_nobody("root's state.db", [s.data + "/state.db", "ermission"])
        own("state.db", 65534)
        start_as_nobody("root's state.db-wal", ["state.db-wal", "ermission"])
        own("state.db-wal", 65534)
        start_as_nobody("root's log folder", ["/log", "ermission"])
        own("log", 65534)
        start_as_nobody("root's log files", ["/log/", "Permission denied"])
        check(t, s.data, 0, "nothing is lost by that", ["all is well"])
        s.start()
        t.eq(len([p for p in snapshot(s) if p.startswith("/seq/")]), 4, "the tree")


def read_only_disk(t):
    with small_disk(40) as disk:
        with t.server(BUSY, folder=disk) as s:
            with s.client(timeout=LONG) as c:
                plant(c)
            t.eq(s.terminate(PATIENCE), 0, "status")
            before = every_file(s.data)
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            try:
                refused(t, s.data, "a read-only filesystem", [s.data, "Read-only file system"],
                        checked=0)
                check(t, s.data, 0, "a read-only filesystem", ["all is well"])
                t.eq(run("--dump-data", s.data)[0], 0, "--dump-data")
                t.eq(every_file(s.data), before, "files")
            finally:
                subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
            s.start()


MANY = {"logSegmentBytes": SEGMENT, "logRetainBytes": 4 * MIB, "jute.maxbuffer": 200000}
MAIN = [
    ("restart: orderly, the state file at the end only", restart, True, False),
    ("restart: kill -9, from the log", restart, False, False),
    ("restart: orderly, segments recycled", restart, True, True),
    ("restart: kill -9, segments recycled", restart, False, True),
    ("restart: other sizes, another folder for the log", settings_change),
    ("size: large values, transactions all the time", bounded,
     dict(MANY, stateIntervalMs=20), 600, 0, 60000, 30),
    ("size: large values, transactions now and then", bounded, MANY, 600, 0, 60000, 30),
    ("size: one node, again and again", bounded, MANY, 600, 0, 5000, 1),
    ("torn: what nothing confirms", torn_tail),
    ("rot: in the log", rot_in_log),
    ("rot: in the state file", rot_in_state),
    ("files that are missing", missing_files),
    ("files of another folder or server", mixed_folders),
    ("files of another age", ages),
    ("files of a newer program", newer_formats),
    ("--check-data: healthy, copied, none", check_healthy),
    ("--check-data, --dump-data: of a running server", check_running),
    ("--dump-data: all of it, in JSON", dump),
    ("pando-disk(7): its SQL", sql_of_the_page),
    ("owners and permissions", owners),
]
FULL = [
    ("full: a ballast, up to the reserve", full_by_ballast, MIB),
    ("full: a ballast takes all there is", full_by_ballast, 0),
    ("full: the tree fills the disk, deletes make room", full_by_writes, 1000, 1),
    ("full: the tree fills the disk at full speed", full_by_writes, 8000, 32),
    ("full: full and not full, while clients write", full_by_sets),
    ("full: before the start", full_before_start),
    ("read-only: a filesystem", read_only_disk),
]
ERRORS = [("error: " + fault[0], disk_error) + fault for fault in FAULTS] + [
    ("error: reading", read_error)]


def more(parser):
    parser.add_argument("--group", choices=["main", "full", "errors", "long"], default="main")
    parser.add_argument("--module", help="errors: the module that makes them")
    parser.add_argument("--seconds", type=float, default=3600, help="long: how long to write")


def main():
    options, server_class = pandotest.arguments(__doc__, more)
    runner = pandotest.Runner(options, server_class)
    if options.group == "errors":
        options.module = os.path.abspath(options.module)
    tests = {"main": MAIN, "full": FULL, "errors": ERRORS, "long": [
        ("size: written at full speed", bounded, {}, 0, options.seconds, 1000, 5000)]}
    for name, function, *args in tests[options.group]:
        runner.run(name, function, *args)
    runner.finish()


if __name__ == "__main__":
    main()
