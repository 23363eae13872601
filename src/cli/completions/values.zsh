# What only the program knows: ids of recordings, names of people and hosts.
_rproxy_values() {
    local found line
    local -a values
    found=$("${(Q)words[1]}" complete --word="${(Q)PREFIX}" -- "${(@Q)words[1,CURRENT-1]}" 2>/dev/null) || return 1
    for line in "${(@f)found}"; do
        [[ -n $line ]] && values+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    if (( $#values == 0 )); then
        _files
    elif [[ $#values -eq 1 && ${values[1]%%:*} == *@ ]]; then
        _describe -V value values -S ''
    else
        _describe -V value values
    fi
    return 0
}

