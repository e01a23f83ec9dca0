# A frame's JSON to assignments of a shell, so that nothing of a message is ever run as code.  awk -f json.awk FILE
# Its header is the first line: {"a": {"b": "x'y"}} sets h_a_b='x'\''y'. Names of its message, which is in the header's
# `bb` (that sets bulk=1) or else follows, begin with v_. null sets nothing; what is no JSON object sets …_bad. A list
# sets …_words, each one quoted, and …_shown, without secrets; an `env` …_set, which sets it; a name or reason …_json.
function quoted(text) { gsub(/'/, "'\\''", text); return "'" text "'" }
function set(name, text) { names = names " " name; print name "=" quoted(text) }
function hex(digits,    number, i) {
    for (i = 1; i <= 4; i++) number = number * 16 + index("123456789abcdef", tolower(substr(digits, i, 1)))
    return number
}
function utf8(code, room, lead) { # the bytes of a character; begins with 128, 0
    if (code < room) return sprintf("%c", lead + code)
    return utf8(int(code / 64), lead ? room / 2 : 32, lead ? lead + room : 192) sprintf("%c", 128 + code % 64)
}
function unescaped(text,    part, parts, i, code) {
    if (text ~ control) bad = 1
    for (i in escaped) gsub("\\\\" i, escaped[i], text)
    parts = split(text, part, /\\u/); text = part[1]
    for (i = 2; i <= parts; i++) {
        code = hex(part[i])
        if (code >= 55296 && code < 56320 && length(part[i]) == 4) # half of a character
            code = 65536 + (code - 55296) * 1024 + hex(part[++i]) - 56320
        text = text (code ? utf8(code, 128, 0) : "") substr(part[i], 5) # a shell has no NUL
    }
    return text
}
function key_word(text,    i, c, word) { # a user, as offers name it
    for (i = 1; i <= length(text); i++)
        word = word ((c = substr(text, i, 1)) ~ /[A-Za-z0-9_-]/ ? c : sprintf(":%02x", number_of[c]))
    return word
}
function name_next(word) { # the next value is called so: a key, or its place in a list
    key[depth] = word
    gsub(/[^A-Za-z0-9_]/, "_", word)
    name[depth] = path[depth] "_" word
}
function add(text, json, seen) { # a value; `seen`: as all may see it
    if (json != "null") set(name[depth], name[depth] == "h_user" ? key_word(text) : text)
    if (name[depth] ~ /_(name|reason)$/) set(name[depth] "_json", length(json) < 3000 ? json : "\"too long\"")
    if (name[depth] == "h_message_headers_bb") inner = text
    if (path[depth] ~ /_env$/ && key[depth] ~ /^[A-Za-z_][A-Za-z0-9_]*$/)
        code[depth] = code[depth] (json == "null" ? "unset " key[depth] : "export " key[depth] "=" quoted(text)) "\n"
    words[depth] = words[depth] " " quoted(text)
    shown[depth] = shown[depth] seen " "
    item[depth, key[depth]] = text
    if (list[depth]) name_next(key[depth] + 1)
}
function symbol(mark) {
    if (mark ~ /[[{]/) {
        path[depth + 1] = name[depth]; list[++depth] = mark == "["
        code[depth] = words[depth] = shown[depth] = item[depth, 0] = ""
        name_next(0)
    } else if (depth && mark == (list[depth] ? "]" : "}")) {
        set(path[depth] (list[depth] ? "_words" : "_set"), list[depth] ? words[depth] : code[depth])
        if (list[depth]) set(path[depth] "_shown", shown[depth])
        depth--
        if (item[depth + 1, 0] == "obfuscated") add(item[depth + 1, 1], "", item[depth + 1, 2])
    } else if (mark ~ /^(null|true|false|-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?)$/)
        add(mark == "null" ? "" : mark, mark, mark)
    else bad = 1
}
function parse(text, root,    piece, pieces, mark, marks, i, k) {
    depth = inner = 0; name[0] = root
    gsub(/\\\\/, "\\u005c", text) # from here on quotes are where strings begin and end
    gsub(/\\"/, "\\u0022", text)
    pieces = split(text, piece, "\"")
    bad = pieces % 2 == 0 || piece[1] !~ /^[ \t\n]*[{]/
    for (i = 1; i <= pieces; i += 2) {
        gsub(/[:,]/, " ", piece[i]); gsub(/[][{}]/, " & ", piece[i])
        marks = split(piece[i], mark, " ")
        for (k = 1; k <= marks; k++) symbol(mark[k])
        text = unescaped(piece[i + 1])
        if (piece[i + 2] ~ /^[ \t\n]*:/) name_next(text)
        else if (i < pieces) add(text, "\"" piece[i + 1] "\"", text)
    }
    if (bad || depth) set(root "_bad", 1)
}
BEGIN {
    for (i = 1; i < 256; i++) number_of[sprintf("%c", i)] = i
    control = sprintf("[%c-%c]", 1, 31)
    for (i = 1; i < 12; i += 2) escaped[substr("n\nt\tr\rb\bf\f//", i, 1)] = substr("n\nt\tr\rb\bf\f//", i + 1, 1)
    getline header < ARGV[1]
    parse(header, "h")
    set("bulk", inner ? 1 : ""); RS = sprintf("%c", 1) # all the rest at once
    if (!inner) getline inner < ARGV[1]
    parse(inner, "v")
    print "names=" quoted(names) "\nwhole=1"
}
