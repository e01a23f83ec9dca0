# JSON to assignments of a shell: awk -f json.awk -v prefix=h [-v then=v -v body=FILE] FILE
# {"a": {"b": [1, "x'y"]}} becomes  h_a_b_0='1'  h_a_b_1='x'\''y'  h_a_b_N=2  — null sets nothing. Names are what is no
# letter, digit or _ made _; those of an `env` are values, too: h_…_env_k0='NAME'. What is no JSON object: h_bad=1.
# With `then`: the message in a frame, from its header `bb` or its raw bytes.
function quoted(text) { gsub(/'/, "'\\''", text); return "'" text "'" }
function set(name, text) { names = names " " name; print name "=" quoted(text) }
function utf8(code) {
    if (code < 128) return code ? sprintf("%c", code) : ""  # a shell has no NUL
    if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
    if (code < 65536) return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
    return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, 128 + int(code / 64) % 64, 128 + code % 64)
}
function hex(digits, number, i) {
    for (i = 1; i <= 4; i++) number = number * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
    return number
}
function blank() { while (substr(s, p, 1) ~ /^[ \t\r\n]$/) p++ }
function string(text, c, code, from) {
    for (from = ++p; (c = substr(s, p, 1)) != "\""; ) {
        if (c == "") { bad = 1; return "" }
        if (c != "\\") { p++; continue }
        text = text substr(s, from, p - from)
        c = substr(s, p + 1, 1)
        p += 2
        if (c == "u") {
            code = hex(substr(s, p, 4)); p += 4
            if (code >= 55296 && code < 56320 && substr(s, p, 2) == "\\u") {
                code = 65536 + (code - 55296) * 1024 + hex(substr(s, p + 2, 4)) - 56320; p += 6
            }
            text = text utf8(code)
        } else text = text (c == "n" ? "\n" : c == "t" ? "\t" : c == "r" ? "\r" : c == "b" ? "\b" : c == "f" ? "\f" : c)
        from = p
    }
    return text substr(s, from, p++ - from)
}
function value(name, depth, key, n, c) {
    blank(); c = substr(s, p, 1)
    if (depth > 60) bad = 1
    if (bad) return
    if (c == "{" || c == "[") {
        p++; blank()
        if (substr(s, p, 1) == (c == "{" ? "}" : "]")) p++
        else for (;;) {
            key = n
            if (c == "{") {
                blank()
                if (substr(s, p, 1) != "\"") { bad = 1; return }
                key = string()
                if (name ~ /_env$/) { n += 0; set(name "_k" n, key); key = n }
                gsub(/[^A-Za-z0-9_]/, "_", key)
                blank()
                if (substr(s, p++, 1) != ":") { bad = 1; return }
            }
            value(name "_" (key == "" ? 0 : key), depth + 1)
            n++; blank()
            if (substr(s, p, 1) == (c == "{" ? "}" : "]")) { p++; break }
            if (bad || substr(s, p++, 1) != ",") { bad = 1; return }
        }
        set(name "_N", n + 0)
    } else if (c == "\"") set(name, string())
    else if (match(substr(s, p, 40), /^(-?[0-9][0-9.eE+-]*|true|false|null)/)) {
        if (substr(s, p, RLENGTH) != "null") set(name, substr(s, p, RLENGTH))
        p += RLENGTH
    } else bad = 1
}
function parse(text, name) {
    s = text; p = 1; bad = 0; blank()
    if (substr(s, 1, 1) != "{") bad = 1; else value(name, 0)
    blank()
    if (bad || p <= length(s)) set(name "_bad", 1)
}
function whole(file, text, line) {
    text = ""
    while ((getline line < file) > 0) text = text (text == "" ? "" : "\n") line
    close(file)
    return text
}
BEGIN {
    header = whole(ARGV[1]); parse(header, prefix)
    if (then != "") {
        if (match(header, /"bb":"/)) { s = header; p = RSTART + 5; parse(string(), then); print "bulk=1" }
        else { print "bulk=''"; parse(whole(body), then) }
    }
    print "names=" quoted(names)
}
