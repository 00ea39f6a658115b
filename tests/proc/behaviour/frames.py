"""Frames, replies and their order, zxids."""

import random

import zkwire
from behaviour import area, rule
from zkwire import (MARSHALLING, NONODE, OK, UNIMPLEMENTED, body_create, body_multi, body_set,
                    body_watch, flag, i32, text)

LIMIT = 1048575


def padded_set(path, size):
    """A setData whose frame's length field says `size`."""
    return body_set(path, b"x" * (size - 8 - len(body_set(path, b""))), -1)


@rule("frames: a length of 1048575 is taken, one more is closed")
def length_limit(t, s):
    with s.client() as c:
        root = area(c)
        c.send_bytes(zkwire.frame(i32(1) + i32(5) + padded_set(root, LIMIT)))
        c.pending.append((1, zkwire.ANSWERS["set"]))
        stat = c.recv().value
        t.eq(stat.data_length, LIMIT - 8 - len(body_set(root, b"")), "data of the largest frame")
        t.eq(len(c.must("get", root)[0]), stat.data_length, "and back")
        t.eq(c.err("set", root, b""), OK, "the connection goes on")
        c.send_bytes(i32(LIMIT + 1))
        t.eq(c.wait_closed(), [], "closed at a length of 1048576")
    for length in (-1, -2147483648, 0x7fffffff):
        with s.client() as c:
            c.send_bytes(i32(length))
            t.eq(c.wait_closed(), [], "closed at a length of %d" % length)


@rule("frames: replies may be larger than any request")
def large_reply(t, s):
    with s.client() as c:
        root = area(c)
        names = ["%04d" % i + "n" * 230 for i in range(6000)]
        for at in range(0, len(names), 1000):
            ops = [("create", root + "/" + name) for name in names[at:at + 1000]]
            t.eq(len(c.must("multi", ops)), 1000, "a thousand creates in a multi")
        reply = c.call("children", root)
        t.ok(len(reply.body) > 1400000, "the listing is larger than 1.4 MB")
        t.eq(sorted(reply.value), names, "all of the names")
        children, stat = c.must("children2", root)
        t.eq((len(children), stat.num_children, stat.cversion), (6000, 6000, 6000), "children2")
        for at in range(0, len(names), 1000):
            c.must("multi", [("delete", root + "/" + name) for name in names[at:at + 1000]])
        t.eq(c.must("children", root), [], "all deleted")


@rule("frames: of 0 to 7 bytes are closed")
def short_frames(t, s):
    for size in range(8):
        with s.client() as c:
            c.send_frame(b"\x00" * size)
            t.eq(c.wait_closed(), [], "closed after a frame of %d bytes" % size)


@rule("frames: a body that cannot be decoded is answered -5 and the connection goes on")
def undecodable(t, s):
    with s.client() as c:
        root = area(c)
        lying = i32(50000) + b"/x"
        huge = i32(0x7fffffff) + b"/x"
        cases = [
            ("create", 1, b""), ("create", 1, text(root + "/q")), ("create", 1, lying),
            ("create", 1, huge),
            ("create cut by a byte", 1, body_create(root + "/q")[:-1]),
            ("create with a lying data length", 1, text(root + "/q") + i32(99999) + b"x"),
            ("create with a lying ACL count", 1, text(root + "/q") + i32(0) + i32(2000000000)
             + b"x" * 40),
            ("create with a null path", 1, body_create(None)),
            ("create2", 15, body_create(root + "/q")[:-1]), ("create2 null", 15, body_create(None)),
            ("delete", 2, text(root)), ("delete null", 2, zkwire.body_delete(None)),
            ("exists", 3, text(root)),
            ("exists null", 3, body_watch(None)), ("get", 4, lying), ("get", 4, huge),
            ("get null", 4, body_watch(None)),
            ("set", 5, text(root) + i32(10)), ("getACL", 6, b"\x00\x00"),
            ("getACL null", 6, text(None)),
            ("setACL", 7, text(root) + i32(1) + i32(31)), ("children", 8, lying),
            ("children null", 8, body_watch(None)),
            ("children2", 12, text(root)), ("children2 null", 12, body_watch(None)),
            ("sync", 9, b""),
            ("check", 13, text(root)), ("setWatches", 101, b"\x00" * 9),
            ("setWatches with a lying count", 101, b"\x00" * 8 + i32(1 << 30)),
            ("multi", 14, b""), ("multi without an end", 14, body_multi([("delete", root)])[:-9]),
            ("multi of an unknown op", 14, body_multi([(99, b"")])),
            ("multi with a cut op", 14, i32(1) + flag(False) + i32(-1) + text("/x")),
        ]
        for what, op, body in cases:
            reply = c.call_raw(op, body, xid=4711)
            t.eq((reply.xid, reply.err, reply.body), (4711, MARSHALLING, b""), "%s of %d bytes"
                 % (what, len(body)))
        t.eq(c.must("children", root), [], "nothing was made")
        t.eq(c.err("set", root, b"on"), OK, "the connection goes on")
        for what, op, body in (("set", 5, body_set(None, b"")),
                               ("setACL", 7, zkwire.body_set_acl(None))):
            t.among(c.call_raw(op, body).err, (MARSHALLING, zkwire.BADARGUMENTS),
                    "%s of a null path" % what)


