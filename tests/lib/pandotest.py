"""Starting, killing and restarting servers for tests, and a small runner.

The server under test is pandod, whose path comes from --pandod, from PANDO_PANDOD or from the build
folder. With --zookeeper the same tests run against Apache ZooKeeper of the Debian packages, which
is how their expectations are known to be real.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import zkwire

SKIP = 77
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
JARS = "/usr/share/java"


def free_port():
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until(condition, what, patience=zkwire.PATIENCE, pause=0.01):
    """Asks condition() again and again until it is true; its value."""
    deadline = time.monotonic() + patience
    turn = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError("%s: not within %g s" % (what, patience))
        turn.wait(pause)


class Output:
    """A process's standard error, read by a thread of its own; lines can be waited for."""

    def __init__(self, stream):
        self.lines = []
        self.ended = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        with stream:
            for line in stream:
                with self.changed:
                    self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_line(self, wanted, patience):
        """The first line for which wanted(line); None when the output ended or nothing came in
        time."""
        seen = 0
        deadline = time.monotonic() + patience
        with self.changed:
            while True:
                for line in self.lines[seen:]:
                    if wanted(line):
                        return line
                seen = len(self.lines)
                if self.ended or not self.changed.wait(max(deadline - time.monotonic(), 0)):
                    return None

    def text(self):
        with self.changed:
            return "\n".join(self.lines)


class Server:
    """What pandod and ZooKeeper have in common: a folder, a port and a process. Usable in
    `with`."""

    real = False

    def __init__(self, settings=None, folder=None, port=None, start=True):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="pando-test-")
        self.data = os.path.join(self.folder, "data")
        self.fixed_port = port
        self.port = port
        self.settings = dict(settings or {})
        self.process = None
        self.output = None
        self.keep = False
        self.history = []
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None and os.environ.get("PANDO_KEEP"):
            self.keep = True
        self.close()

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def hosts(self):
        return "127.0.0.1:%d" % self.port

    def start(self):
        """Starts the process and waits until it serves. A port that somebody took meanwhile is
        given up."""
        for attempt in range(5):
            if self.fixed_port is None and self.port is None:
                self.port = free_port()
            self.spawn()
            if self.ready():
                return self
            text = self.output.text()
            self.kill9()
            if self.fixed_port is not None or "in use" not in text:
                break
            self.port = None
        raise RuntimeError("the server does not start; its output:\n%s" % text)

    def spawn(self, extra=()):
        self.process = subprocess.Popen(self.command() + list(extra), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        cwd=self.folder)
        self.output = Output(self.process.stderr)
        self.history.append(self.output)

    def probe(self):
        """Whether a handshake succeeds."""
        try:
            with zkwire.Client(self.address, shake=False) as client:
                session = client.handshake(timeout=4000)
                if session is None or session.timeout == 0:
                    return False
                client.close_session()
                return True
        except (OSError, zkwire.Closed, zkwire.Malformed):
            return False

    def kill9(self):
        """kill -9, and waits for the end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.output.thread.join()
            self.process = None

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, patience=zkwire.PATIENCE):
        """The exit status, once it has ended."""
        status = self.process.wait(patience)
        self.output.thread.join()
        self.process = None
        return status

    def terminate(self, patience=zkwire.PATIENCE):
        """SIGTERM; the exit status."""
        self.signal()
        return self.wait(patience)

    def restart(self):
        """kill -9 and a start on the same folder and port."""
        self.kill9()
        return self.start()

    def client(self, **kwargs):
        kwargs.setdefault("timeout", 30000)
        return zkwire.Client(self.address, **kwargs)

    def word(self, word, tail=b"\n"):
        return zkwire.four_letters(self.address, word, tail)

    def stderr(self):
        """All that the processes of this server have said."""
        return "\n".join(output.text() for output in self.history)

    def close(self):
        if self.process is not None:
            self.kill9()
        if self.own_folder:
            if self.keep:
                with open(os.path.join(self.folder, "stderr.txt"), "w", encoding="utf-8") as out:
                    out.write(self.stderr())
                print("# kept: %s" % self.folder, flush=True)
            else:
                shutil.rmtree(self.folder, ignore_errors=True)


class Pandod(Server):
    path = None

    def command(self):
        out = [self.path, "--data", self.data, "--listen", "127.0.0.1:%d" % self.port]
        for key, value in self.settings.items():
            out += ["--set", "%s=%s" % (key, value)]
        return out

    def ready(self):
        self.ready_line = self.output.wait_line(lambda line: "serving" in line, zkwire.PATIENCE)
        return self.ready_line is not None


class ZooKeeper(Server):
    """Debian's ZooKeeper, alone, with a folder of its own."""

    real = True

    @staticmethod
    def missing():
        """What has to be installed for it, or None."""
        if shutil.which("java") is None:
            return "java"
        for jar in ("zookeeper.jar", "slf4j-simple.jar"):
            if not os.path.exists(os.path.join(JARS, jar)):
                return "%s/%s" % (JARS, jar)
        return None

    def command(self):
        config = os.path.join(self.folder, "zoo.cfg")
        settings = {"tickTime": 2000, "maxClientCnxns": 0, "admin.enableServer": "false",
                    "4lw.commands.whitelist": "*"}
        settings.update(self.settings)
        with open(config, "w", encoding="utf-8") as out:
            out.write("dataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\n"
                      % (self.data, self.port))
            for key, value in settings.items():
                out.write("%s=%s\n" % (key, value))
        return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
                "-Dzookeeper.log.dir=" + self.folder,
                "-Dzookeeper.extendedTypesEnabled=true",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.server.PrepRequestProcessor"
                "=info", "-cp",
                "%s/zookeeper.jar:%s/slf4j-simple.jar" % (JARS, JARS),
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", config]

    def ready(self):
        # A connection that comes earlier than this line can wedge its start for good.
        if self.output.wait_line(lambda line: "PrepRequestProcessor" in line,
                                 zkwire.PATIENCE) is None:
            return False
        try:
            wait_until(lambda: self.process.poll() is not None or self.probe(),
                       "ZooKeeper's handshake")
        except TimeoutError:
            return False
        return self.process.poll() is None


