"""The rules of the tidy test that look at one file, or at a program's answer. Each yields findings
(path, line, rule, what is wrong and what to do); none of them reads a file that it was not given."""
import re

import layers


def strip_c(text, keep_strings=False):
    """The text without comments (and what is in strings and characters); lines stay where they are."""
    out, i, n = [], 0, len(text)
    while i < n:
        two, c = text[i : i + 2], text[i]
        if two == "/*":
            end = text.find("*/", i + 2)
            end = n if end < 0 else end + 2
            out.append("".join("\n" if x == "\n" else " " for x in text[i:end]))
            i = end
        elif two == "//":
            end = text.find("\n", i)
            i = n if end < 0 else end
        elif c in "\"'":
            j = i + 1
            while j < n and text[j] != c and text[j] != "\n":
                j += 2 if text[j] == "\\" else 1
            body = text[i + 1 : j]
            out.append(c + (body if keep_strings else " " * len(body)) + c)
            i = j + 1
        else:
            out.append(c)
            i += 1
    return "".join(out)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def columns(line):
    at = 0
    for c in line:
        at = at + 8 - at % 8 if c == "\t" else at + 1
    return at


def folder_rule(path):
    best = ""
    for folder in layers.LAYERS:
        if path.startswith(folder) and len(folder) > len(best):
            best = folder
    return best


def matches(name, patterns):
    return any(name.startswith(p) if p.endswith("/") else name == p for p in patterns)


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def includes(path, text):
    """Every #include stands in the table of layers."""
    folder = folder_rule(path)
    if not folder:
        return
    project, system = layers.LAYERS[folder]
    for m in INCLUDE.finditer(strip_c(text, keep_strings=True)):
        line, name = line_of(text, m.start()), m[2]
        if m[1] == '"':
            if "/" not in name and not matches(name, project):
                name = path.rsplit("/", 1)[0] + "/" + name
            same = name.rsplit("/", 1)[0] == path.rsplit("/", 1)[0]
            if name.endswith(layers.PRIVATE_SUFFIX) and not same:
                yield path, line, "private header", "%s is for its own folder only; include the module's face" % name
            elif not same and not matches(name, project):
                yield path, line, "layers", "%s may not include %s; see LAYERS in tests/tidy/layers.py" % (folder, name)
            continue
        if system is not None and name not in system and not matches(name, project):
            yield path, line, "layers", "%s is pure and may not include <%s>; take what it needs as an argument" % (
                folder, name)
        for library, where in layers.LIBRARIES.items():
            if matches(name, [library]) and not matches(path, where):
                yield path, line, "layers", "<%s> is for %s only" % (name, " ".join(where))


def symbols(archive, undefined, defined, faces):
    """What a pure archive leaves undefined is pure too. defined: names by archive; faces: text by archive."""
    for symbol in sorted(undefined):
        if symbol in layers.PURE_SYMBOLS or symbol.startswith(layers.PURE_SYMBOL_PREFIXES):
            continue
        if symbol in defined.get(archive, ()):
            continue
        owner = next((a for a in layers.PURE_ARCHIVES[archive] if symbol in defined.get(a, ())), None)
        if owner is None:
            yield "libpando_%s.a" % archive, 0, "purity", (
                "%s is used by a pure module; let the driver do it and tell the result as an event" % symbol)
        elif (archive, owner) in layers.FACES and not re.search(r"\b%s\(" % symbol, faces[(archive, owner)]):
            yield "libpando_%s.a" % archive, 0, "purity", (
                "%s is not in %s, all that it may see of that module" % (symbol, layers.FACES[(archive, owner)]))


def banned_calls(path, text, used=None):
    """Calls with a better replacement. used: collects the exceptions that were needed."""
    code = strip_c(text)
    for names, instead in layers.BANNED_CALLS.items():
        for m in re.finditer(r"(?<![\w.>])(%s)\s*\(" % names, code):
            if (path, m[1]) in layers.ALLOWED_CALLS:
                if used is not None:
                    used.add((path, m[1]))
                continue
            yield path, line_of(code, m.start()), "banned call", "%s; take instead: %s" % (m[1], instead)


