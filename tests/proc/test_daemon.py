#!/usr/bin/env python3
"""pandod as a program: command line, start, errors, messages, end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lib")]

import pandotest  # noqa: E402
import zkwire  # noqa: E402
from pandotest import free_port, wait_until  # noqa: E402

# Long enough for the slowest machine and sanitizer, short enough to see a hang for what it is.
PATIENCE = 60


def run(*args, cwd=None):
    """Runs pandod with arguments that make it end by itself: (status, output, errors)."""
    done = subprocess.run([pandotest.Pandod.path] + list(args), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, cwd=cwd, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def refused(t, what, wanted, *args, cwd=None):
    """Ends with status 1 and an error that has all of `wanted`."""
    status, out, err = run(*args, cwd=cwd)
    t.eq(status, 1, "%s: status (it said %r)" % (what, err))
    for text in wanted:
        t.ok(text in err, "%s: %r in the error %r" % (what, text, err))
    t.eq(out, "", "%s: nothing on standard output" % what)
    t.ok(err.strip(), "%s: an error" % what)
    t.ok("serving" not in err, "%s: it did not serve" % what)
    t.ok("ssertion" not in err and "anitizer" not in err, "%s: an error, no crash" % what)
    return err


def start_line(t):
    with t.server() as s:
        lines = [line for line in s.output.lines if "serving" in line]
        t.eq(len(lines), 1, "lines that say serving")
        line = lines[0]
        t.ok("127.0.0.1:%d" % s.port in line, "the address in %r" % line)
        t.ok(s.data in line, "the folder in %r" % line)
        t.ok(re.search(r"zxid\W+(0x)?[0-9a-f]+", line), "the last zxid in %r" % line)
        t.ok(re.search(r"nodes\W+\d+|\d+ nodes", line), "the number of nodes in %r" % line)
        t.ok(re.search(r"\d(\.\d+)? ?(ms|s|us|µs)\b|_ms\W+\d|time\W+\d", line),
             "the time taken in %r" % line)
        with s.client() as c:
            for n in range(100):
                c.send("create", "/n%d" % n)
            zxid = max(c.recv().zxid for _ in range(100))
            c.close_session()
        s.restart()
        line = s.ready_line
        numbers = [int(n, 16) for n in re.findall(r"zxid\W+(?:0x)?([0-9a-f]+)", line)]
        decimal = [int(n) for n in re.findall(r"zxid\W+(\d+)\b", line)]
        t.ok(any(zxid <= n <= zxid + 50 for n in numbers + decimal), "zxid %d or little more in %r"
             % (zxid, line))
        t.ok(re.search(r"10[0-9] nodes|nodes\W+10[0-9]", line), "some more than 100 nodes in %r"
             % line)


def defaults(t):
    """Without --listen the port is 2181, which may be taken here: so only the folder is looked at,
    and that by --set clientPort."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        process = subprocess.Popen([pandotest.Pandod.path, "--set", "clientPort=%d" % port, "--set",
                                    "clientPortAddress=127.0.0.1"], cwd=folder,
                                   stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            output = pandotest.Output(process.stderr)
            t.ok(output.wait_line(lambda line: "serving" in line, PATIENCE), "it serves: %r"
                 % output.text())
            t.ok(os.path.isdir(os.path.join(folder, "pando-data")), "./pando-data")
            t.eq(zkwire.four_letters(("127.0.0.1", port), "ruok"), "imok", "ruok")
        finally:
            process.kill()
            process.wait()
            output.thread.join()


def version_and_check(t):
    status, out, err = run("--version")
    t.eq(status, 0, "--version: status")
    t.ok(re.search(r"pandod? .*\d+\.\d+", out), "--version: %r %r" % (out, err))
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "data")
        status, _, err = run("--data", data, "--listen", "127.0.0.1:0", "--check")
        t.eq(status, 0, "--check: status (%r)" % err)
        t.ok(not os.path.exists(data), "--check makes nothing")
        good = write(folder, "good.cfg", "tickTime=500\ndataDir=%s\nclientPort=2181\n" % data)
        t.eq(run("-c", good, "--check")[0], 0, "--check of a good file")
        bad = write(folder, "bad.cfg", "# comment\n\ntickTime=500\ntickTiem=500\n")
        refused(t, "--check of a bad file", ["bad.cfg:4", "tickTiem", "tickTime"], "-c", bad,
                "--check")


