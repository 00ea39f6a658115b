#!/usr/bin/env python3
"""tidy.py --source DIR --build DIR [--pandod FILE] [--archive FILE]... [--cc COMMAND]

What a reviewer should not have to look for: layers and purity, the manual pages, banned calls, sizes, headers.
A finding is one line, FILE:LINE: RULE: what is wrong and what to do about it. The data stands in layers.py,
the rules in rules.py. Before anything else each rule is shown bad samples (selftest.py): a rule that misses
one is a failure of its own."""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import layers  # noqa: E402
import rules  # noqa: E402
import selftest  # noqa: E402

FOLDERS = ["schema", "daemon", "libclient", "recipes", "tools", "tests", "man", ".ci"]
TOP_FILES = ["README.md", "CONTRIBUTING.md", "meson.build", "meson_options.txt"]
TEXT = re.compile(r"\.(c|h|py|def|md|sh|sample|service|[1-8])$|/meson\.build$|^tools/[\w-]+$|^\.ci/\w+$")
HERE = "tests/tidy/"  # its own patterns and samples look like what they are to find


def sources(root):
    for name in TOP_FILES:
        if os.path.exists(os.path.join(root, name)):
            yield name
    for top in FOLDERS:
        for folder, _, names in sorted(os.walk(os.path.join(root, top))):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(folder, name), root)
                if TEXT.search(path):
                    yield path


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def check_text(path, text, used_calls):
    """All rules that look at one file."""
    yield from rules.sizes(path, text)
    if path.startswith(HERE):
        return
    yield from rules.left_over(path, text)
    yield from rules.workplace(path, text)
    if not path.endswith((".c", ".h")):
        return
    yield from rules.includes(path, text)
    yield from rules.function_sizes(path, text)
    if path.endswith(".h"):
        yield from rules.guard(path, text)
        if path.startswith(("daemon/", "schema/")):
            yield from rules.contracts(path, text)
    if path.startswith(("daemon/", "schema/", "libclient/", "recipes/")):
        yield from rules.banned_calls(path, text, used_calls)


def stale_exceptions(texts, used_calls):
    """An exception that nothing needs any more would hide the next offence."""
    for key in layers.ALLOWED_CALLS:
        if key not in used_calls:
            yield HERE + "layers.py", 1, "stale exception", "ALLOWED_CALLS %s: nothing needs it, take it out" % (key,)
    for path, text in layers.ALLOWED_WORDS:
        if text not in texts.get(path, ""):
            yield HERE + "layers.py", 1, "stale exception", "ALLOWED_WORDS %s %s: take it out" % (path, text)
    for path, (limit, _) in layers.LONG_FILES.items():
        if texts.get(path, "").count("\n") <= layers.FILE_LINES:
            yield HERE + "layers.py", 1, "stale exception", "LONG_FILES %s: it is short enough, take it out" % path
    for (path, name), (limit, _) in layers.LONG_FUNCTIONS.items():
        found = [n for f, _, n in rules.functions(texts.get(path, "")) if f == name]
        if not found or max(found) <= layers.FUNCTION_LINES:
            yield HERE + "layers.py", 1, "stale exception", "LONG_FUNCTIONS %s %s: take it out" % (path, name)
    for path, names in layers.UNCOMMENTED.items():
        for name in names:
            if not re.search(r"\b%s\(" % name, texts.get(path, "")):
                yield HERE + "layers.py", 1, "stale exception", "UNCOMMENTED %s %s: take it out" % (path, name)


def compiles_alone(cc, root, build, path):
    command = cc + ["-std=gnu11", "-D_GNU_SOURCE", "-DPANDO_CHECKS=0", "-fsyntax-only", "-x", "c", "-w",
                    "-I" + root, "-I" + build, os.path.join(root, path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        first = next((x for x in done.stderr.split("\n") if "error" in x), done.stderr[:200])
        return [(path, 1, "header", "does not compile alone (%s); include what it uses" % first.strip())]
    return []


def check_headers(cc, root, build, headers):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda path: compiles_alone(cc, root, build, path), headers):
            yield from found


def nm(archive):
    """(undefined, defined) symbols of all of an archive's objects together."""
    done = subprocess.run(["nm", "-A", archive], capture_output=True, text=True, check=True)
    undefined, defined = set(), set()
    for line in done.stdout.split("\n"):
        m = re.search(r" ([A-Za-z]) (\S+)$", line)
        if m and m[1] in "Uwv":
            undefined.add(m[2])
        elif m:
            defined.add(m[2])
    return undefined - defined, defined


def check_symbols(root, archives):
    tables = {name: nm(path) for name, path in archives.items()}
    defined = {name: table[1] for name, table in tables.items()}
    faces = {key: read(root, path) for key, path in layers.FACES.items()}
    for name in layers.PURE_ARCHIVES:
        if name not in tables:
            yield "libpando_%s.a" % name, 0, "purity", "not given to the test: tests/tidy/meson.build lists them"
        else:
            yield from rules.symbols(name, tables[name][0], defined, faces)


def check_manual(root, pandod):
    pages = {}
    for page in ("man/pandod.8", "man/pando.conf.5"):
        try:
            pages[page] = read(root, page)
        except OSError:
            yield page, 1, "manual", "there is no such page"
            pages[page] = None
    table = read(root, "daemon/run/run_conf_keys.c")
    conf, server = pages["man/pando.conf.5"], pages["man/pandod.8"]
    if conf is not None:
        yield from rules.keys(table, "man/pando.conf.5", conf)
        yield from rules.limits("daemon/base/limits.h", read(root, "daemon/base/limits.h"), table, "man/pando.conf.5",
                                conf)
    if server is not None:
        help_text = subprocess.run([pandod, "--help"], capture_output=True, text=True, check=True).stdout
        yield from rules.options(help_text, "man/pandod.8", server)
        yield from rules.words_and_metrics(read(root, "daemon/run/run_words.c"), "man/pandod.8", server)


def check_generated(build):
    """What the generator makes is held against the layers too."""
    folder = os.path.join(build, "schema")
    for name in sorted(os.listdir(folder)):
        if re.fullmatch(r"\w+_gen(_random)?\.[ch]", name):
            text = read(folder, name)
            yield from rules.includes("schema/" + name, text.replace('#include "schema/kind.h"', ""))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--pandod")
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--archive", action="append", default=[])
    return parser.parse_args()


def main():
    args = arguments()
    findings = list(selftest.run(args.cc.split(), compiles_alone, nm))
    texts = {path: read(args.source, path) for path in sources(args.source)}
    used_calls = set()
    for path, text in texts.items():
        findings += check_text(path, text, used_calls)
    findings += stale_exceptions(texts, used_calls)
    headers = [p for p in texts if p.endswith(".h")]
    findings += check_headers(args.cc.split(), args.source, args.build, headers)
    findings += check_generated(args.build)
    archives = {re.sub(r"^libpando_|\.a$", "", os.path.basename(a)): a for a in args.archive}
    findings += check_symbols(args.source, archives)
    if args.pandod:
        findings += check_manual(args.source, args.pandod)
    for path, line, rule, what in findings:
        print("%s:%d: %s: %s" % (path, line, rule, what))
    print("%d files, %d findings" % (len(texts), len(findings)))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