@rule("frames: lengths below -1 are refused as undecodable, nothing else happens")
def negative_lengths(t, s):
    with s.client() as c:
        root = area(c)
        reply = c.call_raw(5, text(root) + i32(-2) + i32(-1))
        t.among(reply.err, (MARSHALLING, OK), "data of length -2")
        reply = c.call_raw(4, i32(-7) + b"\x00")
        t.among(reply.err, (MARSHALLING, NONODE), "a path of length -7")
        t.eq(c.err("exists", root), OK, "the connection goes on")


@rule("frames: bytes behind a complete body are ignored")
def trailing_bytes(t, s):
    with s.client() as c:
        root = area(c)
        t.eq(c.call_raw(5, body_set(root, b"1") + b"trailing").err, OK, "set")
        t.eq(c.call_raw(1, body_create(root + "/a") + b"\x00" * 100).err, OK, "create")
        t.eq(c.call_raw(4, body_watch(root) + b"z").err, OK, "get")
        t.eq(c.call_raw(2, zkwire.body_delete(root + "/a") + b"z").err, OK, "delete")
        t.eq(c.call_raw(14, body_multi([("set", root, b"2")]) + b"zzz").err, OK, "multi")
        t.eq(c.must("get", root)[0], b"2", "the data")
        ping = c.call_raw(11, b"xyz", xid=-2)
        t.eq((ping.xid, ping.err, ping.body), (-2, OK, b""), "ping")


@rule("frames: unknown opcodes are answered -6")
def unknown_opcodes(t, s):
    for op in (108, 9999, -1, -2147483648, 2147483647):
        with s.client() as c:
            reply = c.call_raw(op, b"\x00" * 12, xid=88)
            t.eq((reply.xid, reply.err, reply.body), (88, UNIMPLEMENTED, b""), "opcode %d" % op)
            if not t.real:  # the reference closes
                t.eq(c.err("exists", "/"), OK, "the connection goes on after opcode %d" % op)


@rule("frames: createSession, deleteContainer, 0 and 10 from a client do no harm")
def internal_opcodes(t, s):
    with s.client() as witness:
        root = area(witness)
        for op, body in ((-10, i32(30000)), (-10, b""), (20, text(root)), (20, b""), (0, b""),
                         (10, b""), (10, text(root))):
            with s.client() as c:
                c.send_raw(op, body)
                c.send("exists", root)
                came = c.recv_frame()
                if not (t.real and op == -10):  # the reference answers with a second handshake
                    t.ok(came is None or len(came) == 16, "opcode %d: a bare answer or an end: %r"
                         % (op, came))
            t.eq(witness.err("exists", root), OK, "the node is there after opcode %d" % op)
            with s.client() as fresh:
                t.eq(fresh.err("set", root, b""), OK, "a new client after opcode %d" % op)


