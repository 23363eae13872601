
# What only the program knows: ids of recordings, names of people and hosts.
function __fish_rproxy_values
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    command $words[1] complete --word="$word" -- $words 2>/dev/null
end

complete -c rproxy -n "__fish_rproxy_values | string length -q" -k -f -a "(__fish_rproxy_values)"
