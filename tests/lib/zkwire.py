"""A ZooKeeper client on a bare socket, for tests that care about every byte.

It is written from the protocol and shares nothing with the server's codec, so that the two cannot
be wrong in the same way. Requests can be sent without waiting for their answers (`send`, then
`recv`), whole frames and loose bytes can be sent as they are, and everything that arrives is kept
in order of arrival in `log`.
"""

import collections
import socket
import struct
import time

OK = 0
RUNTIMEINCONSISTENCY = -2
MARSHALLING = -5
UNIMPLEMENTED = -6
BADARGUMENTS = -8
NONODE = -101
NOAUTH = -102
BADVERSION = -103
NOCHILDRENFOREPHEMERALS = -108
NODEEXISTS = -110
NOTEMPTY = -111
SESSIONEXPIRED = -112
INVALIDACL = -114
SESSIONMOVED = -118

CREATED, DELETED, CHANGED, CHILD = 1, 2, 3, 4

READ, WRITE, CREATE, DELETE, ADMIN, ALL = 1, 2, 4, 8, 16, 31
EPHEMERAL, SEQUENTIAL = 1, 2

OPEN_ACL = [(ALL, "world", "anyone")]

OPS = {
    "create": 1, "delete": 2, "exists": 3, "get": 4, "set": 5, "get_acl": 6, "set_acl": 7,
    "children": 8,
    "sync": 9, "ping": 11, "children2": 12, "check": 13, "multi": 14, "create2": 15, "auth": 100,
    "set_watches": 101, "close": -11,
}

# How long to wait for an answer before a test is called hung. Never the measure of anything.
PATIENCE = 60.0

Stat = collections.namedtuple(
    "Stat",
    "czxid mzxid ctime mtime version cversion aversion owner data_length num_children pzxid")
Session = collections.namedtuple("Session", "timeout id password read_only size protocol")
Event = collections.namedtuple("Event", "type path state zxid")


def acl_world(perms):
    """The ACL that gives everybody `perms`."""
    return [(perms, "world", "anyone")]


class Closed(Exception):
    """The server closed the connection while something was expected from it."""


class Malformed(Exception):
    """The server sent bytes that are not what the protocol says."""


# -- bytes -----------------------------------------------------------------------------------------

def i32(value):
    return struct.pack(">i", value)


def i64(value):
    return struct.pack(">q", value)


def flag(value):
    return b"\x01" if value else b"\x00"


def buf(value):
    return i32(-1) if value is None else i32(len(value)) + value


def text(value):
    """A string: str, bytes as they are, or None for a null one."""
    return buf(value.encode("utf-8") if isinstance(value, str) else value)


def vec(items, encode):
    return i32(-1) if items is None else i32(len(items)) + b"".join(encode(item) for item in items)


def acl_list(acl):
    return vec(acl, lambda entry: i32(entry[0]) + text(entry[1]) + text(entry[2]))