@rule("frames: fragmentation at every byte")
def fragmentation(t, s):
    with s.client(shake=False) as c:
        for byte in zkwire.frame(zkwire.connect_request(timeout=20000)):
            c.send_bytes(bytes([byte]))
        session = c.recv_session()
        t.ok(session is not None and session.id != 0, "a handshake byte by byte")
        root = area(c)
        stream = (c.encode("create", root + "/f", b"frag") + c.encode("get", root + "/f")
                  + c.encode("children", root)
                  + c.encode("set", root + "/f", b"ment") + c.encode("ping")
                  + c.encode("delete", root + "/f")
                  + c.encode("multi", [("create", root + "/m"), ("delete", root + "/m")]))
        for byte in stream:
            c.send_bytes(bytes([byte]))
        t.eq([c.recv().err for _ in range(7)], [0] * 7, "seven requests byte by byte")
        size = len(c.encode("set", root, b"") + c.encode("get", root))
        c.pending.clear()
        for cut in range(1, size):
            stream = c.encode("set", root, b"%02d" % cut) + c.encode("get", root)
            c.send_bytes(stream[:cut])
            c.send_bytes(stream[cut:])
            t.eq(c.recv().err, OK, "set, cut at %d" % cut)
            t.eq(c.recv().value[0], b"%02d" % cut, "get, cut at %d" % cut)


@rule("frames: garbage on one connection leaves the others unaffected")
def garbage(t, s):
    rng = random.Random(20240607)
    with s.client() as witness:
        root = area(witness)
        for turn in range(60):
            with s.client(shake=bool(turn % 3)) as c:
                if turn % 2:
                    body = rng.randbytes(rng.randrange(0, 300))
                    c.send_bytes(i32(len(body)) + body)
                    c.send_bytes(i32(8 + len(body)) + i32(turn)
                                 + i32(rng.choice((1, 2, 4, 5, 7, 9, 14, 15, 101))) + body)
                else:
                    c.send_bytes(rng.randbytes(rng.randrange(1, 2000)))
            reply = witness.call("set", root, b"%d" % turn, version=turn)
            t.eq(reply.err, OK, "a write of another connection after garbage %d" % turn)
        t.eq(witness.must("get", root)[1].version, 60, "sixty writes")
        witness.close_session()


@rule("frames: a connection that ends inside a frame is forgotten")
def ends_inside(t, s):
    with s.client() as witness:
        root = area(witness)
        for size in (1, 3, 4, 5, 12, 30):
            with s.client() as c:
                c.send_bytes(c.encode("create", root + "/never", b"")[:size])
        witness.must("sync", root)
        t.eq(witness.must("children", root), [], "half a create makes nothing")


@rule("replies: the xid is echoed as it came")
def xids(t, s):
    with s.client() as c:
        root = area(c)
        for xid in (0, 1, 1, 7, 7, -3, -5, -100, 2147483647, -2147483648, -1):
            c.send("exists", root, xid=xid)
            t.eq(c.recv().xid, xid, "xid")
        for xid in (0, 5, 5, -9):
            c.send("set", root, b"", xid=xid)
            t.eq(c.recv().xid, xid, "xid of a write")


@rule("replies: errors have no body")
def error_bodies(t, s):
    with s.client() as c:
        root = area(c)
        for name, args in (("get", (root + "/no",)), ("exists", (root + "/no",)),
                           ("children", (root + "/no",)),
                           ("children2", (root + "/no",)), ("get_acl", (root + "/no",)),
                           ("set", (root + "/no",)),
                           ("delete", (root + "/no",)), ("set_acl", (root + "/no",)),
                           ("create", (root + "/no/no",))):
            reply = c.call(name, *args)
            t.eq((reply.err, reply.body), (NONODE, b""), name)
        reply = c.call("create", root)
        t.eq((reply.err, reply.body), (zkwire.NODEEXISTS, b""), "create of what exists")


@rule("replies: in the order of the requests, reads and failures included")
def order(t, s):
    with s.client() as c:
        root = area(c)
        wanted, out = [], b""
        for i in range(300):
            path = "%s/n%d" % (root, i)
            for name, args, err in (("create", (path,), OK), ("get", (path,), OK),
                                    ("create", (path,), zkwire.NODEEXISTS),
                                    ("exists", (path + "x",), NONODE),
                                    ("set", (path, b"1", 5), zkwire.BADVERSION),
                                    ("set", (path, b"1", 0), OK), ("delete", (path, 1), OK),
                                    ("get", (path,), NONODE)):
                out += c.encode(name, *args)
                wanted.append(err)
        c.send_bytes(out)
        got = [c.recv() for _ in wanted]
        t.eq([reply.err for reply in got], wanted, "2400 pipelined outcomes")
        zxids = [reply.zxid for reply in got]
        t.eq(zxids, sorted(zxids), "zxids do not go back")


