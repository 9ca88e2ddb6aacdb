# bash ends a word at a colon and at an equals sign, but names of images and addresses have them:
# the words are made whole again, and what stands before the last of these is left out of answers
_devnet_whole_words() {
    local i word last place=0 before=''
    local -a words=()
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        word=${COMP_WORDS[i]}
        # up to the cursor
        if ((i == COMP_CWORD)) && [[ $word != [:=]* ]]; then word=$2; fi
        last=$((${#words[@]} - 1))
        if ((last >= 0)) && [[ $word == [:=]* || ${words[last]} == *[:=] ]]; then
            words[last]+=$word
        else
            words+=("$word")
        fi
        if ((i == COMP_CWORD)); then place=$((${#words[@]} - 1)); fi
    done
    word=${words[place]}
    if [[ $word == *[:=]* && $word != "$2" ]]; then before=${word%"${word##*[:=]}"}; fi
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$place
    _clap_complete_devnet "$1" "$word" "$3"
    for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]#"$before"}; done
}
complete -o nospace -o bashdefault -F _devnet_whole_words devnet