def find_pandod(given=None):
    """The path of pandod, or None."""
    for path in (given, os.environ.get("PANDO_PANDOD"),
                 os.path.join(ROOT, "build", "daemon", "pandod")):
        if path:
            return os.path.abspath(path) if os.path.exists(path) else None
    return None


def skip(reason):
    """Ends the program: skipped, or failed where a skip is not acceptable."""
    if os.environ.get("PANDO_REQUIRE_INTEROP") == "1":
        print("FAILED, not to be skipped here: %s" % reason, flush=True)
        sys.exit(1)
    print("SKIPPED: %s" % reason, flush=True)
    sys.exit(SKIP)


def arguments(description, more=None):
    """Reads the command line and returns (options, server class)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--pandod",
                        help="path of the server under test (default: PANDO_PANDOD, then build/)")
    parser.add_argument("--zookeeper", action="store_true",
                        help="run against Debian's ZooKeeper instead")
    parser.add_argument("--only", metavar="TEXT", help="only tests whose name has this text")
    if more:
        more(parser)
    options = parser.parse_args()
    if options.zookeeper:
        if ZooKeeper.missing():
            skip("ZooKeeper needs %s" % ZooKeeper.missing())
        return options, ZooKeeper
    Pandod.path = find_pandod(options.pandod)
    if Pandod.path is None:
        print("no pandod: name it with --pandod PATH or PANDO_PANDOD", flush=True)
        sys.exit(1)
    return options, Pandod


class Runner:
    """Runs test functions and counts. A check that fails is reported and the test goes on: one run
    shows all.

    The methods that check return whether it held.
    """

    def __init__(self, options, server_class):
        self.options = options
        self.server_class = server_class
        self.real = server_class.real
        self.checks = self.tests = self.failed_tests = 0
        self.failures = []
        self.name = ""

    def server(self, settings=None, **kwargs):
        return self.server_class(settings, **kwargs)

    def fail(self, what):
        line = traceback.extract_stack()
        where = next((f for f in reversed(line) if os.path.basename(f.filename) != "pandotest.py"),
                     line[-1])
        self.failures.append("%s:%d: %s" % (os.path.basename(where.filename), where.lineno, what))

    def ok(self, condition, what):
        self.checks += 1
        if not condition:
            self.fail(what)
        return bool(condition)

    def eq(self, got, want, what):
        return self.ok(got == want, "%s: expected %r, got %r" % (what, want, got))

    def among(self, got, choices, what):
        return self.ok(got in choices, "%s: expected one of %r, got %r" % (what, choices, got))

    def saner(self, got, want, reference, what):
        """Where this project means to behave better than the reference, both are written down."""
        return self.eq(got, reference if self.real else want, what)

    def run(self, name, function, *args):
        """One test; an exception is a failure of it."""
        if self.options.only and self.options.only not in name:
            return
        self.name = name
        self.tests += 1
        self.failures = []
        before, begun = self.checks, time.monotonic()
        try:
            function(self, *args)
        except Exception as error:  # pylint: disable=broad-except
            trace = traceback.format_exc().rstrip().replace("\n", "\n#   ")
            self.failures.append("%s: %s\n#   %s" % (type(error).__name__, error, trace))
        print("%s %d - %s (%d checks, %.2f s)"
              % ("not ok" if self.failures else "ok", self.tests, name,
                                                 self.checks - before, time.monotonic() - begun))
        for failure in self.failures:
            print("# " + failure)
        self.failed_tests += bool(self.failures)
        sys.stdout.flush()

    def finish(self):
        """Prints the sum and ends the program."""
        print("%d passed, %d failed (%d checks, %s)"
              % (self.tests - self.failed_tests, self.failed_tests,
                                                       self.checks, "ZooKeeper" if self.real
                 else "pandod"))
        sys.stdout.flush()
        sys.exit(1 if self.failed_tests or not self.tests else 0)