@rule("replies: a read between two writes sees exactly the first")
def read_between_writes(t, s):
    with s.client() as c:
        root = area(c)
        out = b""
        for i in range(500):
            out += c.encode("set", root, b"%d" % i) + c.encode("get", root) + c.encode("exists",
                                                                                       root)
        c.send_bytes(out)
        wrong = []
        for i in range(500):
            written, got, seen = c.recv(), c.recv(), c.recv()
            if not (written.value.version == i + 1 and got.value == (b"%d" % i, written.value)
                    and seen.value == written.value and got.zxid >= written.zxid):
                wrong.append((i, written, got, seen))
        t.eq(wrong[:3], [], "each of 500 reads")
        out = b""
        for i in range(200):
            out += c.encode("create", "%s/s" % root, b"",
                            flags=zkwire.SEQUENTIAL) + c.encode("children", root)
        c.send_bytes(out)
        wrong = []
        for i in range(200):
            made, listed = c.recv(), c.recv()
            if made.value != "%s/s%010d" % (root, i) or len(listed.value) != i + 1:
                wrong.append((i, made, len(listed.value)))
        t.eq(wrong[:3], [], "each of 200 listings between creates")


@rule("replies: several pipelining connections do not disturb each other's order")
def many_pipelines(t, s):
    with s.client() as setup:
        root = area(setup)
    clients = [s.client() for _ in range(8)]
    for n, c in enumerate(clients):
        path = "%s/c%d" % (root, n)
        out = c.encode("create", path)
        for i in range(150):
            out += c.encode("set", path, b"%d" % i, version=i) + c.encode("get", path)
        c.send_bytes(out)
    for n, c in enumerate(clients):
        t.eq(c.recv().err, OK, "create of connection %d" % n)
        wrong = 0
        for i in range(150):
            written, got = c.recv(), c.recv()
            wrong += written.err != OK or got.value[0] != b"%d" % i
        t.eq(wrong, 0, "wrong answers of connection %d" % n)
        c.close_session()


@rule("zxid: a write's reply carries the zxid that it left in the Stat")
def write_zxids(t, s):
    with s.client() as c:
        root = area(c)
        made = c.call("create2", root + "/a", b"")
        stat = made.value[1]
        t.eq((stat.czxid, stat.mzxid, stat.pzxid), (made.zxid,) * 3, "create2")
        t.eq(c.must("exists", root).pzxid, made.zxid, "the parent's pzxid")
        written = c.call("set", root + "/a", b"1")
        t.eq(written.value.mzxid, written.zxid, "set")
        t.ok(written.zxid > made.zxid, "it grows")
        gone = c.call("delete", root + "/a")
        t.ok(gone.zxid > written.zxid, "delete")
        t.eq(c.must("exists", root).pzxid, gone.zxid, "the parent's pzxid after delete")
        multi = c.call("multi", [("create", root + "/m"), ("set", root, b"m")])
        t.eq(c.must("exists", root + "/m").czxid, multi.zxid, "czxid of a multi's create")
        t.eq(multi.value[1][1].mzxid, multi.zxid, "mzxid of a multi's set")


@rule("zxid: reads, pings and sync carry what the server has applied, and never go back")
def read_zxids(t, s):
    with s.client() as writer, s.client() as reader:
        root = area(writer)
        last = 0
        for i in range(50):
            written = writer.call("set", root, b"%d" % i).zxid
            for name, args in (("exists", (root,)), ("ping", ()), ("sync", (root,)),
                               ("get", (root + "/none",))):
                zxid = reader.call(name, *args).zxid
                t.ok(zxid >= last, "%s: %#x after %#x" % (name, zxid, last))
                last = zxid
            t.ok(last >= written, "a read behind a sync: %#x, the write had %#x" % (last, written))
        ping = reader.call("ping")
        t.eq((ping.xid, ping.err, ping.body), (-2, 0, b""), "a ping's answer")


@rule("zxid: failed writes do not take it back")
def failed_zxids(t, s):
    with s.client() as c:
        root = area(c)
        first = c.call("set", root, b"").zxid
        failed = c.call("set", root, b"", 77)
        second = c.call("set", root, b"").zxid
        t.eq(failed.err, zkwire.BADVERSION, "the failed set")
        t.ok(first <= failed.zxid <= second and first < second, "zxids %#x, %#x, %#x"
             % (first, failed.zxid, second))