class Reader:
    """Takes values off a frame; anything that does not fit raises Malformed."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise Malformed("%d bytes wanted at %d of %d" % (count, self.at, len(self.data)))
        self.at += count
        return self.data[self.at - count:self.at]

    def i32(self):
        return struct.unpack(">i", self.take(4))[0]

    def i64(self):
        return struct.unpack(">q", self.take(8))[0]

    def flag(self):
        value = self.take(1)[0]
        if value > 1:
            raise Malformed("a truth value of %d" % value)
        return bool(value)

    def buf(self):
        size = self.i32()
        return None if size == -1 else self.take(size)

    def text(self):
        value = self.buf()
        return None if value is None else value.decode("utf-8")

    def vec(self, decode):
        return [decode() for _ in range(self.i32())]

    def stat(self):
        return Stat(*struct.unpack(">qqqqiiiqiiq", self.take(68)))

    def acl(self):
        return self.vec(lambda: (self.i32(), self.text(), self.text()))

    def left(self):
        return len(self.data) - self.at


# -- requests and answers --------------------------------------------------------------------------

def body_create(path, data=b"", acl=OPEN_ACL, flags=0):
    return text(path) + buf(data) + acl_list(acl) + i32(flags)


def body_delete(path, version=-1):
    return text(path) + i32(version)


def body_watch(path, watch=False):
    return text(path) + flag(watch)


def body_set(path, data=b"", version=-1):
    return text(path) + buf(data) + i32(version)


def body_path(path):
    return text(path)


def body_set_acl(path, acl=OPEN_ACL, version=-1):
    return text(path) + acl_list(acl) + i32(version)


def body_set_watches(zxid, data=(), exist=(), child=()):
    return i64(zxid) + vec(data, text) + vec(exist, text) + vec(child, text)


def body_auth(scheme, credential):
    return i32(0) + text(scheme) + buf(credential)


def body_nothing():
    return b""


BODIES = {
    "create": body_create, "create2": body_create, "delete": body_delete, "exists": body_watch,
    "get": body_watch,
    "set": body_set, "get_acl": body_path, "set_acl": body_set_acl, "children": body_watch,
    "sync": body_path,
    "ping": body_nothing, "children2": body_watch, "check": body_delete, "close": body_nothing,
    "set_watches": body_set_watches, "auth": body_auth,
}


def body_multi(ops):
    """ops: tuples of a name in BODIES (or a number with ready bytes) and its arguments."""
    out = b""
    for op in ops:
        if isinstance(op[0], int):
            out += i32(op[0]) + flag(False) + i32(-1) + op[1]
        else:
            kwargs = op[-1] if isinstance(op[-1], dict) else {}
            args = op[1:-1] if kwargs else op[1:]
            out += i32(OPS[op[0]]) + flag(False) + i32(-1) + BODIES[op[0]](*args, **kwargs)
    return out + i32(-1) + flag(True) + i32(-1)


BODIES["multi"] = body_multi


def answer_multi(r):
    """A list of (type, value); for a failed operation (-1, its code)."""
    results = []
    while True:
        kind, done, err = r.i32(), r.flag(), r.i32()
        if done:
            if (kind, err) != (-1, -1):
                raise Malformed("a multi's end of type %d, err %d" % (kind, err))
            return results
        if kind == -1:
            code = r.i32()
            if code != err:
                raise Malformed("a multi's header says %d, its body %d" % (err, code))
            results.append((-1, code))
        elif err != 0:
            raise Malformed("a multi's header of type %d with err %d" % (kind, err))
        elif kind == 1:
            results.append((1, r.text()))
        elif kind == 15:
            results.append((15, (r.text(), r.stat())))
        elif kind == 5:
            results.append((5, r.stat()))
        elif kind in (2, 13):
            results.append((kind, None))
        else:
            raise Malformed("a multi's result of type %d" % kind)


ANSWERS = {
    "create": lambda r: r.text(),
    "create2": lambda r: (r.text(), r.stat()),
    "exists": lambda r: r.stat(),
    "get": lambda r: (r.buf(), r.stat()),
    "set": lambda r: r.stat(),
    "get_acl": lambda r: (r.acl(), r.stat()),
    "set_acl": lambda r: r.stat(),
    "children": lambda r: r.vec(r.text),
    "children2": lambda r: (r.vec(r.text), r.stat()),
    "sync": lambda r: r.text(),
    "multi": answer_multi,
}


class Reply:
    """One answer. `value` is the decoded body, None when there is none; `body` the bytes behind the
    header.

    decode is a function of a Reader, None for answers without a body, False for bodies that nobody
    reads.
    """

    def __init__(self, frame, decode):
        r = Reader(frame)
        self.xid, self.zxid, self.err = r.i32(), r.i64(), r.i32()
        self.body = frame[16:]
        self.value = None
        if decode is False:
            return
        if self.err == 0 and decode is not None:
            self.value = decode(r)
        if r.left() != 0:
            raise Malformed("%d bytes behind the answer %r" % (r.left(), self))

    def __repr__(self):
        return "Reply(xid=%d zxid=%#x err=%d %r)" % (self.xid, self.zxid, self.err, self.value)


def connect_request(timeout=10000, session=0, password=b"\x00" * 16, last_zxid=0, read_only=False,
                    protocol=0):
    """read_only None leaves the byte out, as clients before 3.4 do."""
    out = i32(protocol) + i64(last_zxid) + i32(timeout) + i64(session) + buf(password)
    return out if read_only is None else out + flag(read_only)


def frame(body):
    return i32(len(body)) + body


class Client:
    """A connection. Nothing is sent but what is asked for: no pings, no reconnects."""

    def __init__(self, address, shake=True, **kwargs):
        self.sock = socket.create_connection(address, PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = bytearray()
        self.pending = collections.deque()
        self.xid = 0
        self.events = []
        self.log = []
        self.zxid = 0
        self.session = None
        if shake:
            self.session = self.handshake(**kwargs)
            if self.session is None:
                raise Closed("handshake closed without an answer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    # raw

    def send_bytes(self, data):
        self.sock.sendall(data)

    def send_frame(self, body):
        self.send_bytes(frame(body))

    def recv_frame(self, patience=PATIENCE):
        """The next frame, None when the server has closed. TimeoutError when neither came."""
        deadline = time.monotonic() + patience
        while True:
            if len(self.input) >= 4:
                size = struct.unpack(">i", self.input[:4])[0]
                if size < 0:
                    raise Malformed("a frame of %d bytes" % size)
                if len(self.input) >= 4 + size:
                    body = bytes(self.input[4:4 + size])
                    del self.input[:4 + size]
                    return body
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self.sock.recv(1 << 18)
            except socket.timeout:
                raise TimeoutError("neither a frame nor an end within %g s" % patience) from None
            except ConnectionError:
                return None
            finally:
                self.sock.settimeout(PATIENCE)
            if not data:
                if self.input:
                    raise Malformed("closed inside a frame")
                return None
            self.input += data

    # handshake

    def handshake(self, **kwargs):
        """A Session, or None when the server closed without an answer."""
        try:
            self.send_frame(connect_request(**kwargs))
        except ConnectionError:
            return None
        return self.recv_session()

    def recv_session(self):
        body = self.recv_frame()
        if body is None:
            return None
        r = Reader(body)
        protocol, timeout, ident, password = r.i32(), r.i32(), r.i64(), r.buf()
        read_only = r.flag() if r.left() else None
        if r.left():
            raise Malformed("a handshake's answer of %d bytes" % len(body))
        return Session(timeout, ident, password, read_only, len(body), protocol)

    # requests

    def encode(self, name, *args, xid=None, op=None, body=None, **kwargs):
        """One request's frame; its answer becomes pending. With op, body: those, and any answer
        will do."""
        if xid is None:
            self.xid += 1
            xid = {"ping": -2, "auth": -4, "set_watches": -8}.get(name, self.xid)
        if body is None:
            body = BODIES[name](*args, **kwargs)
        decode = ANSWERS.get(name) if op is None else False
        self.pending.append((xid, decode))
        return frame(i32(xid) + i32(OPS[name] if op is None else op) + body)

    def send(self, name, *args, **kwargs):
        self.send_bytes(self.encode(name, *args, **kwargs))

    def send_raw(self, op, body, xid=None):
        """A request whose body is given as bytes; the answer is kept undecoded."""
        self.send_bytes(self.encode("raw", op=op, body=body, xid=xid))

    def recv_any(self, patience=PATIENCE):
        """The next Event or Reply, None when the server has closed."""
        data = self.recv_frame(patience)
        if data is None:
            return None
        if data[:4] == b"\xff\xff\xff\xff" and not (self.pending and self.pending[0][0] == -1):
            r = Reader(data)
            r.i32()
            zxid, err, kind, state, path = r.i64(), r.i32(), r.i32(), r.i32(), r.text()
            if err or r.left():
                raise Malformed("an event with err %d and %d bytes behind it" % (err, r.left()))
            event = Event(kind, path, state, zxid)
            self.events.append(event)
            self.log.append(event)
            return event
        if not self.pending:
            raise Malformed("an answer to nothing: %r" % data[:64])
        xid, decode = self.pending.popleft()
        reply = Reply(data, decode)
        if reply.xid != xid:
            raise Malformed("an answer to xid %d where %d was due" % (reply.xid, xid))
        if reply.zxid > self.zxid:
            self.zxid = reply.zxid
        self.log.append(reply)
        return reply

    def recv(self, patience=PATIENCE):
        """The next Reply; events before it go into `events`."""
        while True:
            got = self.recv_any(patience)
            if got is None:
                raise Closed("closed with %d answers due" % len(self.pending))
            if isinstance(got, Reply):
                return got

    def call(self, name, *args, **kwargs):
        self.send(name, *args, **kwargs)
        reply = self.recv()
        while self.pending:
            reply = self.recv()
        return reply

    def call_raw(self, op, body, xid=None):
        self.send_raw(op, body, xid)
        return self.recv()

    def must(self, name, *args, **kwargs):
        """The value of a call that has to succeed."""
        reply = self.call(name, *args, **kwargs)
        if reply.err != 0:
            raise AssertionError("%s%r failed with %d" % (name, args, reply.err))
        return reply.value

    def err(self, name, *args, **kwargs):
        return self.call(name, *args, **kwargs).err

    # events and ends

    def take_events(self):
        """(type, path) of all events owed until now: a ping's answer comes behind them."""
        self.call("ping")
        events = [(event.type, event.path) for event in self.events]
        self.events = []
        return events

    def wait_event(self, patience=PATIENCE):
        while not self.events:
            if self.recv_any(patience) is None:
                raise Closed("closed while an event was awaited")
        event = self.events.pop(0)
        return (event.type, event.path)

    def wait_closed(self, patience=PATIENCE):
        """Reads until the server closes; the list of what came before that."""
        came = []
        while True:
            got = self.recv_any(patience)
            if got is None:
                return came
            came.append(got)

    def silent_end(self, patience=PATIENCE):
        """Whether the server closes without sending another byte."""
        return self.recv_frame(patience) is None

    def close_session(self):
        reply = self.call("close")
        self.wait_closed()
        self.drop()
        return reply

    def drop(self):
        """Closes the socket only: the session lives on."""
        self.sock.close()


def four_letters(address, word, tail=b"\n"):
    """The answer to a four-letter word, as text."""
    if isinstance(word, str):
        word = word.encode()
    with socket.create_connection(address, PATIENCE) as sock:
        sock.sendall(word + tail)
        out = b""
        while True:
            try:
                data = sock.recv(65536)
            except ConnectionResetError:
                break
            if not data:
                break
            out += data
    return out.decode("utf-8")
