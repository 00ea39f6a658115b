#!/usr/bin/env python3
"""kill -9 under load, again and again, on one folder: what was acknowledged is there, once, and
nothing else is.

Every writer has a subtree of its own and a model of it. It keeps many requests in flight, and each
answer has to be the one that the model foretells. When the server is killed, what was not answered
is in doubt; since the requests of a connection are served in their order, what is found after the
restart has to be the model after everything acknowledged and a *prefix* of what is in doubt,
exactly: names, data, versions, counters, owners, numbers, zxids. That leaves no room for a lost, a
doubled, a torn or a reordered write.

Sessions live through the restarts and are attached again with their passwords. Side sessions come
and go: once a close was acknowledged or an expiry was seen, neither the session nor its ephemerals
may come back.
"""

import copy
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lib")]

import pandotest  # noqa: E402
from zkwire import (BADVERSION, DELETED, EPHEMERAL, NODEEXISTS, NONODE, NOTEMPTY, OK,  # noqa: E402
                    RUNTIMEINCONSISTENCY, SEQUENTIAL, Client, Closed)

WRITERS = 4
IN_FLIGHT = 24
NODES_MOST = 120
SETTINGS = {"tickTime": 200, "minSessionTimeout": 400, "maxSessionTimeout": 600000,
            "maxClientCnxns": 0}
LONG = 300000


class Node:
    """What a model knows of a node. zxids are None until an answer has told them."""

    def __init__(self, data=b"", owner=0):
        self.data, self.owner = data, owner
        self.version = self.cversion = self.made = 0
        self.names = set()
        self.czxid = self.mzxid = None


