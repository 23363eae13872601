# What only the program knows: ids of recordings, names of people and hosts.
_rproxy_values() {
    local line=${COMP_LINE:0:COMP_POINT} word="" found value
    local -a words
    read -ra words <<<"$line"
    if [[ $line != *[[:blank:]] ]]; then
        word=${words[${#words[@]} - 1]}
        unset "words[${#words[@]} - 1]"
    fi
    found=$("$1" complete --word="$word" -- "${words[@]}" 2>/dev/null) || return 1
    # Of a word with a '@' or '=' in it, only what follows is replaced.
    word=${word%"$2"}
    COMPREPLY=()
    while IFS=$'\t' read -r value _; do
        if [[ -n $value ]]; then
            COMPREPLY+=("${value#"$word"}")
        fi
    done <<<"$found"
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *@ ]]; then
        compopt -o nospace
    fi
    return 0
}