def left_over(path, text):
    for m in re.finditer(r"\b(TO" "DO|FIX" "ME|XX" "X)\\b", text):
        yield path, line_of(text, m.start()), "left over", "%s: do it, or say in words why it is as it is" % m[1]


def workplace(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        for pattern, instead in layers.WORKPLACE.items():
            if re.search(pattern, line) and not any(p == path and t in line for p, t in layers.ALLOWED_WORDS):
                yield path, number, "workplace", "%s; say %s" % (re.search(pattern, line)[0], instead)


def sizes(path, text):
    lines = text.split("\n")
    count = len(lines) - 1
    limit, _ = layers.LONG_FILES.get(path, (layers.FILE_LINES, ""))
    if count > limit:
        yield path, limit + 1, "file size", "%d lines, at most %d; divide it by what its parts are about" % (
            count, limit)
    for number, line in enumerate(lines, 1):
        if columns(line) > layers.LINE_COLUMNS and (path, number) not in layers.LONG_LINES:
            yield path, number, "line length", "%d columns, at most %d (better 100)" % (
                columns(line), layers.LINE_COLUMNS)


def functions(text):
    """(name, first line, lines of the body) of every function whose braces stand in the first column."""
    lines = strip_c(text).split("\n")
    begin = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            begin = number
        elif line.startswith("}") and begin is not None:
            head = " ".join(lines[max(0, begin - 8) : begin - 1])
            head = re.split(r"[;}]", head)[-1]
            names = re.findall(r"(\w+)\s*\(\s*(\w*)", blank_attributes(head))
            name = names[0] if names else ("?", "")
            yield (name[1] if name[0] == "START_TEST" else name[0]), begin, number - begin + 1
            begin = None


def function_sizes(path, text):
    for name, line, count in functions(text):
        limit, _ = layers.LONG_FUNCTIONS.get((path, name), (layers.FUNCTION_LINES, ""))
        if count > limit:
            yield path, line, "function size", "%s has %d lines, at most %d; give its parts names" % (
                name, count, limit)


def guard(path, text):
    if not re.search(r"^#ifndef (PANDO_\w+_H)\n#define \1\n", text, re.M) or not text.rstrip().endswith("#endif"):
        yield path, 1, "header guard", "no #ifndef PANDO_..._H, #define, #endif around it"


def blank_attributes(code):
    return re.sub(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", lambda m: re.sub(r"[^\n]", " ", m[0]), code)


def contracts(path, text):
    """Every function of a face has a comment: above it, or above the run of declarations without a blank
    line that it stands in, or behind it; or it is explained by name elsewhere in the header."""
    code = blank_attributes(strip_c(text)).split("\n")
    lines = text.split("\n")
    said = " ".join(re.findall(r"/\*.*?\*/", text, re.S))
    allowed = layers.UNCOMMENTED.get(path, ())
    depth = 0
    for number, line in enumerate(code, 1):
        m = re.match(r"\s*(?!static\b|typedef\b|return\b|_Static_assert\b|#)[A-Za-z_][\w \t]*?[ *]+(\w+)\(", line)
        if depth == 0 and m and not lines[number - 1].startswith("\t"):
            name = m[1]
            at = number - 1
            while at > 0 and lines[at - 1].strip():
                at -= 1
            commented = any("/*" in x or "*/" in x for x in lines[at:number])
            if not (commented or re.search(layers.SELF_EXPLAINING, name) or name in allowed
                    or re.search(r"\b%s\b" % name, said)):
                yield path, number, "contract", (
                    "%s has no comment: what it does, whose the pointers are, results" % name)
        depth += line.count("{") - line.count("}")


# --- manual pages


def page_text(page):
    """A page's source with what mdoc needs taken away."""
    return page.replace("\\&", "").replace("\\-", "-").replace("\\e", "\\")


def has_word(page, word):
    return re.search(r"(?<![\w.-])%s(?![\w-])" % re.escape(word), page_text(page)) is not None


def option_names(help_text):
    return sorted(set(re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", help_text)))


def options(help_text, path, page):
    for name in option_names(help_text):
        bare = name.lstrip("-")
        pattern = r"\bFl Fl %s\b" if name.startswith("--") else r"(?<!Fl )Fl %s\b"
        if not re.search(pattern % re.escape(bare), page_text(page)):
            yield path, 1, "manual", "option %s of pandod --help is not in it (.Fl %s)" % (
                name, "Fl " + bare if name.startswith("--") else bare)


def table_keys(source):
    """(name, aliases, default) of every row of the table of keys."""
    code = strip_c(source, keep_strings=True)
    body = code[code.index("table[] = {") : code.index("\n};", code.index("table[] = {"))]
    string = r'"((?:[^"\\]|\\.)*)"'
    rows = []
    for row in re.split(r"\n\t(?=\w+\(|\{)", body):
        m = re.match(r"(USED|WORD|IDLE|NOT)\(\s*%s\s*,(.*)" % string, row, re.S)
        if m is None:
            continue
        alias = re.match(r"\s*((?:%s\s*)+)," % string, m[3])
        aliases = "".join(re.findall(string, alias[1])).split() if alias and m[1] != "WORD" else []
        used = re.match(r"\s*(?:NULL|%s)\s*,\s*\w+,\s*\w+,\s*[^,]+,\s*[^,]+,\s*%s" % (string, string), m[3], re.S)
        rows.append((m[2], aliases, used[2] if used and m[1] == "USED" else None))
    rows += [(n, [], None) for n in re.findall(r"\.name = %s" % string, body)]
    return rows


def keys(source, path, page):
    rows = table_keys(source)
    known = set()
    for name, aliases, _ in rows:
        for word in [name] + aliases:
            known.add(word)
            if not has_word(page, word):
                yield path, 1, "manual", "key %s of run_conf_keys.c is not in it (.It Cm %s)" % (word, word)
    for number, line in enumerate(page_text(page).split("\n"), 1):
        m = re.match(r"\.It Cm (\S+)\s*$", line)
        if m and m[1] not in known:
            yield path, number, "manual", "key %s is in no row of run_conf_keys.c; take it out" % m[1]


def limit_value(expression):
    expression = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", expression)
    return eval(expression, {"__builtins__": {}}) if re.fullmatch(r"[\d\sxa-fA-F()<>*+-]+", expression) else None


def limits(path, text, source, page_path, page):
    """A limit whose comment says "Key NAME" is a key with that default, and in the manual."""
    defaults = {name: default for name, _, default in table_keys(source)}
    for m in re.finditer(r"/\* Key ([\w.]+): (?:(?!\*/).)*\*/\s*#define (LIMIT_\w+) ([^\n]+)", text, re.S):
        name, limit, value = m[1], m[2], limit_value(m[3])
        line = line_of(text, m.start(2))
        if name not in defaults:
            yield path, line, "limits", "%s: there is no key %s in run_conf_keys.c" % (limit, name)
        elif defaults[name] is not None and value != limit_value(defaults[name]):
            yield path, line, "limits", "%s is %s, but the key %s has the default %s: make them one" % (
                limit, value, name, defaults[name])
        if not has_word(page, name):
            yield page_path, 1, "manual", "key %s (%s) is not in it" % (name, limit)


def words_and_metrics(source, path, page):
    """Four-letter words and the names of metrics, from run_words.c."""
    code = strip_c(source, keep_strings=True)
    words = re.findall(r'\{ "([a-z]{4})", WORD_', code)
    metrics = set(re.findall(r'"((?:zk|pando)_[a-z0-9_]+)', code))
    metrics |= set(re.findall(r'\\n((?:zk|pando)_[a-z0-9_]+)', code))
    if not words or not metrics:
        yield path, 1, "manual", "no words or no metrics found in run_words.c: mend this test"
    for kind, names in (("four-letter word", words), ("metric", sorted(metrics))):
        for name in names:
            if not has_word(page, name):
                yield path, 1, "manual", "%s %s of run_words.c is not in it" % (kind, name)