class Refused(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Model:
    """A tree below one path, and what each operation does to it."""

    def __init__(self, root):
        self.root = root
        self.nodes = {root: Node()}
        self.session = 0

    @staticmethod
    def split(path):
        parent, name = path.rsplit("/", 1)
        return parent, name

    def create(self, path, data=b"", flags=0):
        parent, name = self.split(path)
        if parent not in self.nodes:
            raise Refused(NONODE)
        above = self.nodes[parent]
        if flags & SEQUENTIAL:
            name += "%010d" % above.made
            path = parent + "/" + name
        if path in self.nodes:
            raise Refused(NODEEXISTS)
        self.nodes[path] = Node(data, self.session if flags & EPHEMERAL else 0)
        above.names.add(name)
        above.cversion += 1
        above.made += 1
        return path

    def delete(self, path, version=-1):
        node = self.nodes.get(path)
        if node is None:
            raise Refused(NONODE)
        if version not in (-1, node.version):
            raise Refused(BADVERSION)
        if node.names:
            raise Refused(NOTEMPTY)
        parent, name = self.split(path)
        del self.nodes[path]
        self.nodes[parent].names.remove(name)
        self.nodes[parent].cversion += 1

    def set(self, path, data=b"", version=-1):
        node = self.nodes.get(path)
        if node is None:
            raise Refused(NONODE)
        if version not in (-1, node.version):
            raise Refused(BADVERSION)
        node.data = data
        node.version += 1
        node.mzxid = None
        return node.version

    def check(self, path, version=-1):
        node = self.nodes.get(path)
        if node is None:
            raise Refused(NONODE)
        if version not in (-1, node.version):
            raise Refused(BADVERSION)

    def one(self, op):
        kwargs = op[-1] if isinstance(op[-1], dict) else {}
        args = op[1:-1] if kwargs else op[1:]
        return getattr(self, op[0])(*args, **kwargs)

    def multi(self, ops):
        """What the answer has to hold: a list as zkwire decodes it, Stats as their version."""
        before = copy.deepcopy(self.nodes)
        results = []
        for n, op in enumerate(ops):
            try:
                value = self.one(op)
            except Refused as refused:
                self.nodes = before
                behind = len(ops) - n - 1
                return ([(-1, 0)] * n + [(-1, refused.code)] +
                        [(-1, RUNTIMEINCONSISTENCY)] * behind)
            results.append({"create": (1, value), "set": (5, value), "delete": (2, None),
                            "check": (13, None)}[op[0]])
        return results

    def apply(self, op):
        """(err, value) of the answer to op."""
        if op[0] == "multi":
            return OK, self.multi(op[1])
        try:
            return OK, self.one(op)
        except Refused as refused:
            return refused.code, None

    def learn(self, op, result, zxid):
        """An answer to op came with this zxid: what it made or set has it."""
        err, value = result
        parts, values = (op[1], value) if op[0] == "multi" else ([op], [(None, value)])
        if err != OK or values[:1] and values[0][0] == -1:
            return
        for part, (_, got) in zip(parts, values):
            node = self.nodes.get(got if part[0] == "create" else part[1])
            if node is not None and part[0] == "create":
                node.czxid = zxid
            elif node is not None and part[0] == "set":
                node.mzxid = zxid


def simplify(op, reply):
    """A reply as Model foretells it."""
    if reply.err != OK or op[0] == "delete":
        return reply.err, None
    if op[0] == "set":
        return OK, reply.value.version
    if op[0] == "multi":
        return OK, [(kind, value.version if kind == 5 else value) for kind, value in reply.value]
    return OK, reply.value


class Writer(threading.Thread):
    """One connection that writes into its subtree until it breaks."""

    def __init__(self, test, number):
        super().__init__(daemon=True)
        self.test, self.number = test, number
        self.rng = random.Random("%s/%d" % (test.seed, number))
        self.root = "/k9/w%d" % number
        self.model = Model(self.root)
        self.session = None
        self.doubt = []
        self.zxid = 0
        self.acked = 0
        self.wrong = []

    def choose(self, tree):
        """A next operation, from what the tree will be once everything in flight is done."""
        rng = self.rng
        paths = list(tree.nodes)
        path = rng.choice(paths)
        parents = [p for p in paths if not tree.nodes[p].owner]
        parent = rng.choice(parents)
        data = b"%d." % rng.getrandbits(40) * rng.choice((1, 3, 50))
        kind = rng.random()
        if len(paths) > NODES_MOST or kind < 0.15:
            leaves = [p for p in paths if not tree.nodes[p].names and p != self.root]
            if leaves:
                leaf = rng.choice(leaves)
                return ("delete", leaf, rng.choice((-1, tree.nodes[leaf].version, 99))
                        if rng.random() < 0.3 else -1)
        if kind < 0.45:
            return ("set", path, data,
                    rng.choice((-1, -1, tree.nodes[path].version, tree.nodes[path].version + 7)))
        if kind < 0.60:
            return ("create", parent + "/q-", data, {"flags": SEQUENTIAL})
        if kind < 0.70:
            return ("create", parent + "/e-", data, {"flags": SEQUENTIAL | EPHEMERAL})
        if kind < 0.85:
            return ("create", "%s/n%d" % (parent, rng.randrange(40)), data)
        victim = rng.choice(paths)
        return ("multi",
                [("set", path, data), ("create", parent + "/m-", data, {"flags": SEQUENTIAL}),
                          ("check", victim, rng.choice((-1, -1, tree.nodes[victim].version, 500))),
                          ("set", path, data + b"'", tree.nodes[path].version + 1)])

    def run(self):
        try:
            self.load()
        except (Closed, OSError):
            pass  # killed
        except Exception as error:  # pylint: disable=broad-except
            self.wrong.append("%s: %s" % (type(error).__name__, error))

    def send_one(self, client, ahead):
        """One more request in flight. `ahead` is the model with everything in flight done."""
        op = self.choose(ahead)
        foretold = ahead.apply(op)
        kwargs = op[-1] if isinstance(op[-1], dict) else {}
        args = op[1:-1] if kwargs else op[1:]
        # In doubt from before the first byte can have left.
        self.doubt.append((op, foretold))
        client.send(op[0], *args, **kwargs)

    def take_one(self, client):
        """The oldest answer due: has to be as foretold, and is then part of the model."""
        reply = client.recv()
        op, foretold = self.doubt.pop(0)
        self.model.learn(op, self.model.apply(op), reply.zxid)
        self.acked += 1
        if simplify(op, reply) != foretold:
            self.wrong.append("%r answered %r, not %r" % (op, reply, foretold))
        if reply.zxid < self.zxid:
            self.wrong.append("zxid %#x after %#x" % (reply.zxid, self.zxid))
        self.zxid = max(self.zxid, reply.zxid)

    def load(self):
        with self.client as client:
            ahead = copy.deepcopy(self.model)
            while not self.wrong and not self.test.stop.is_set():
                while len(self.doubt) < IN_FLIGHT:
                    self.send_one(client, ahead)
                for _ in range(self.rng.randrange(1, IN_FLIGHT)):
                    self.take_one(client)
            while self.doubt:
                self.take_one(client)

    def next_round(self):
        """A writer like this one for the next round: threads start once only."""
        again = copy.copy(self)
        threading.Thread.__init__(again, daemon=True)
        return again


class Sides(threading.Thread):
    """Sessions that make ephemerals and are closed, one after the other; and some that are left to
    expire."""

    def __init__(self, test, number):
        super().__init__(daemon=True)
        self.test = test
        self.rng = random.Random("%s/side/%d" % (test.seed, number))
        self.closing = None
        self.wrong = []

    def run(self):
        try:
            watcher = self.test.server.client(timeout=LONG)
            while not self.test.stop.is_set():
                if self.rng.random() < 0.2:
                    self.expire(watcher)
                else:
                    self.close()
        except (Closed, OSError):
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.wrong.append("%s: %s" % (type(error).__name__, error))

    def close(self):
        c = self.test.server.client(timeout=LONG)
        record = {"session": c.session, "paths": [], "closed": False}
        self.closing = record
        out = b"".join(c.encode("create", "/k9/side/s-", b"", flags=EPHEMERAL | SEQUENTIAL)
                       for _ in range(3))
        c.send_bytes(out + c.encode("close"))
        for _ in range(3):
            record["paths"].append(c.recv().value)
        c.recv()
        record["closed"] = True
        self.test.ended.append(record)
        self.closing = None
        c.drop()

    def expire(self, watcher):
        c = self.test.server.client(timeout=400)
        path = c.must("create", "/k9/side/x-", b"", flags=EPHEMERAL | SEQUENTIAL)
        watcher.must("exists", path, True)
        c.drop()
        if watcher.wait_event() == (DELETED, path):
            self.test.ended.append({"session": c.session, "paths": [path], "closed": True})


class Reader(threading.Thread):
    """Reads what others write. What was shown to it must not be undone by the kill."""

    def __init__(self, test):
        super().__init__(daemon=True)
        self.test = test
        self.rng = random.Random("%s/reader" % test.seed)
        self.seen = {}
        self.zxid = 0

    def run(self):
        try:
            with self.test.server.client(timeout=LONG) as c:
                while not self.test.stop.is_set():
                    paths = ["/k9/w%d" % self.rng.randrange(WRITERS) for _ in range(16)]
                    c.send_bytes(b"".join(c.encode("exists", path) for path in paths))
                    for path in paths:
                        self.seen[path] = c.recv().value
                    self.zxid = max(self.zxid, c.zxid)
        except (Closed, OSError):
            pass


class Kill9:
    """The folder's whole life."""

    def __init__(self, runner, seed, settings):
        self.runner, self.seed = runner, seed
        self.rng = random.Random(seed)
        self.stop = threading.Event()
        self.server = runner.server(settings)
        self.ended = []
        self.resurrected = set()
        self.zxid = 0
        with self.server.client(timeout=LONG) as c:
            c.must("create", "/k9")
            c.must("create", "/k9/side")
            for n in range(WRITERS):
                c.must("create", "/k9/w%d" % n)
            c.close_session()
        self.writers = [Writer(self, n) for n in range(WRITERS)]

    def round(self, t):
        """Load, kill, restart, look."""
        for writer in self.writers:
            kwargs = {}
            if writer.session is not None:
                kwargs = {"session": writer.session.id, "password": writer.session.password,
                          "last_zxid": self.zxid}
            writer.client = self.server.client(timeout=LONG, **kwargs)
            if writer.session is not None:
                t.eq(writer.client.session.id, writer.session.id, "writer %d attaches again"
                     % writer.number)
            writer.session = writer.client.session
            writer.model.session = writer.session.id
        sides = [Sides(self, n) for n in range(2)]
        reader = Reader(self)
        before = sum(writer.acked for writer in self.writers)
        for thread in self.writers + sides + [reader]:
            thread.start()
        # The moment is random, and never before something was acknowledged.
        pandotest.wait_until(lambda: sum(w.acked for w in self.writers) > before + 50
                             or any(w.wrong for w in self.writers), "writes to be acknowledged")
        self.stop.wait(self.rng.uniform(0.0, 2.5))
        self.server.kill9()
        for thread in self.writers + sides + [reader]:
            thread.join()
        for thread in self.writers + sides:
            t.eq(thread.wrong[:2], [], "answers under load")
        acked = sum(writer.acked for writer in self.writers) - before
        begun = time.monotonic()
        self.server.start()
        print("# %d writes acknowledged, %d in doubt, restarted in %.2f s"
              % (acked, sum(len(w.doubt) for w in self.writers), time.monotonic() - begun),
              flush=True)
        self.zxid = max([self.zxid, reader.zxid] + [writer.zxid for writer in self.writers])
        self.verify(t, sides, reader)
        self.writers = [writer.next_round() for writer in self.writers]

    def verify(self, t, sides, reader):
        with self.server.client(shake=False) as ahead:
            t.ok(ahead.handshake(timeout=LONG, last_zxid=self.zxid) is not None,
                 "zxid %#x was seen before the kill; the server that is back does not have it"
                 % self.zxid)
        with Client(self.server.address, timeout=LONG) as c:
            first = c.call("exists", "/k9").zxid
            t.ok(first >= self.zxid, "zxid %#x after the restart, %#x was seen before"
                 % (first, self.zxid))
            for writer in self.writers:
                self.verify_writer(t, c, writer)
            for path, stat in reader.seen.items():
                now = c.must("exists", path)
                t.ok(now.version >= stat.version and now.cversion >= stat.cversion
                     and now.mzxid >= stat.mzxid,
                     "%s was shown as %r before the kill and is now %r" % (path, stat, now))
            self.verify_ended(t, c, sides)
            fresh = c.call("set", "/k9", b"")
            t.ok(fresh.zxid > max(first, self.zxid), "a new write's zxid %#x, before %#x"
                 % (fresh.zxid, first))
            self.zxid = fresh.zxid
            c.close_session()

    def read_tree(self, c, root):
        """All of a subtree as path → (data, Stat, names)."""
        found, level = {}, [root]
        while level:
            c.send_bytes(b"".join(c.encode("get", path) + c.encode("children", path)
                                  for path in level))
            below = []
            for path in level:
                got, listed = c.recv(), c.recv()
                found[path] = got.value + (set(listed.value),)
                below += [path + "/" + name for name in listed.value]
            level = below
        return found

    @staticmethod
    def difference(found, model):
        """The first thing in which what was found is not the model; None if it is."""
        if set(found) != set(model.nodes):
            return "missing %r, too many %r" % (sorted(set(model.nodes) - set(found))[:5],
                                                sorted(set(found) - set(model.nodes))[:5])
        for path, node in model.nodes.items():
            data, stat, names = found[path]
            want = (node.data, node.version, node.cversion, node.owner, node.names,
                    len(node.names), len(node.data))
            got = (data, stat.version, stat.cversion, stat.owner, names, stat.num_children,
                   stat.data_length)
            if got != want:
                return "%s: expected %r, got %r" % (path, want, got)
            if node.czxid not in (None, stat.czxid) or node.mzxid not in (None, stat.mzxid):
                return "%s: zxids acknowledged %r %r, got %r" % (path, node.czxid, node.mzxid, stat)
        return None

    def verify_writer(self, t, c, writer):
        found = self.read_tree(c, writer.root)
        tried = []
        for taken in range(len(writer.doubt) + 1):
            wrong = self.difference(found, writer.model)
            if wrong is None:
                break
            tried.append("with %d of those in doubt: %s" % (taken, wrong))
            if taken < len(writer.doubt):
                writer.model.apply(writer.doubt[taken][0])
        if not t.ok(wrong is None,
                    "writer %d: %d acknowledged and no prefix of the %d in doubt gives "
                    "what is there:\n#   %s\n"
                    "#   in doubt: %r"
                    % (writer.number, writer.acked, len(writer.doubt), "\n#   ".join(tried),
                                         [op for op, _ in writer.doubt])):
            self.server.keep = True
            raise RuntimeError("the model is lost")
        for path, (_, stat, _) in found.items():
            writer.model.nodes[path].czxid, writer.model.nodes[path].mzxid = stat.czxid, stat.mzxid
        writer.doubt = []

    def verify_ended(self, t, c, sides):
        for side in sides:
            if side.closing is not None:
                self.verify_closing(t, c, side.closing)
        for record in self.ended[-60:]:
            with self.server.client(shake=False) as late:
                session = record["session"]
                answer = late.handshake(session=session.id, password=session.password)
                t.eq((answer.timeout, answer.id), (0, 0), "session %#x, ended before the kill"
                     % session.id)
        there = set(c.must("children", "/k9/side"))
        back = [path for record in self.ended for path in record["paths"]
                if path.rsplit("/", 1)[1] in there]
        t.eq(back, [], "ephemerals of ended sessions")

    def verify_closing(self, t, c, record):
        """A session whose close is in doubt: it is there with its ephemerals, or gone with them."""
        session = record["session"]
        there = {"/k9/side/" + name for name in c.must("children", "/k9/side")}
        owned = {path for path in there if c.must("exists", path).owner == session.id}
        with self.server.client(shake=False) as late:
            answer = late.handshake(session=session.id, password=session.password, timeout=LONG)
            if answer.id == session.id:
                t.ok(set(record["paths"]) <= owned, "a living session's ephemerals %r, there %r"
                     % (record["paths"], owned))
                late.close_session()
            else:
                t.eq(owned, set(), "ephemerals of a session that is gone")
        self.ended.append(record)

    def finish(self, t):
        """The last restart is an orderly one: it must find the same."""
        status = self.server.terminate()
        if not t.real:
            t.eq(status, 0, "status after SIGTERM")
        self.server.start()
        with Client(self.server.address, timeout=LONG, last_zxid=self.zxid) as c:
            for writer in self.writers:
                self.verify_writer(t, c, writer)
        print("# %d writes acknowledged in all, %d sessions ended"
              % (sum(w.acked for w in self.writers), len(self.ended)))


def more(parser):
    parser.add_argument("--rounds", type=int, default=10,
                        help="how often to kill (default %(default)s)")
    parser.add_argument("--seed", default=None, help="what the load and the moments are drawn from")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="a setting of the server; may be repeated")


def main():
    options, server_class = pandotest.arguments(__doc__, more)
    runner = pandotest.Runner(options, server_class)
    seed = options.seed or "%08x" % random.SystemRandom().getrandbits(32)
    print("# seed %s; again with --seed %s" % (seed, seed), flush=True)
    settings = dict(SETTINGS, **dict(pair.split("=", 1) for pair in options.set))
    test = Kill9(runner, seed, settings)
    try:
        for n in range(options.rounds):
            runner.run("round %d" % (n + 1), lambda t: test.round(t))
            if runner.failed_tests:
                test.server.keep = True
                break
        else:
            runner.run("orderly restart", lambda t: test.finish(t))
            test.server.keep = bool(runner.failed_tests)
    finally:
        test.server.close()
    runner.finish()


if __name__ == "__main__":
    main()