def bad_command_lines(t):
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "data")
        address = ["--data", data, "--listen", "127.0.0.1:%d" % free_port()]
        refused(t, "an unknown option", ["--nonsense"], *address, "--nonsense")
        refused(t, "an option without its value", ["--data"], "--data")
        refused(t, "--set without a value", ["tickTime"], *address, "--set", "tickTime")
        refused(t, "an unknown key", ["maxClientCnxn", "maxClientCnxns"], *address, "--set",
                "maxClientCnxn=5")
        refused(t, "a number that is none", ["tickTime", "fast"], *address, "--set",
                "tickTime=fast")
        refused(t, "a number out of range", ["tickTime", "-5"], *address, "--set", "tickTime=-5")
        refused(t, "a word that is none", ["logFormat", "xml"], *address, "--set", "logFormat=xml")
        refused(t, "a port that is none", ["--listen"], "--data", data, "--listen",
                "127.0.0.1:99999")
        refused(t, "an address without a port", ["--listen"], "--data", data, "--listen",
                "127.0.0.1")
        refused(t, "an address that is none here", ["192.0.2.1"], "--data", data, "--listen",
                "192.0.2.1:%d" % free_port())
        refused(t, "a missing file", [folder + "/none.cfg"], "-c", folder + "/none.cfg")
        refused(t, "a folder for a file", [folder], "-c", folder)
        refused(t, "limits that contradict", ["minSessionTimeout", "maxSessionTimeout"], *address,
                "--set",
                "minSessionTimeout=9000", "--set", "maxSessionTimeout=1000")


def bad_files(t):
    with tempfile.TemporaryDirectory() as folder:
        for what, text, wanted in (
                ("an unknown key", "tickTime=2000\nmaxClientCnxn=3\n",
                 ["f.cfg:2", "maxClientCnxn", "maxClientCnxns"]),
                ("a bad value", "\n\ntickTime=soon\n", ["f.cfg:3", "tickTime", "soon"]),
                ("client authentication", "sessionRequireClientSASLAuth=true\n",
                 ["f.cfg:1", "sessionRequireClientSASLAuth"]),
                ("TLS", "dataDir=x\nsecureClientPort=2281\n", ["f.cfg:2", "secureClientPort"]),
                ("an ensemble",
                 "dataDir=x\nserver.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n",
                 ["server."])):
            path = write(folder, "f.cfg", text)
            refused(t, what, wanted, "-c", path, cwd=folder)


