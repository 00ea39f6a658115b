#!/usr/bin/env python3
"""First figures: starts a server on loopback with fsync on and prints a table of what it does.

    first_figures.py [--load LOAD] [--dir DIR] [--rounds 3] [--zookeeper] [--floor FLOOR] [PANDOD]

Each figure is the median of the rounds; the servers named take turns within a round, so
that a busy machine disturbs all of them alike. The data stand in a temporary folder below DIR
(default: beside LOAD), which has to be on a real disk: on a tmpfs there is no fsync to measure.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

# name, mode and options; the key of the figures shown
ROWS = [
    ("get 128 B, 64 x 32", ["get"]),
    ("set 128 B, 64 x 32", ["set"]),
    ("create 1 KiB, 64 x 32", ["create"]),
    ("get 128 B, 64 x 1", ["get", "--in-flight", "1"]),
    ("set 128 B, 64 x 1", ["set", "--in-flight", "1"]),
    ("get 128 B, 1 x 1", ["get", "--connections", "1", "--in-flight", "1"]),
    ("set 128 B, 1 x 1", ["set", "--connections", "1", "--in-flight", "1"]),
]
GOALS = {"get 128 B, 64 x 32": 600000, "set 128 B, 64 x 32": 250000}
RESIDENT_GOAL_MB = 300
START_LIMIT_S = 60


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serves(port):
    """Whether a session can be opened (and closed): more than a listening port or "ruok" tell."""
    hello = struct.pack(">iiqiqi16sb", 45, 0, 0, 30000, 0, 16, bytes(16), 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            s.sendall(hello)
            answer = s.recv(20, socket.MSG_WAITALL)
            if len(answer) < 20 or struct.unpack(">q", answer[12:])[0] == 0:
                return False
            s.sendall(struct.pack(">iii", 8, 1, -11))
            return len(s.recv(20, socket.MSG_WAITALL)) == 20
    except OSError:
        return False


class Server:
    """One process with its own data folder; `kind` is pando, zookeeper or floor."""

    def __init__(self, kind, program, folder):
        self.kind, self.program = kind, program
        self.folder = tempfile.mkdtemp(prefix=kind + "-", dir=folder)
        self.process, self.port, self.log = None, None, None

    def command(self):
        data = os.path.join(self.folder, "data")
        if self.kind == "pando":
            return [self.program, "--data", data, "--listen", "127.0.0.1:%d" % self.port]
        if self.kind == "floor":
            return [self.program, "--port", str(self.port), "--log",
                    os.path.join(self.folder, "log")]
        conf = os.path.join(self.folder, "zoo.cfg")
        with open(conf, "w", encoding="utf-8") as f:
            f.write("tickTime=2000\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\n"
                    "maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n"
                    % (data, self.port))
        return ["java", "-cp", "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar",
                "-Dzookeeper.root.logger=WARN,CONSOLE", "-Dzookeeper.log.dir=" + self.folder,
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", conf]

    def start(self):
        """Returns the seconds until it answers."""
        self.port = free_port()
        self.log = open(os.path.join(self.folder, "log.txt"), "ab")
        begin = time.monotonic()
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        while not serves(self.port):
            if self.process.poll() is not None or time.monotonic() > begin + START_LIMIT_S:
                with open(self.log.name, "rb") as f:
                    tail = f.read()[-2000:].decode(errors="replace")
                raise SystemExit("%s did not start:\n%s" % (self.kind, tail))
            time.sleep(0.005)
        return time.monotonic() - begin

    def resident_mb(self):
        with open("/proc/%d/status" % self.process.pid, encoding="utf-8") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024 / 1e6
        return 0.0

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
            self.log.close()

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def run_load(load, server, args):
    done = subprocess.run([load, "--server", "127.0.0.1:%d" % server.port,
                           "--pid", str(server.process.pid), "-o", "json"] + args,
                          stdout=subprocess.PIPE, check=False)
    if not done.stdout:
        raise SystemExit("%s: load %s failed" % (server.kind, " ".join(args)))
    result = json.loads(done.stdout)
    if done.returncode != 0:
        print("%s: load %s: %d wrong answers" % (server.kind, " ".join(args), result["errors"]),
              file=sys.stderr)
    return result


def measure_rows(opts, kind, program, figures):
    server = Server(kind, program, opts.dir)
    try:
        server.start()
        # Not counted: a virtual machine compiles what is hot only after a while.
        run_load(opts.load, server, ["mixed", "--seconds", "4"])
        for name, args in ROWS:
            r = run_load(opts.load, server, ["--seconds", str(opts.seconds)] + args)
            figures.setdefault((kind, name), []).append(r)
    finally:
        server.remove()


def measure_fill(opts, kind, program, figures):
    """A million nodes in a fresh server: how fast, how large, and how long a restart takes."""
    server = Server(kind, program, opts.dir)
    try:
        server.start()
        r = run_load(opts.load, server,
                     ["fill", "--count", str(opts.fill), "--size", "100", "--keep"])
        r["resident_mb"] = server.resident_mb()
        server.stop()
        r["restart_s"] = server.start()
        r["restarted_mb"] = server.resident_mb()
        figures.setdefault((kind, "fill"), []).append(r)
    finally:
        server.remove()


def median(results, *keys):
    values = []
    for r in results:
        for k in keys:
            r = r[k]
        values.append(r)
    return statistics.median(values)


def print_tables(kinds, figures, fill):
    head = "%-24s %-10s %12s %9s %9s %9s %10s %9s %8s"
    line = "%-24s %-10s %12s %9.0f %9.0f %9.0f %10.2f %9.2f %8s"
    print(head % ("row", "server", "ops/s", "p50 us", "p99 us", "p99.9 us", "server us", "load us",
                  "goal"))
    for name, _ in ROWS:
        for kind in kinds:
            rs = figures[(kind, name)]
            rate = median(rs, "per_second")
            goal = ""
            if kind == "pando" and name in GOALS:
                goal = "met" if rate >= GOALS[name] else "MISSED"
            print(line % (name, kind, "{:,.0f}".format(rate), median(rs, "latency_us", "p50"),
                          median(rs, "latency_us", "p99"), median(rs, "latency_us", "p99.9"),
                          median(rs, "server_cpu_us_per_op"), median(rs, "load_cpu_us_per_op"),
                          goal))
    for kind in kinds:
        rs = figures.get((kind, "fill"))
        if rs is None:
            continue
        resident = median(rs, "resident_mb")
        goal = ""
        if kind == "pando":
            goal = " (goal %d MB: %s)" % (RESIDENT_GOAL_MB,
                                          "met" if resident <= RESIDENT_GOAL_MB else "MISSED")
        print("%s: %s nodes of 100 bytes: %s/s, %.0f MB resident%s; "
              "restart %.2f s, then %.0f MB" % (
            kind, "{:,}".format(fill), "{:,.0f}".format(median(rs, "per_second")), resident, goal,
            median(rs, "restart_s"), median(rs, "restarted_mb")))


def file_system(path):
    best = ("", "?")
    path = os.path.realpath(path)
    with open("/proc/mounts", encoding="utf-8") as f:
        for line in f:
            _, point, kind = line.split()[:3]
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best[0]):
                best = (point, kind)
    return best[1]


def beside(program):
    """The default folder and the default place of `load`: in the build tree of pandod."""
    for base in [os.path.dirname(os.path.realpath(program or ".")), os.getcwd()]:
        for below in ["load", "../tests/bench/load", "tests/bench/load"]:
            path = os.path.normpath(os.path.join(base, below))
            if os.path.isfile(path):
                return path
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pandod", nargs="?")
    parser.add_argument("--load", help="the load generator (default: that of pandod's build)")
    parser.add_argument("--dir", help="where the data folders are made (default: beside LOAD)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--fill", type=int, default=1000000, help="nodes; 0: without that row")
    parser.add_argument("--zookeeper", action="store_true", help="Debian's ZooKeeper beside it")
    parser.add_argument("--floor", metavar="FLOOR", help="the server of constants beside it")
    opts = parser.parse_args()
    opts.load = opts.load or beside(opts.pandod)
    if opts.load is None:
        parser.error("no load generator found: say --load")
    opts.dir = opts.dir or os.path.dirname(os.path.realpath(opts.load))
    servers = [("pando", opts.pandod)] if opts.pandod else []
    servers += [("zookeeper", None)] if opts.zookeeper else []
    servers += [("floor", opts.floor)] if opts.floor else []
    if not servers:
        parser.error("nothing to measure: name PANDOD, --zookeeper or --floor")
    kind = file_system(opts.dir)
    if kind in ("tmpfs", "ramfs"):
        parser.error("%s is on a %s, which has no fsync to measure: say --dir" % (opts.dir, kind))
    print("%d cores, %s, file system %s, %d rounds of %g s" % (
        os.cpu_count(), os.uname().release, kind, opts.rounds, opts.seconds), flush=True)
    figures = {}
    for _ in range(opts.rounds):
        for name, program in servers:
            measure_rows(opts, name, program, figures)
        for name, program in servers:
            if opts.fill and name != "floor":
                measure_fill(opts, name, program, figures)
    print_tables([name for name, _ in servers], figures, opts.fill)


if __name__ == "__main__":
    main()
