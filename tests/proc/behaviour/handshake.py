"""The handshake as clients from 3.4 to 3.9 make it."""

import pandotest
import zkwire
from behaviour import area, rule
from zkwire import Client, connect_request, frame, i32, i64


@rule("handshake: the answer has the readOnly byte exactly when the request had it")
def read_only_byte(t, s):
    for byte, size in ((None, 36), (False, 37), (True, 37)):
        with s.client(read_only=byte) as c:
            t.eq(c.session.size, size, "bytes of the answer to readOnly=%s" % byte)
            t.eq(c.session.read_only, None if byte is None else False, "readOnly of the answer")
            t.eq(c.session.protocol, 0, "protocolVersion")
            t.eq(len(c.session.password), 16, "length of the password")
            t.ok(c.session.id != 0, "a session id")
            t.eq(c.must("exists", "/").czxid, 0, "exists of the root")
            c.close_session()


@rule("handshake: protocolVersion is not looked at")
def protocol_version(t, s):
    for version in (0, 1, 77, -1):
        with s.client(protocol=version) as c:
            t.eq(c.session.protocol, 0, "protocolVersion answered to %d" % version)
            c.close_session()


@rule("handshake: the timeout is clamped to 2 and 20 ticks, and negotiated anew at each reattach",
      own_server=True)
def timeout_clamped(t):
    with t.server({"tickTime": 250}) as s:
        for asked, given in ((0, 500), (-1, 500), (-2147483648, 500), (1, 500), (499, 500),
                             (500, 500), (501, 501),
                             (3333, 3333), (5000, 5000), (5001, 5000), (2147483647, 5000)):
            with s.client(timeout=asked) as c:
                t.eq(c.session.timeout, given, "timeout for %d" % asked)
        with s.client(timeout=2500) as c, s.client(timeout=4000, session=c.session.id,
                                                  password=c.session.password) as again:
            t.eq(again.session.timeout, 4000, "timeout after reattach")
            t.eq(again.session.id, c.session.id, "id after reattach")
    with t.server({"tickTime": 250, "minSessionTimeout": 1000, "maxSessionTimeout": 60000}) as s:
        for asked, given in ((0, 1000), (999, 1000), (59999, 59999), (60001, 60000)):
            with s.client(timeout=asked) as c:
                t.eq(c.session.timeout, given, "timeout for %d with limits of its own" % asked)


@rule("handshake: session 0 makes a new session whatever the password says")
def new_session(t, s):
    ids = set()
    for password in (b"\x00" * 16, b"", b"garbage", None, b"\xff" * 16, b"x" * 40):
        with s.client(password=password) as c:
            t.eq(len(c.session.password), 16, "password's length after %r" % password)
            t.ok(c.session.timeout > 0, "a timeout after %r" % password)
            ids.add(c.session.id)
            c.close_session()
    t.eq(len(ids), 6, "six different ids")


@rule("handshake: right id and password reattach; the earlier connection is closed at once")
def reattach(t, s):
    with s.client() as old:
        root = area(old)
        old.must("create", root + "/e", b"", flags=zkwire.EPHEMERAL)
        with s.client(session=old.session.id, password=old.session.password,
                      last_zxid=old.zxid) as new:
            t.eq(new.session.id, old.session.id, "the id")
            t.eq(new.session.password, old.session.password, "the password")
            t.ok(old.silent_end(), "the old connection ends without a word")
            t.eq(new.must("exists", root + "/e").owner, old.session.id, "the ephemeral's owner")
            t.eq(new.err("set", root, b"1"), 0, "a write on the new connection")
            new.drop()
        with s.client(session=old.session.id, password=old.session.password) as third:
            t.eq(third.session.id, old.session.id, "the id after the socket was dropped")
            t.eq(third.err("delete", root + "/e"), 0, "the ephemeral is there")
            third.close_session()


def refused(t, s, what, **kwargs):
    """A handshake that is answered with timeout 0 and session 0, and closed."""
    for byte, size in ((None, 36), (False, 37)):
        with s.client(shake=False) as c:
            session = c.handshake(read_only=byte, **kwargs)
            if not t.ok(session is not None, "%s: an answer" % what):
                continue
            t.eq(session.timeout, 0, "%s: timeout" % what)
            t.eq(session.id, 0, "%s: session id" % what)
            t.eq(len(session.password), 16, "%s: length of the password" % what)
            t.eq(session.size, size, "%s: bytes of the answer" % what)
            t.ok(c.silent_end(), "%s: closed behind the answer" % what)


@rule("handshake: wrong password, unknown, closed id: timeout 0 and session 0, then closed")
def refused_sessions(t, s):
    with s.client() as c:
        root = area(c)
        c.must("create", root + "/e", b"", flags=zkwire.EPHEMERAL)
        c.drop()
        wrong = bytes([c.session.password[0] ^ 1]) + c.session.password[1:]
        refused(t, s, "wrong password", session=c.session.id, password=wrong)
        refused(t, s, "zero password", session=c.session.id)
        refused(t, s, "short password", session=c.session.id, password=c.session.password[:15])
        refused(t, s, "long password", session=c.session.id, password=c.session.password + b"\x00")
        refused(t, s, "null password", session=c.session.id, password=None)
        refused(t, s, "unknown id", session=c.session.id + 12345, password=c.session.password)
        refused(t, s, "negative unknown id", session=-5, password=c.session.password)
    with s.client(session=c.session.id, password=c.session.password) as again:
        t.eq(again.session.id, c.session.id, "a wrong password does not end the session")
        t.eq(again.err("exists", root + "/e"), 0, "its ephemeral is there")
        again.close_session()
    refused(t, s, "closed id", session=c.session.id, password=c.session.password)