def zoo_cfg(t):
    """A zoo.cfg as it comes with the reference, with comments, spaces and what has no meaning
    here."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        data = os.path.join(folder, "zk data")
        path = write(folder, "zoo.cfg", "\n".join([
            "# The number of milliseconds of each tick", "tickTime=250", "initLimit=10",
            "syncLimit = 5",
            "dataDir=%s" % data, "clientPort=%d" % port, "clientPortAddress=127.0.0.1",
            "! another comment",
            "autopurge.snapRetainCount=3", "autopurge.purgeInterval=0", "maxClientCnxns=60",
            "minSessionTimeout=700", "maxSessionTimeout : 9000",
            "4lw.commands.whitelist=ruok, conf,\\", "  srvr",
            "zookeeper.globalOutstandingLimit=1000", "admin.enableServer=false",
            "preAllocSize=65536",
            "snapCount=100000", ""]))
        process = subprocess.Popen([pandotest.Pandod.path, "-c", path], cwd=folder,
                                   stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        output = pandotest.Output(process.stderr)
        try:
            line = output.wait_line(lambda line: "serving" in line, PATIENCE)
            if not t.ok(line, "it serves: %s" % output.text()):
                return
            t.ok(data in line, "the data folder in %r" % line)
            t.ok(any("snapCount" in line for line in output.lines),
                 "a notice for a key without a meaning")
            address = ("127.0.0.1", port)
            with zkwire.Client(address, timeout=1) as c, zkwire.Client(address, timeout=99999) as d:
                t.eq((c.session.timeout, d.session.timeout), (700, 9000),
                     "the limits of the session timeout")
                t.eq(c.err("create", "/a"), 0, "a create")
            t.eq(zkwire.four_letters(address, "ruok"), "imok", "a listed word")
            t.ok("tickTime=250" in zkwire.four_letters(address, "conf"), "conf")
            t.ok("zk_" not in zkwire.four_letters(address, "mntr"), "a word that is not listed")
        finally:
            process.kill()
            process.wait()
            output.thread.join()


def second_server(t):
    with t.server() as s:
        with s.client() as c:
            c.must("create", "/a", b"1")
            refused(t, "a second server on the folder", [str(s.process.pid), s.data], "--data",
                    s.data, "--listen",
                    "127.0.0.1:%d" % free_port())
            t.eq(c.must("get", "/a")[0], b"1", "the first goes on")
            t.eq(c.err("set", "/a", b"2"), 0, "and writes")
        s.restart()
        with s.client() as c:
            t.eq(c.must("get", "/a")[0], b"2", "after a kill -9 the folder is free again")
    with tempfile.TemporaryDirectory() as logs, t.server({"dataLogDir": logs}) as s, \
            tempfile.TemporaryDirectory() as folder:
        refused(t, "another data folder with the same log", [str(s.process.pid), logs], "--data", folder,
                "--set", "dataLogDir=" + logs, "--listen", "127.0.0.1:%d" % free_port())


def port_in_use(t):
    with socket.socket() as other, tempfile.TemporaryDirectory() as folder:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        refused(t, "a port in use", [port, "in use"], "--data", os.path.join(folder, "d"),
                "--listen", "127.0.0.1:" + port)
    with t.server() as s, tempfile.TemporaryDirectory() as folder:
        refused(t, "a port of another pandod", [str(s.port), "in use"], "--data",
                os.path.join(folder, "d"), "--listen",
                "127.0.0.1:%d" % s.port)
        t.eq(s.word("ruok"), "imok", "the other goes on")


def bad_folders(t):
    with tempfile.TemporaryDirectory() as folder:
        address = ["--listen", "127.0.0.1:%d" % free_port()]
        path = write(folder, "file", "not a folder\n")
        refused(t, "a file for a folder", [path], "--data", path, *address)
        refused(t, "a folder below a file", [path], "--data", path + "/data", *address)
        refused(t, "a folder where none can be made", ["/proc/none"], "--data", "/proc/none",
                *address)
        refused(t, "a folder that cannot be written", ["/proc/self"], "--data", "/proc/self",
                *address)
        with open(path, encoding="utf-8") as left:
            t.eq(left.read(), "not a folder\n", "the file is as it was")


def sigterm(t):
    for turn in range(5):
        with t.server() as s:
            c = s.client()
            path = c.must("create", "/n")
            # Some are read and some are not; what has been done is what has been answered.
            c.send_bytes(b"".join(c.encode("set", path, b"x" * 500) for _ in range(2000)))
            answered = [c.recv()]
            s.signal(signal.SIGTERM)
            answered += c.wait_closed()
            status = s.wait(PATIENCE)
            t.eq(status, 0, "status after SIGTERM (%s)" % s.output.text()[-500:])
            t.ok(all(reply.err == 0 for reply in answered), "answers are successes")
            versions = [reply.value.version for reply in answered]
            t.eq(versions, list(range(1, len(versions) + 1)), "in order, none left out")
            s.start()
            with s.client(session=c.session.id, password=c.session.password,
                          last_zxid=c.zxid) as again:
                t.eq(again.session.id, c.session.id, "the session lives")
                t.eq(again.must("exists", path).version, len(versions),
                     "what was done is what was answered, %d" % turn)


def sigterm_idle(t):
    with t.server() as s:
        clients = [s.client() for _ in range(20)]
        clients[0].must("create", "/e", b"", flags=zkwire.EPHEMERAL)
        half = zkwire.Client(s.address, shake=False)
        half.send_bytes(b"\x00\x00")
        t.eq(s.terminate(PATIENCE), 0, "status with 20 idle clients and half a handshake")
        t.ok(all(c.wait_closed() == [] for c in clients), "all are closed")
        s.start()
        with s.client() as c:
            t.eq(c.err("exists", "/e"), 0, "an orderly end does not end sessions")
        t.eq(s.terminate(PATIENCE), 0, "status without any")
    with t.server() as s:
        s.signal(signal.SIGINT)
        t.eq(s.wait(PATIENCE), 0, "SIGINT is as good")
        s.start()
        t.eq(s.word("ruok"), "imok", "started again")


def restarts(t):
    with t.server() as s:
        zxid = 0
        for n in range(8):
            with s.client(last_zxid=zxid) as c:
                t.eq(sorted(name for name in c.must("children", "/") if name != "zookeeper"),
                     sorted("n%d" % i for i in range(n)), "nodes at start %d" % n)
                reply = c.call("create", "/n%d" % n, b"%d" % n)
                t.ok(reply.zxid > zxid, "zxid at start %d" % n)
                c.must("set", "/n0", b"v%d" % n)
                zxid = c.call("sync", "/").zxid
            if n % 2:
                s.restart()
            else:
                t.eq(s.terminate(PATIENCE), 0, "status")
                s.start()
        with s.client(last_zxid=zxid) as c:
            t.eq(c.must("exists", "/n0").version, 8, "every set")
            c.must("create", "/big", b"x" * 1000000)
            c.must("multi", [("create", "/many%d" % i) for i in range(3000)])
        s.restart()
        with s.client() as c:
            t.eq(len(c.must("get", "/big")[0]), 1000000, "a megabyte")
            t.eq(c.must("exists", "/").num_children, 3010, "three thousand in a multi")


def json_log(t):
    with t.server({"logFormat": "json", "logLevel": "debug"}) as s:
        with s.client() as c:
            c.must("create", "/a\"\\b")
            c.close_session()
        with s.client(shake=False) as c:
            c.handshake(session=5)  # refused, which is logged
        s.terminate(PATIENCE)
        lines = [line for line in s.output.lines if line]
        t.ok(lines, "there are lines")
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                t.fail("no JSON: %r" % line)
                continue
            t.ok(isinstance(value, dict), "an object: %r" % line)
            t.ok(any("level" in key.lower() for key in value), "with a level: %r" % line)


def text_log(t):
    with t.server() as s:
        before = len(s.output.lines)
        with s.client(shake=False) as c:
            c.handshake(session=0x1234, password=b"p" * 16)
        line = s.output.wait_line(lambda line: "1234" in line or "4660" in line, PATIENCE)
        t.ok(line, "a refused handshake is logged with its session: %r" % s.output.lines[before:])
        with s.client(shake=False) as c:
            c.send_frame(b"garbage")
            c.silent_end()
        t.eq(s.word("ruok"), "imok", "and the server goes on")


def max_client_connections(t):
    with t.server({"maxClientCnxns": 3}) as s:
        clients = [s.client() for _ in range(3)]
        with zkwire.Client(s.address, shake=False) as c:
            t.ok(c.handshake() is None, "a fourth connection is closed")
        clients.pop().drop()

        def admitted():
            with zkwire.Client(s.address, shake=False) as c:
                return c.handshake() is not None
        t.ok(wait_until(admitted, "room for another connection"), "room again once one has gone")
        for c in clients:
            t.eq(c.err("exists", "/"), 0, "the others are served")


def max_buffer(t):
    with t.server({"jute.maxbuffer": 10000}) as s:
        with s.client() as c:
            c.must("create", "/a", b"x" * 9900)
            c.send_bytes(zkwire.i32(10001))
            t.eq(c.wait_closed(), [], "closed at 10001 bytes")
    with t.server({"jute.maxbuffer": 4194304}) as s:
        with s.client() as c:
            c.must("create", "/a", b"x" * 4000000)
        s.restart()
        with s.client() as c:
            t.eq(len(c.must("get", "/a")[0]), 4000000, "four megabytes, after a restart")


def skip_acl(t):
    with t.server({"skipACL": "yes"}) as s, s.client() as c:
        c.must("create", "/a", b"", zkwire.acl_world(0))
        t.eq(c.err("get", "/a"), 0, "getData without READ")
        t.eq(c.err("set", "/a", b"x"), 0, "setData without WRITE")
        t.eq(c.err("create", "/a/b"), 0, "create without CREATE")
        t.eq(c.err("delete", "/a/b"), 0, "delete without DELETE")
        t.eq(c.err("set_acl", "/a"), 0, "setACL without ADMIN")


def several_io_threads(t):
    for threads in (1, 3):
        with t.server({"ioThreads": threads}) as s:
            clients = [s.client() for _ in range(12)]
            for c in clients:
                c.must("get", "/", True)
            clients[0].must("set", "/", b"x")
            for n, c in enumerate(clients):
                t.eq(c.take_events(), [(zkwire.CHANGED, "/")], "watcher %d of %d threads"
                     % (n, threads))
            # A session moves from one thread's connection to another's.
            first = clients[0]
            for _ in range(8):
                with s.client(session=first.session.id, password=first.session.password) as moved:
                    t.eq(moved.err("set", "/", b"y"), 0, "a write after a move, %d threads"
                         % threads)


TESTS = [
    ("start: one line with address, folder, zxid, nodes and time", start_line),
    ("start: ./pando-data by default", defaults),
    ("command line: --version and --check", version_and_check),
    ("command line: errors", bad_command_lines),
    ("configuration file: errors name file, line and the nearest key", bad_files),
    ("configuration file: a zoo.cfg works", zoo_cfg),
    ("folder: a second server is refused and the first one named", second_server),
    ("port: in use", port_in_use),
    ("folder: not writable", bad_folders),
    ("SIGTERM: answers what it has read, status 0", sigterm),
    ("SIGTERM: with idle clients", sigterm_idle),
    ("restart: all is there, again and again", restarts),
    ("log: as JSON", json_log),
    ("log: a refused handshake", text_log),
    ("limits: maxClientCnxns", max_client_connections),
    ("limits: jute.maxbuffer", max_buffer),
    ("settings: skipACL", skip_acl),
    ("settings: ioThreads", several_io_threads),
]


def main():
    options, server_class = pandotest.arguments(__doc__)
    if server_class.real:
        pandotest.skip("these are pandod's own manners")
    runner = pandotest.Runner(options, server_class)
    for name, function in TESTS:
        runner.run(name, function)
    runner.finish()


if __name__ == "__main__":
    main()