@rule("handshake: a wrong password leaves the owner's connection alone")
def wrong_password_leaves_owner(t, s):
    with s.client() as owner, s.client(shake=False) as thief:
        session = thief.handshake(session=owner.session.id, password=b"z" * 16)
        t.eq((session.timeout, session.id), (0, 0), "the thief's answer")
        if t.real:
            return  # the reference cuts the owner off before it looks at the password
        t.eq(owner.err("exists", "/"), 0, "the owner's next request")
        owner.close_session()


@rule("handshake: lastZxidSeen above the server's: closed without an answer")
def zxid_from_the_future(t, s):
    with s.client() as c:
        area(c)
        for ahead in (1 << 20, 1 << 40):
            with s.client(shake=False) as future:
                t.ok(future.handshake(last_zxid=c.zxid + ahead) is None,
                     "closed for a new session, %d ahead" % ahead)
            with s.client(shake=False) as future:
                answer = future.handshake(last_zxid=c.zxid + ahead, session=c.session.id,
                                          password=c.session.password)
                t.ok(answer is None, "closed for an old session, %d ahead" % ahead)
        with s.client(last_zxid=c.zxid) as present:
            t.ok(present.session.timeout > 0, "the newest zxid is fine")
            present.close_session()
        # Whether or not the attempts above took the connection away, the session lives.
        with s.client(session=c.session.id, password=c.session.password, last_zxid=c.zxid) as again:
            t.eq(again.session.id, c.session.id, "the session is not lost by it")
            again.close_session()


@rule("handshake: requests may follow in the same segment")
def pipelined_handshake(t, s):
    with s.client(shake=False) as c:
        path = "/seg%d" % id(c)
        c.send_bytes(frame(connect_request(timeout=20000)) + c.encode("create", path, b"x")
                     + c.encode("get", path)
                     + c.encode("ping") + c.encode("delete", path) + c.encode("close"))
        session = c.recv_session()
        t.ok(session is not None and session.id != 0, "a session")
        t.eq(c.recv().value, path, "create")
        t.eq(c.recv().value[0], b"x", "get")
        t.eq(c.recv().xid, -2, "ping")
        t.eq(c.recv().err, 0, "delete")
        t.eq(c.recv().err, 0, "close")
        t.ok(c.silent_end(), "closed")


@rule("handshake: readOnly at a serving server is an ordinary session")
def read_only_session(t, s):
    with s.client(read_only=True) as c:
        root = area(c)
        t.eq(c.err("set", root, b"w"), 0, "a write")
        t.eq(c.session.read_only, False, "readOnly answered")
        c.close_session()


@rule("handshake: a first frame that is none is closed without an answer")
def no_handshake(t, s):
    def request(op, body):
        return i32(1) + i32(op) + body
    whole = connect_request()
    lying = i32(0) + i64(0) + i32(10000) + i64(0) + i32(5000) + b"\x00" * 17
    negative = i32(0) + i64(0) + i32(10000) + i64(0) + i32(-2) + b"\x00" * 17
    for what, body in (("a ping", i32(-2) + i32(11)),
                       ("an auth", i32(-4) + i32(100) + zkwire.body_auth("digest", b"a:b")),
                       ("a read", request(4, zkwire.body_watch("/"))), ("nothing", b""),
                       ("one byte", b"\x00"),
                       ("a cut one", whole[:20]), ("one without its password", whole[:24]),
                       ("a password's length that lies", lying),
                       ("a negative password's length", negative)):
        with s.client(shake=False) as c:
            c.send_frame(body)
            t.ok(c.silent_end(), "closed after %s" % what)
    for what, data in (("a negative length", i32(-1)), ("an enormous length", i32(0x7fffffff)),
                       ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
                       ("a HTTP request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")):
        with s.client(shake=False) as c:
            c.send_bytes(data)
            t.ok(c.silent_end(), "closed after %s" % what)
    with s.client() as c:
        t.eq(c.err("exists", "/"), 0, "others are served")
        c.close_session()


@rule("handshake: a reattached connection has no watches")
def reattach_without_watches(t, s):
    with s.client() as old, s.client() as other:
        root = area(other)
        old.must("get", root, True)
        old.must("children", root, True)
        with s.client(session=old.session.id, password=old.session.password) as new:
            other.must("set", root, b"1")
            other.must("create", root + "/c")
            t.eq(new.take_events(), [], "events on the new connection")
            new.close_session()
        other.close_session()


@rule("handshake: ids and passwords differ, and survive a restart", own_server=True)
def sessions_differ(t):
    with t.server() as s:
        clients = [s.client() for _ in range(50)]
        t.eq(len({c.session.id for c in clients}), 50, "fifty ids")
        t.eq(len({c.session.password for c in clients}), 50, "fifty passwords")
        t.ok(all(c.session.id != 0 for c in clients), "none is zero")
        zxid = max(c.call("ping").zxid for c in clients)
        s.restart()
        pandotest.wait_until(s.probe, "the restarted server")
        for c in clients[:5]:
            with Client(s.address, session=c.session.id, password=c.session.password,
                        last_zxid=zxid) as again:
                t.eq(again.session.id, c.session.id, "reattached after a restart")
        with s.client() as fresh:
            t.ok(fresh.session.id not in {c.session.id for c in clients},
                 "a new id after a restart")
        for c in clients:
            c.drop()
